// Finds the fastest of different ways to do the same on the device.
#pragma once

#include <cuda_runtime.h>

#include <cstddef>
#include <vector>

#include "backend/cuda/marks.h"

namespace spate::cuda {

// Whether what is given to the queue is recorded, and does not run.
bool is_recording(cudaStream_t stream);

// Each time that the work is to be done, another way does it, turn by turn, and is timed. So
// nothing runs but what has to, and a trial costs what the slow ways take longer.
class Trial {
 public:
  explicit Trial(size_t ways);

  // The way to take now, between begin() and end(). `ran`: whether it could.
  size_t way() const { return ran_.size() % ways_; }
  void begin(cudaStream_t stream) { marks_.set(stream); }
  void end(cudaStream_t stream, bool ran);

  bool is_over() const;
  // The fastest way; the first one unless another is faster by more than chance. The device is
  // waited for.
  size_t fastest() const;

 private:
  double best_seconds(size_t way) const;

  size_t ways_;
  Marks marks_;            // of each run its beginning and its end
  std::vector<bool> ran_;  // turn by turn
};

}  // namespace spate::cuda
