// Errors of the CUDA runtime.
#pragma once

#include <cuda_runtime.h>

#include <source_location>

namespace spate::cuda {

// Throws Error with the place of the call and the runtime's words when `status` is not success;
// ExitCode::memory when memory ran out.
void cuda_check(cudaError_t status, std::source_location where = std::source_location::current());

}  // namespace spate::cuda
