// Logprobs: two passes over a row for its maxima and sums, one for the rank; the best K come from
// the few blocks that can hold them.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/ops.h"
#include "backend/cpu/sampling/candidates.h"

namespace spate::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The logarithm of the sum of exp over a row, kept as two numbers so that subtracting it is exact
// near the largest logit.
struct LogSum {
  float largest;
  double rest;

  float logprob(float logit) const {
    if (std::isnan(logit) || logit == -kInfinity) return -kInfinity;
    if (largest == kInfinity) return logit == kInfinity ? 0 : -kInfinity;
    return static_cast<float>(static_cast<double>(logit) - static_cast<double>(largest) - rest);
  }
};

LogSum log_sum(const SamplingKernels& kernels, const RowScratch& scratch, const float* logits,
               int64_t size) {
  kernels.maxima(logits, size, scratch.maxima());
  LogSum sum{.largest = scratch.largest(), .rest = 0};
  if (std::isinf(sum.largest)) return sum;
  kernels.sums(logits, size, sum.largest, scratch.sums());
  double total = 0;
  for (int64_t block = 0; block < scratch.blocks(); ++block) total += scratch.sums()[block];
  sum.rest = std::log(total);
  return sum;
}

}  // namespace

void run(Context& context, const op::Logprobs& op) {
  const SamplingKernels& kernels = *context.kernels().sampling;
  const int64_t size = op.logits.row_size();
  const int64_t top = op.top_tokens.data == nullptr ? 0 : op.top_tokens.row_size();
  context.pool().parallel(op.logits.rows(), [&](int64_t b, int thread) {
    const float* logits = op.logits.row<float>(b);
    const RowScratch scratch(context, thread, size);
    const LogSum sum = log_sum(kernels, scratch, logits, size);
    const int32_t token = op.chosen.as<int32_t>()[b];
    const float chosen = token < 0 ? -kInfinity : logits[token];
    const float compared = std::isnan(chosen) ? -kInfinity : chosen;
    op.logprob.as<float>()[b] = sum.logprob(chosen);
    op.rank.as<int32_t>()[b] =
        1 + static_cast<int32_t>(kernels.count_above(logits, size, compared));
    if (top == 0) return;
    const std::span candidates = scratch.collect(logits, scratch.reached_by(top));
    std::partial_sort(candidates.begin(), candidates.begin() + top, candidates.end(),
                      more_probable);
    for (int64_t k = 0; k < top; ++k) {
      const Candidate& candidate = candidates[static_cast<size_t>(k)];
      op.top_tokens.row<int32_t>(b)[k] = candidate.token;
      op.top_logprobs.row<float>(b)[k] = sum.logprob(candidate.value);
    }
  });
}

}  // namespace spate::cpu
