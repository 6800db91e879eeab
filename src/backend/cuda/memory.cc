#include "backend/cuda/memory.h"

#include "backend/cpu/memory.h"
#include "backend/cuda/devices.h"
#include "backend/cuda/error.h"
#include "base/check.h"

namespace spate::cuda {
namespace {

constexpr double kMiB = 1024.0 * 1024.0;

[[noreturn]] void out_of_memory(size_t bytes) {
  cudaGetLastError();
  size_t free = 0, total = 0;
  cuda_check(cudaMemGetInfo(&free, &total));
  throw Error(cat("cannot allocate ", static_cast<double>(bytes) / kMiB, " MiB on the GPU; ",
                  static_cast<double>(free) / kMiB, " MiB of ", static_cast<double>(total) / kMiB,
                  " MiB are free. Use a smaller model, cache or batch"),
              ExitCode::memory);
}

}  // namespace

Buffer allocate(size_t bytes, int device) {
  if (bytes == 0) return {};
  void* data = nullptr;
  if (cudaMalloc(&data, bytes) != cudaSuccess) out_of_memory(bytes);
  cuda_check(cudaMemset(data, 0, bytes));
  cuda_check(cudaStreamSynchronize(nullptr));
  return {data, bytes, Device{Device::Kind::cuda, device},
          [](void* old, size_t) { cudaFree(old); }};
}

void WeightMemory::reserve(size_t bytes) {
  check(block_.data() == nullptr, "memory for weights was reserved before");
  block_ = allocate(bytes, device_);
}

Buffer WeightMemory::take(size_t bytes) {
  void* data = nullptr;
  if (used_ + rounded(bytes) <= block_.bytes()) {
    data = static_cast<std::byte*>(block_.data()) + used_;
    used_ += rounded(bytes);
  } else {
    alone_.push_back(allocate(bytes, device_));
    data = alone_.back().data();
  }
  return {data, bytes, Device{Device::Kind::cuda, device_}, [](void*, size_t) {}};
}

}  // namespace spate::cuda

namespace spate {

Buffer allocate_pinned(size_t bytes) {
  static const bool there = !list_cuda_devices().devices.empty();
  if (!there) return cpu::allocate(bytes);
  void* data = nullptr;
  cuda::cuda_check(cudaMallocHost(&data, bytes));
  return {data, bytes, Device{}, [](void* old, size_t) { cudaFreeHost(old); }};
}

}  // namespace spate
