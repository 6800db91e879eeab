// The few tokens of a row that matter, found without sorting the row.
#pragma once

#include <cstdint>
#include <span>

#include "backend/cpu/context.h"
#include "backend/cpu/kernels/sampling.h"

namespace spate::cpu {

struct Candidate {
  float value;  // logit; a NaN is seen as -infinity
  int32_t token;
  float mass;  // exp(value - largest), where it is needed
};

// Most probable first; ties by the smaller id. A total order: no two tokens are equal.
inline bool more_probable(const Candidate& a, const Candidate& b) {
  return a.value != b.value ? a.value > b.value : a.token < b.token;
}

// Scratch memory for one row; belongs to one thread while it works on the row.
class RowScratch {
 public:
  RowScratch(Context& context, int thread, int64_t size);

  int64_t blocks() const { return blocks_; }
  float* maxima() const { return maxima_; }  // [blocks], of the row's blocks
  float* sums() const { return sums_; }      // [blocks]
  float* values() const { return values_; }  // [size]

  // The largest of all blocks.
  float largest() const;
  // A value that at least `count` tokens of the row reach, or -infinity: the count-th largest block
  // maximum, because each of those blocks has such a token.
  float reached_by(int64_t count) const;
  // Tokens of the row with values of at least `least`, in the order of their ids.
  std::span<Candidate> collect(const float* logits, float least) const;

 private:
  int64_t size_, blocks_;
  float* maxima_;
  float* sums_;
  float* values_;
  Candidate* candidates_;  // [size]
};

}  // namespace spate::cpu
