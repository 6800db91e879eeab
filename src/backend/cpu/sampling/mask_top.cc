// MaskTop: finds the value (and, among equals, the token) at which a row is cut, without sorting
// it. top_k and top_p look at candidates alone, and blocks without any are skipped by their maxima.
#include <algorithm>
#include <cmath>
#include <limits>

#include "backend/cpu/ops.h"
#include "backend/cpu/sampling/candidates.h"

namespace spate::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

struct Limits {
  float temperature, top_p, min_p;
  int32_t top_k;
};

double total_mass(std::span<const Candidate> candidates) {
  double total = 0;
  for (const Candidate& candidate : candidates) total += candidate.mass;
  return total;
}

void weigh(const SamplingKernels& kernels, const RowScratch& scratch, float largest,
           std::span<Candidate> candidates) {
  float* values = scratch.values();
  for (size_t i = 0; i < candidates.size(); ++i) values[i] = candidates[i].value;
  kernels.exponentials(values, static_cast<int64_t>(candidates.size()), largest);
  for (size_t i = 0; i < candidates.size(); ++i) candidates[i].mass = values[i];
}

// The last token of the smallest set of most probable candidates whose masses reach `target`.
// Narrowed down like a quickselect, by mass instead of count: linear on average.
Candidate nucleus_end(std::span<Candidate> candidates, double target) {
  constexpr size_t kSortBelow = 32;
  double before = 0;  // mass of the candidates in front of the span
  while (candidates.size() > kSortBelow) {
    Candidate samples[] = {candidates.front(), candidates[candidates.size() / 2],
                           candidates.back()};
    std::sort(std::begin(samples), std::end(samples), more_probable);
    const Candidate pivot = samples[1];  // one sample comes behind it: neither side is empty
    const auto middle =
        std::partition(candidates.begin(), candidates.end(),
                       [&](const Candidate& one) { return !more_probable(pivot, one); });
    const std::span front = candidates.first(static_cast<size_t>(middle - candidates.begin()));
    const double mass = total_mass(front);
    if (before + mass >= target) {
      candidates = front;
    } else {
      before += mass;
      candidates = candidates.subspan(front.size());
    }
  }
  std::sort(candidates.begin(), candidates.end(), more_probable);
  for (const Candidate& candidate : candidates) {
    before += candidate.mass;
    if (before >= target) return candidate;
  }
  return candidates.back();
}

// The most probable tokens of the whole row that together have at least `target`: those within a
// distance of the largest logit, which is widened until they do.
std::span<Candidate> heaviest(const SamplingKernels& kernels, const RowScratch& scratch,
                              const float* logits, float largest, double target) {
  for (float distance = 4;; distance *= 2) {
    const bool all = distance > 100;  // masses of e^-100 and less are 0 in f32
    const float least = all ? -kInfinity : largest - distance;
    const std::span candidates = scratch.collect(logits, least);
    weigh(kernels, scratch, largest, candidates);
    if (all || total_mass(candidates) >= target) return candidates;
  }
}

// The smallest f32 that is not below `value`.
float round_up(double value) {
  const auto rounded = static_cast<float>(value);
  return static_cast<double>(rounded) < value ? std::nextafter(rounded, kInfinity) : rounded;
}

void mask_row(const SamplingKernels& kernels, const RowScratch& scratch, float* logits,
              int64_t size, const Limits& limits) {
  kernels.divide(logits, size, limits.temperature, scratch.maxima());
  const float largest = scratch.largest();
  if (largest == -kInfinity) return;
  if (largest == kInfinity) {  // no probabilities can be told
    kernels.mask_below(logits, size, kInfinity);
    return;
  }
  float least = -kInfinity;
  std::span<Candidate> candidates;
  const bool uses_top_k = limits.top_k > 0 && limits.top_k < size;
  if (uses_top_k) {
    candidates = scratch.collect(logits, scratch.reached_by(limits.top_k));
    const auto last = candidates.begin() + limits.top_k - 1;
    std::nth_element(candidates.begin(), last, candidates.end(), more_probable);
    least = last->value;
    const auto end = std::partition(last, candidates.end(),
                                    [least](const Candidate& one) { return one.value >= least; });
    candidates = candidates.first(static_cast<size_t>(end - candidates.begin()));
  }
  Candidate end{.value = -kInfinity, .token = 0, .mass = 0};
  if (limits.top_p < 1) {
    double total = 0;
    if (uses_top_k) {
      weigh(kernels, scratch, largest, candidates);
      total = total_mass(candidates);
    } else {
      kernels.sums(logits, size, largest, scratch.sums());
      for (int64_t block = 0; block < scratch.blocks(); ++block) total += scratch.sums()[block];
    }
    const double target = static_cast<double>(limits.top_p) * total;
    if (!uses_top_k) candidates = heaviest(kernels, scratch, logits, largest, target);
    end = nucleus_end(candidates, target);
    least = end.value;
  }
  if (limits.min_p > 0) {
    least = std::max(least, round_up(static_cast<double>(largest) +
                                     std::log(static_cast<double>(limits.min_p))));
  }
  if (least > -kInfinity) kernels.mask_below(logits, size, least);
  if (limits.top_p < 1) {
    for (const Candidate& one : candidates) {
      if (one.value == end.value && one.token > end.token) logits[one.token] = -kInfinity;
    }
  }
}

}  // namespace

void run(Context& context, const op::MaskTop& op) {
  const int64_t size = op.logits.row_size();
  context.pool().parallel(op.logits.rows(), [&](int64_t b, int thread) {
    const Limits limits{.temperature = op.temperature.as<float>()[b],
                        .top_p = op.top_p.as<float>()[b],
                        .min_p = op.min_p.as<float>()[b],
                        .top_k = op.top_k.as<int32_t>()[b]};
    if (limits.temperature == 0) return;
    const RowScratch scratch(context, thread, size);
    mask_row(*context.kernels().sampling, scratch, op.logits.row<float>(b), size, limits);
  });
}

}  // namespace spate::cpu
