#include "backend/cuda/error.h"

#include "base/check.h"

namespace spate::cuda {

void cuda_check(cudaError_t status, std::source_location where) {
  if (status == cudaSuccess) return;
  cudaGetLastError();  // it must not surface in a later call
  throw Error(cat(where.file_name(), ":", where.line(), ": CUDA: ", cudaGetErrorName(status), ": ",
                  cudaGetErrorString(status)),
              ExitCode::memory);
}

}  // namespace spate::cuda
