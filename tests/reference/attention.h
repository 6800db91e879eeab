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
  double soft_cap = 0;  // 0: none
  double sink = -std::numeric_limits<double>::infinity();
};

struct Attended {
  std::vector<double> values;
  // Of each column: the root of the sum of (weight * value)^2. Weights that are off by independent
  // relative errors of size e change the column by about e times this.
  std::vector<double> spread;
};

// keys[p] and values[p] are those of place p; the query sees the places `seen`.
inline Attended attention(std::span<const double> query, std::span<const std::vector<double>> keys,
                          std::span<const std::vector<double>> values, std::span<const size_t> seen,
                          const AttentionOptions& options) {
  std::vector<double> scores;
  for (const size_t p : seen) {
    double score = 0;
    for (size_t d = 0; d < query.size(); ++d) score += query[d] * keys[p][d];
    score *= options.scale;
    if (options.soft_cap > 0) score = options.soft_cap * std::tanh(score / options.soft_cap);
    scores.push_back(score);
  }
  double largest = options.sink;
  for (const double score : scores) largest = std::max(largest, score);
  double sum = std::exp(options.sink - largest);
  const size_t width = values.front().size();
  Attended out{std::vector<double>(width, 0.0), std::vector<double>(width, 0.0)};
  for (size_t i = 0; i < seen.size(); ++i) {
    const double weight = std::exp(scores[i] - largest);
    sum += weight;
    for (size_t d = 0; d < width; ++d) {
      const double weighed = weight * values[seen[i]][d];
      out.values[d] += weighed;
      out.spread[d] += weighed * weighed;
    }
  }
  for (double& value : out.values) value /= sum;
  for (double& value : out.spread) value = std::sqrt(value) / sum;
  return out;
}

}  // namespace spate::reference
