#include "backend/cuda/staging.h"

#include <algorithm>
#include <cstring>

#include "backend/cuda/devices.h"
#include "backend/cuda/error.h"

namespace spate::cuda {

Staging::Staging(const Context& context) : context_(context) {
  for (cudaEvent_t& event : copied_) {
    cuda_check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  }
}

Staging::~Staging() {
  cudaStreamSynchronize(context_.stream());  // copies out of memory_
  for (const cudaEvent_t event : copied_) cudaEventDestroy(event);
}

std::byte* Staging::room() {
  return static_cast<std::byte*>(memory_.data()) + part_ * kPartBytes + used_;
}

void Staging::next_part() {
  cuda_check(cudaEventRecord(copied_[part_], context_.stream()));
  part_ = (part_ + 1) % kParts;
  used_ = 0;
  cuda_check(cudaEventSynchronize(copied_[part_]));  // at once, when it was never recorded
}

std::byte* Staging::whole_part() {
  if (memory_.data() == nullptr) memory_ = allocate_pinned(kParts * kPartBytes);
  if (used_ > 0) next_part();
  return room();
}

void Staging::send(void* to, size_t bytes) {
  cuda_check(cudaMemcpyAsync(to, room(), bytes, cudaMemcpyHostToDevice, context_.stream()));
  used_ += bytes;
}

void Staging::upload(void* to, const void* from, size_t bytes) {
  for (size_t done = 0; done < bytes;) {
    if (memory_.data() == nullptr || used_ == kPartBytes) whole_part();
    const size_t count = std::min(bytes - done, kPartBytes - used_);
    std::memcpy(room(), static_cast<const std::byte*>(from) + done, count);
    send(static_cast<std::byte*>(to) + done, count);
    done += count;
  }
}

}  // namespace spate::cuda
