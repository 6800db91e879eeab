// Finds the fastest of different ways to do the same on the device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

namespace spate::cuda {

// Whether what is given to the queue is recorded, and does not run.
bool is_recording(cudaStream_t stream);

// Each time that the work is to be done, another way does it, turn by turn, and is timed. So
// nothing runs but what has to, and a trial costs what the slow ways take longer.
class Trial {
 public:
  explicit Trial(size_t ways);
  ~Trial();
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;

  // The way to take now, between begin() and end(). `ran`: whether it could.
  size_t way() const { return done_ % ways_; }
  void begin(cudaStream_t stream);
  void end(cudaStream_t stream, bool ran);

  bool is_over() const { return done_ == runs_.size(); }
  // The fastest way; the first one unless another is faster by more than chance. The device is
  // waited for.
  size_t fastest() const;

 private:
  struct Run {
    cudaEvent_t begin = nullptr, end = nullptr;
    bool ran = false;
  };
  float best_milliseconds(size_t way) const;

  size_t ways_, done_ = 0;
  std::vector<Run> runs_;  // turn by turn
};

}  // namespace spate::cuda
