#include "backend/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/devices.h"
#include "backend/cuda/error.h"

namespace spate::cuda {

Staging::Staging() : memory_(allocate_pinned(kParts * kPartBytes)) {
  for (cudaEvent_t& event : copied_) {
    cuda_check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
}

Staging::~Staging() {
  for (const cudaEvent_t event : copied_) cudaEventDestroy(event);
}

void Staging::next_part(cudaStream_t stream) {
  cuda_check(cudaEventRecord(copied_[part_], stream));
  part_ = (part_ + 1) % kParts;
  used_ = 0;
  cuda_check(cudaEventSynchronize(copied_[part_]));  // at once, when it was never recorded
}

void Staging::upload(void* to, const void* from, size_t bytes, cudaStream_t stream) {
  for (size_t done = 0; done < bytes;) {
    if (used_ == kPartBytes) next_part(stream);
    const size_t count = std::min(bytes - done, kPartBytes - used_);
    auto* staged = static_cast<std::byte*>(memory_.data()) + part_ * kPartBytes + used_;
    std::memcpy(staged, static_cast<const std::byte*>(from) + done, count);
    cuda_check(cudaMemcpyAsync(static_cast<std::byte*>(to) + done, staged, count,
                               cudaMemcpyHostToDevice, stream));
    done += count;
    used_ += count;
  }
}

}  // namespace spate::cuda
