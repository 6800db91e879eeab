#include "backend/cuda/context.h"

#include <utility>

#include "backend/cuda/error.h"
#include "backend/cuda/linear/cublas.h"
#include "base/check.h"

namespace spate::cuda {

Context::Context(ContextOptions options)
    : options_(std::move(options)), choice_{.forced = options_.forced, .chosen = {}} {
  cuda_check(cudaSetDevice(options_.device));
  cuda_check(cudaGetDeviceProperties(&properties_, options_.device));
  cuda_check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking));
  cuda_check(cudaMalloc(&workspace_, kWorkspaceBytes));
  cuda_check(cudaMalloc(&counters_, kCounters * sizeof *counters_));
  cuda_check(cudaMemsetAsync(counters_, 0, kCounters * sizeof *counters_, stream_));
}

Context::~Context() {
  cudaFree(counters_);
  cudaFree(workspace_);
  cudaStreamDestroy(stream_);
}

void* Context::workspace(size_t bytes) const {
  check(bytes <= kWorkspaceBytes, "an op asks for ", bytes, " bytes of scratch, there are ",
        kWorkspaceBytes);
  return workspace_;
}

// Only behind a kernel may one begin early.
void Context::hold_back() const {
  cuda_check(cudaMemsetAsync(counters_, 0, sizeof *counters_, stream_));
}

void Context::open_cublas() {
  if (cublas_ || opening_.valid()) return;
  opening_ = std::async(std::launch::async, [device = options_.device, name = properties_.name,
                                             measures = options_.measure_products] {
    cuda_check(cudaSetDevice(device));
    return Cublas::open(measures ? name : "");
  });
}

Cublas* Context::cublas() {
  open_cublas();
  if (!cublas_) cublas_ = opening_.get();
  return cublas_->get();
}

}  // namespace spate::cuda
