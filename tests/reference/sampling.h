// The sampling ops in plain double loops, as backend/ops/sampling.h describes them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include "base/random.h"

namespace spate::reference {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

inline double without_nan(double logit) { return std::isnan(logit) ? -kInfinity : logit; }

// Token ids, most probable first; ties by the smaller id.
inline std::vector<int32_t> ranking(const std::vector<double>& logits) {
  std::vector<int32_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return without_nan(logits[static_cast<size_t>(a)]) >
           without_nan(logits[static_cast<size_t>(b)]);
  });
  return order;
}

inline std::vector<double> softmax(const std::vector<double>& logits) {
  double largest = -kInfinity, sum = 0;
  for (const double logit : logits) largest = std::max(largest, without_nan(logit));
  std::vector<double> out;
  for (const double logit : logits) out.push_back(std::exp(without_nan(logit) - largest));
  for (const double mass : out) sum += mass;
  for (double& mass : out) mass /= sum;
  return out;
}

inline double penalized(double logit, int64_t count, double repetition, double frequency,
                        double presence) {
  logit = logit > 0 ? logit / repetition : logit * repetition;
  return count > 0 ? logit - frequency * static_cast<double>(count) - presence : logit;
}

struct MaskLimits {
  double temperature = 1;
  int64_t top_k = 0;
  double top_p = 1, min_p = 0;
};

// What MaskTop makes of a row. `doubtful`: the token lies so near to the end of the nucleus that
// sums in f32 may decide either way.
struct Masked {
  std::vector<double> logits;
  std::vector<bool> doubtful;
};

inline Masked mask_top(const std::vector<double>& logits, const MaskLimits& limits) {
  Masked out{logits, std::vector<bool>(logits.size())};
  if (limits.temperature == 0) return out;
  for (double& logit : out.logits) {
    logit = without_nan(static_cast<float>(logit) / static_cast<float>(limits.temperature));
  }
  const auto order = ranking(out.logits);
  const auto value = [&](int32_t token) -> double& {
    return out.logits[static_cast<size_t>(token)];
  };
  const double largest = value(order.front());
  if (largest == kInfinity) {  // all probability is there
    for (double& logit : out.logits) logit = logit == kInfinity ? logit : -kInfinity;
    return out;
  }
  if (limits.top_k > 0 && limits.top_k < static_cast<int64_t>(order.size())) {
    const double last = value(order[static_cast<size_t>(limits.top_k - 1)]);
    for (double& logit : out.logits) {
      if (logit < last) logit = -kInfinity;
    }
  }
  if (limits.top_p < 1 && largest > -kInfinity) {
    const std::vector<double> probability = softmax(out.logits);
    double before = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      const auto token = static_cast<size_t>(order[i]);
      if (i > 0 && before >= limits.top_p) out.logits[token] = -kInfinity;
      if (i > 0 && std::abs(before - limits.top_p) < 3e-6) out.doubtful[token] = true;
      before += probability[token];
    }
  }
  if (limits.min_p > 0 && largest > -kInfinity) {
    for (double& logit : out.logits) {
      if (logit < largest + std::log(limits.min_p)) logit = -kInfinity;
    }
  }
  return out;
}

// -log(-log(u)); words below 2^31 stand for u near 1, the others for u near 0.
inline double gumbel(uint64_t key, uint64_t position, int64_t token) {
  const uint32_t word = philox(key, position, static_cast<uint64_t>(token) / 4).word[token % 4];
  if (word < 0x80000000U) return -std::log(-std::log1p(-(word + 0.5) / 4294967296.0));
  return -std::log(-std::log((~word + 0.5) / 4294967296.0));
}

struct Drawn {
  int32_t token = -1;
  double lead = kInfinity;  // how far its score is ahead of the second one
};

inline Drawn draw(const std::vector<double>& logits, double temperature, uint64_t key,
                  uint64_t position) {
  Drawn drawn;
  double best = -kInfinity;
  for (size_t token = 0; token < logits.size(); ++token) {
    double score = without_nan(logits[token]);
    if (score == -kInfinity) continue;
    if (temperature > 0) score += gumbel(key, position, static_cast<int64_t>(token));
    if (score > best) {
      drawn = {static_cast<int32_t>(token), score - best};
      best = score;
    } else {
      drawn.lead = std::min(drawn.lead, best - score);
    }
  }
  return drawn;
}

struct Scored {
  double logprob = 0;
  int64_t rank = 1;
  std::vector<std::pair<int32_t, double>> top;
};

inline Scored logprobs(const std::vector<double>& logits, int32_t chosen, int64_t top) {
  const std::vector<double> probability = softmax(logits);
  double largest = -kInfinity, sum = 0;
  for (const double logit : logits) largest = std::max(largest, without_nan(logit));
  for (const double logit : logits) sum += std::exp(without_nan(logit) - largest);
  const auto logprob = [&](int32_t token) {
    const double logit = without_nan(logits[static_cast<size_t>(token)]);
    return logit == -kInfinity ? -kInfinity : logit - largest - std::log(sum);
  };
  Scored out{.logprob = logprob(chosen)};
  const double logit = without_nan(logits[static_cast<size_t>(chosen)]);
  for (const double other : logits) out.rank += without_nan(other) > logit ? 1 : 0;
  const auto order = ranking(logits);
  for (int64_t k = 0; k < top; ++k) {
    const int32_t token = order[static_cast<size_t>(k)];
    out.top.emplace_back(token, logprob(token));
  }
  return out;
}

}  // namespace spate::reference
