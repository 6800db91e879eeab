// Places in a queue that the host can wait for: a ring of events.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <vector>

#include "backend/cuda/error.h"
#include "base/check.h"

namespace spate::cuda {

class Marks {
 public:
  Marks() { keep(32); }
  ~Marks() {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
  }
  Marks(const Marks&) = delete;
  Marks& operator=(const Marks&) = delete;

  // The last `count` marks can be used, of those that are set from now on.
  void keep(size_t count) {
    first_ = count_;
    while (events_.size() < count) {
      cudaEvent_t event = nullptr;
      cuda_check(cudaEventCreate(&event));
      events_.push_back(event);
    }
  }

  uint64_t set(cudaStream_t stream) {
    cuda_check(cudaEventRecord(events_[count_ % events_.size()], stream));
    return count_++;
  }
  void wait(uint64_t mark) const { cuda_check(cudaEventSynchronize(event(mark))); }
  double seconds_between(uint64_t from, uint64_t to) const {
    float milliseconds = 0;
    cuda_check(cudaEventElapsedTime(&milliseconds, event(from), event(to)));
    return 1e-3 * milliseconds;
  }

 private:
  cudaEvent_t event(uint64_t mark) const {
    check(mark >= first_ && mark < count_ && count_ - mark <= events_.size(),
          "a mark that is too old");
    return events_[mark % events_.size()];
  }

  std::vector<cudaEvent_t> events_;
  uint64_t first_ = 0, count_ = 0;
};

}  // namespace spate::cuda
