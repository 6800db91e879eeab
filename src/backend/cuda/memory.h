// Memory of the CUDA backend.
#pragma once

#include <vector>

#include "tensor/tensor.h"

namespace spate::cuda {

// Zeroed. Throws Error(ExitCode::memory).
Buffer allocate(size_t bytes, int device);

// Pieces of one allocation, for what is never given back before the end.
class WeightMemory {
 public:
  explicit WeightMemory(int device) : device_(device) {}
  void reserve(size_t bytes);  // the pieces to come take so many bytes together
  Buffer take(size_t bytes);   // aligned to 256; valid as long as this object

  // What a piece of so many bytes takes.
  static constexpr size_t rounded(size_t bytes) {
    return (bytes + kAlignment - 1) / kAlignment * kAlignment;
  }

 private:
  static constexpr size_t kAlignment = 256;

  int device_;
  Buffer block_;
  std::vector<Buffer> alone_;  // pieces that were not reserved
  size_t used_ = 0;
};

}  // namespace spate::cuda
