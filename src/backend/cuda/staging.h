// Bytes on their way to the device: copied to page-locked memory, which goes round, and from there
// asynchronously. So callers may change what they gave at once, and no copy waits for the device
// unless it is a whole round behind.
//
// Owner: CudaBackend.
#pragma once

#include <cuda_runtime.h>

#include <array>

#include "tensor/tensor.h"

namespace spate::cuda {

class Staging {
 public:
  Staging();
  ~Staging();
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  void upload(void* to, const void* from, size_t bytes, cudaStream_t stream);

 private:
  static constexpr size_t kPartBytes = size_t{8} << 20;
  static constexpr size_t kParts = 4;

  void next_part(cudaStream_t stream);

  Buffer memory_;                             // kParts parts
  std::array<cudaEvent_t, kParts> copied_{};  // the last copy out of each
  size_t part_ = 0, used_ = 0;
};

}  // namespace spate::cuda
