// MaskTop: finds the value (and, among equals, the token) at which a row is cut, without sorting
// it. top_k and top_p look at candidates alone, and blocks without any are skipped by their maxima.
#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "backend/cpu/ops.h"
#include "backend/cpu/sampling/candidates.h"

namespace spate::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kLowest = std::numeric_limits<float>::lowest();

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

bool less_value(const Candidate& a, const Candidate& b) { return a.value < b.value; }

// Narrows candidates down to those of one range of values, the one in which the masses from the
// largest value on reach `target`; adds what lies before it to `before`. The largest and the
// smallest value fall into different ranges, so that something is always left out. Those that stay
// move to the front.
std::span<Candidate> narrow(std::span<Candidate> candidates, double target, double& before) {
  constexpr int kRanges = 256;
  const auto [low, high] =
      std::minmax_element(candidates.begin(), candidates.end(),
                          [](const Candidate& a, const Candidate& b) { return a.value < b.value; });
  const double largest = high->value;
  const double scale = (kRanges - 1) / (largest - static_cast<double>(low->value));
  const auto range_of = [=](const Candidate& one) {
    return static_cast<int>((largest - static_cast<double>(one.value)) * scale);
  };
  double mass[kRanges] = {};
  for (const Candidate& one : candidates) mass[range_of(one)] += one.mass;
  int chosen = 0;
  while (chosen < kRanges - 1 && before + mass[chosen] < target) before += mass[chosen++];
  size_t kept = 0;
  for (const Candidate& one : candidates) {
    candidates[kept] = one;
    kept += range_of(one) == chosen ? 1 : 0;
  }
  return candidates.first(kept);
}

// The last token of the smallest set of most probable candidates whose masses reach `target`.
Candidate nucleus_end(std::span<Candidate> candidates, double target) {
  constexpr size_t kSortBelow = 64;
  const auto all_equal = [&] {
    return std::all_of(candidates.begin(), candidates.end(),
                       [&](const Candidate& one) { return one.value == candidates.front().value; });
  };
  double before = 0;  // mass of the tokens in front of the candidates
  while (candidates.size() > kSortBelow && !all_equal()) {
    candidates = narrow(candidates, target, before);
  }
  std::sort(candidates.begin(), candidates.end(), more_probable);
  for (const Candidate& candidate : candidates) {
    before += candidate.mass;
    if (before >= target) return candidate;
  }
  return candidates.back();
}

// The k most probable tokens, and those equal to the last of them. Fewer when fewer are finite.
std::span<Candidate> top_k_of(const RowScratch& scratch, const float* logits, int64_t k) {
  const std::span candidates = scratch.collect(logits, std::max(scratch.reached_by(k), kLowest));
  if (static_cast<int64_t>(candidates.size()) <= k) return candidates;
  const auto last = candidates.begin() + k - 1;
  std::nth_element(candidates.begin(), last, candidates.end(), more_probable);
  const auto end =
      std::partition(last, candidates.end(),
                     [least = last->value](const Candidate& one) { return one.value >= least; });
  return candidates.first(static_cast<size_t>(end - candidates.begin()));
}

// The most probable tokens of the whole row that together have at least `target`: those within a
// distance of the largest logit, which is widened until they do.
std::span<Candidate> heaviest(const SamplingKernels& kernels, const RowScratch& scratch,
                              const float* logits, float largest, double target) {
  for (float distance = 4;; distance *= 2) {
    const bool all = distance > 100;  // masses of e^-100 and less are 0 in f32
    const std::span candidates = scratch.collect(logits, all ? kLowest : largest - distance);
    weigh(kernels, scratch, largest, candidates);
    if (all || total_mass(candidates) >= target) return candidates;
  }
}

// The smallest f32 that is not below `value`.
float round_up(double value) {
  const auto rounded = static_cast<float>(value);
  return static_cast<double>(rounded) < value ? std::nextafter(rounded, kInfinity) : rounded;
}

// Where a row is cut: logits below `least` go, and among those equal to it the tokens after `last`.
struct Cut {
  float least = -kInfinity;
  int32_t last = std::numeric_limits<int32_t>::max();
};

void mask_row(const SamplingKernels& kernels, const RowScratch& scratch, float* logits,
              int64_t size, const Limits& limits) {
  kernels.divide(logits, size, limits.temperature, scratch.maxima());
  const float largest = scratch.largest();
  if (largest == -kInfinity) return;
  if (largest == kInfinity) {
    kernels.mask_below(logits, size, kInfinity);
    return;
  }
  Cut cut;
  std::span<Candidate> candidates;  // hold every token that is equal to cut.least
  const bool uses_top_k = limits.top_k > 0 && limits.top_k < size;
  if (uses_top_k) {
    candidates = top_k_of(scratch, logits, limits.top_k);
    cut.least = std::min_element(candidates.begin(), candidates.end(), less_value)->value;
  }
  if (limits.top_p < 1) {
    const auto top_p = static_cast<double>(limits.top_p);
    double target = 0;
    if (uses_top_k) {
      weigh(kernels, scratch, largest, candidates);
      target = top_p * total_mass(candidates);
    } else {
      kernels.sums(logits, size, largest, scratch.sums());
      target = top_p * std::accumulate(scratch.sums(), scratch.sums() + scratch.blocks(), 0.0);
      candidates = heaviest(kernels, scratch, logits, largest, target);
    }
    const Candidate end = nucleus_end(candidates, target);
    cut = {end.value, end.token};
  }
  if (limits.min_p > 0) {
    const float least =
        round_up(static_cast<double>(largest) + std::log(static_cast<double>(limits.min_p)));
    if (least > cut.least) cut = {.least = least};
  }
  if (cut.least > -kInfinity) kernels.mask_below(logits, size, cut.least);
  if (limits.top_p < 1) {
    for (const Candidate& one : candidates) {
      if (one.value == cut.least && one.token > cut.last) logits[one.token] = -kInfinity;
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
