#include "backend/cpu/sampling/candidates.h"

#include <algorithm>
#include <functional>
#include <limits>

namespace spate::cpu {
namespace {

constexpr int64_t kBlock = SamplingKernels::kBlock;
constexpr float kMinusInfinity = -std::numeric_limits<float>::infinity();

}  // namespace

RowScratch::RowScratch(Context& context, int thread, int64_t size)
    : size_(size), blocks_((size + kBlock - 1) / kBlock) {
  const auto floats = static_cast<size_t>(2 * blocks_ + size_);
  const size_t bytes = floats * sizeof(float) + static_cast<size_t>(size_) * sizeof(Candidate);
  maxima_ = static_cast<float*>(context.scratch(thread, bytes));
  sums_ = maxima_ + blocks_;
  values_ = sums_ + blocks_;
  candidates_ = reinterpret_cast<Candidate*>(values_ + size_);
}

float RowScratch::largest() const { return *std::max_element(maxima_, maxima_ + blocks_); }

float RowScratch::reached_by(int64_t count) const {
  if (count > blocks_) return kMinusInfinity;
  std::copy(maxima_, maxima_ + blocks_, values_);
  std::nth_element(values_, values_ + count - 1, values_ + blocks_, std::greater<>());
  return values_[count - 1];
}

std::span<Candidate> RowScratch::collect(const float* logits, float least) const {
  size_t count = 0;
  for (int64_t block = 0; block < blocks_; ++block) {
    if (maxima_[block] < least) continue;
    const int64_t end = std::min(size_, (block + 1) * kBlock);
    for (int64_t token = block * kBlock; token < end; ++token) {
      const float value = logits[token] > kMinusInfinity ? logits[token] : kMinusInfinity;
      candidates_[count] = {value, static_cast<int32_t>(token), 0};
      count += value >= least ? 1 : 0;
    }
  }
  return {candidates_, count};
}

}  // namespace spate::cpu
