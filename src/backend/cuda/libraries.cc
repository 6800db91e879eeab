#include "backend/cuda/libraries.h"

#include <dlfcn.h>

#include <initializer_list>

#include "base/check.h"

namespace spate {
namespace {

// The first of the names that opens.
void* open_first(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (void* library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL); library != nullptr) return library;
  }
  return nullptr;
}

template <class Function>
Function* find(void* library, const char* name) {
  return library == nullptr ? nullptr : reinterpret_cast<Function*>(::dlsym(library, name));
}

// Both write versions as major * k + minor * 100 + patch.
std::string version_text(size_t version) {
  const size_t major = version / 10000;
  return cat(major, ".", version / 100 % 100, ".", version % 100);
}

std::string cublaslt_version() {
  auto* const version = find<size_t()>(cuda::open_cublaslt(), "cublasLtGetVersion");
  return version == nullptr ? "" : version_text(version());
}

std::string nccl_version() {
  auto* const version = find<int(int*)>(cuda::open_nccl(), "ncclGetVersion");
  int number = 0;
  if (version == nullptr || version(&number) != 0) return "";
  return version_text(static_cast<size_t>(number));
}

}  // namespace

void* cuda::open_cublaslt() {
  static void* const library =
      open_first({"libcublasLt.so.13", "libcublasLt.so.12", "libcublasLt.so",
                  "/usr/local/cuda/lib64/libcublasLt.so"});
  return library;
}

void* cuda::open_nccl() {
  static void* const library =
      open_first({"libnccl.so.2", "libnccl.so", "/usr/local/cuda/lib64/libnccl.so.2"});
  return library;
}

std::vector<CudaLibrary> list_cuda_libraries() {
  return {{"cuBLASLt", "products of many rows", cublaslt_version()},
          {"NCCL", "several GPUs", nccl_version()}};
}

}  // namespace spate
