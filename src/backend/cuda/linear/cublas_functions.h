// The functions of cublasLt, which is opened while the program runs.
#pragma once

#include <cublasLt.h>
#include <dlfcn.h>

namespace spate::cuda {

// What is used of the library.
struct CublasFunctions {
  decltype(&cublasLtCreate) create;
  decltype(&cublasLtDestroy) destroy;
  decltype(&cublasLtGetStatusString) status_string;
  decltype(&cublasLtMatmul) matmul;
  decltype(&cublasLtMatmulAlgoGetHeuristic) heuristic;
  decltype(&cublasLtMatmulAlgoCheck) check_algorithm;
  decltype(&cublasLtGetVersion) version;
  decltype(&cublasLtMatmulDescCreate) operation_create;
  decltype(&cublasLtMatmulDescDestroy) operation_destroy;
  decltype(&cublasLtMatmulDescSetAttribute) operation_set;
  decltype(&cublasLtMatrixLayoutCreate) layout_create;
  decltype(&cublasLtMatrixLayoutDestroy) layout_destroy;
  decltype(&cublasLtMatmulPreferenceCreate) preference_create;
  decltype(&cublasLtMatmulPreferenceDestroy) preference_destroy;
  decltype(&cublasLtMatmulPreferenceSetAttribute) preference_set;
};

// Whether the library has all of them.
inline bool find_all(void* library, CublasFunctions& f) {
  const auto find = [&]<class Function>(const char* name, Function& function) {
    function = reinterpret_cast<Function>(::dlsym(library, name));
    return function != nullptr;
  };
  return find("cublasLtCreate", f.create) && find("cublasLtDestroy", f.destroy) &&
         find("cublasLtGetStatusString", f.status_string) && find("cublasLtMatmul", f.matmul) &&
         find("cublasLtMatmulAlgoGetHeuristic", f.heuristic) &&
         find("cublasLtMatmulAlgoCheck", f.check_algorithm) &&
         find("cublasLtGetVersion", f.version) &&
         find("cublasLtMatmulDescCreate", f.operation_create) &&
         find("cublasLtMatmulDescDestroy", f.operation_destroy) &&
         find("cublasLtMatmulDescSetAttribute", f.operation_set) &&
         find("cublasLtMatrixLayoutCreate", f.layout_create) &&
         find("cublasLtMatrixLayoutDestroy", f.layout_destroy) &&
         find("cublasLtMatmulPreferenceCreate", f.preference_create) &&
         find("cublasLtMatmulPreferenceDestroy", f.preference_destroy) &&
         find("cublasLtMatmulPreferenceSetAttribute", f.preference_set);
}

}  // namespace spate::cuda
