// Plain double-precision meaning of attention, for one query head of one token.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace spate::reference {

struct AttentionOptions {
  double scale = 1;
  int window = 0;       // 0: sees all keys before it
  double soft_cap = 0;  // 0: none
  double sink = -std::numeric_limits<double>::infinity();
};

struct Attended {
  std::vector<double> values;
  // Of each column: the root of the sum of (weight * value)^2. Weights that are off by independent
  // relative errors of size e change the column by about e times this.
  std::vector<double> spread;
};

// keys[p] and values[p] are those of position p; the query is at `position`.
inline Attended attention(std::span<const double> query, std::span<const std::vector<double>> keys,
                          std::span<const std::vector<double>> values, int position,
                          const AttentionOptions& options) {
  const int first = options.window > 0 ? std::max(0, position - options.window + 1) : 0;
  std::vector<double> scores;
  for (int p = first; p <= position; ++p) {
    double score = 0;
    for (size_t d = 0; d < query.size(); ++d) score += query[d] * keys[static_cast<size_t>(p)][d];
    score *= options.scale;
    if (options.soft_cap > 0) score = options.soft_cap * std::tanh(score / options.soft_cap);
    scores.push_back(score);
  }
  double largest = options.sink;
  for (const double score : scores) largest = std::max(largest, score);
  double sum = std::exp(options.sink - largest);
  Attended out{std::vector<double>(query.size(), 0.0), std::vector<double>(query.size(), 0.0)};
  for (int p = first; p <= position; ++p) {
    const double weight = std::exp(scores[static_cast<size_t>(p - first)] - largest);
    sum += weight;
    for (size_t d = 0; d < query.size(); ++d) {
      const double weighed = weight * values[static_cast<size_t>(p)][d];
      out.values[d] += weighed;
      out.spread[d] += weighed * weighed;
    }
  }
  for (double& value : out.values) value /= sum;
  for (double& value : out.spread) value = std::sqrt(value) / sum;
  return out;
}

}  // namespace spate::reference
