// Places in a queue that the host can wait for: a ring of events.
#pragma once

#include <cuda_runtime.h>

#include <array>
#include <cstdint>

#include "backend/cuda/error.h"
#include "base/check.h"

namespace spate::cuda {

class Marks {
 public:
  Marks() {
    for (cudaEvent_t& event : events_) {
      cuda_check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
    }
  }
  ~Marks() {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;

  uint64_t set(cudaStream_t stream) {
    cuda_check(cudaEventRecord(events_[count_ % events_.size()], stream));
    return count_++;
  }
  void wait(uint64_t mark) {
    check(mark < count_ && count_ - mark <= events_.size(), "a mark that is too old");
    cuda_check(cudaEventSynchronize(events_[mark % events_.size()]));
  }

 private:
  std::array<cudaEvent_t, 8> events_{};
  uint64_t count_ = 0;
};

}  // namespace spate::cuda
