// NVIDIA's libraries that Spate opens while it runs, where they are: a machine without them, or
// without any GPU, still starts the same binary.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace spate {

struct CudaLibrary {
  std::string_view name;  // "cuBLASLt"
  std::string_view use;   // what it is for
  std::string version;    // empty: not found
};

// Tells what there is; a build without CUDA uses none. Never throws.
std::vector<CudaLibrary> list_cuda_libraries();

namespace cuda {

// Handles of dlopen; null where the loader finds none. They stay open, because a library has
// threads and device code that may outlive a backend. The loader looks in LD_LIBRARY_PATH and in
// the system's folders, then where the toolkit lies.
void* open_cublaslt();
void* open_nccl();

}  // namespace cuda
}  // namespace spate
