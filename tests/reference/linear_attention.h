// Plain double-precision meaning of linear attention with a decay, for one head: every pair of a
// query and a key by itself, without a state.
#pragma once

#include <cmath>
#include <span>
#include <vector>

namespace spate::reference {

struct LinearAttended {
  std::vector<double> values;
  std::vector<double> sizes;   // of each column: the sum of all products without their signs
  std::vector<double> spread;  // the root of the sum of the squares of what each token gives
};

// The query of the last token; keys[s] and values[s] are those of all tokens up to it.
inline LinearAttended linear_attention(std::span<const double> query,
                                       std::span<const std::vector<double>> keys,
                                       std::span<const std::vector<double>> values, double slope,
                                       double scale) {
  const size_t width = query.size();
  const std::vector<double> zeros(width, 0.0);
  LinearAttended out{zeros, zeros, zeros};
  for (size_t s = 0; s < keys.size(); ++s) {
    double score = 0, size = 0;
    for (size_t d = 0; d < width; ++d) {
      score += query[d] * keys[s][d];
      size += std::abs(query[d] * keys[s][d]);
    }
    const double weight = scale * std::exp(-slope * static_cast<double>(keys.size() - 1 - s));
    for (size_t e = 0; e < width; ++e) {
      out.values[e] += weight * score * values[s][e];
      out.sizes[e] += std::abs(weight * size * values[s][e]);
      out.spread[e] += std::pow(weight * score * values[s][e], 2);
    }
  }
  for (double& spread : out.spread) spread = std::sqrt(spread);
  return out;
}

// The state after these tokens, element [d, e] at d * width + e.
inline LinearAttended linear_attention_state(std::span<const std::vector<double>> keys,
                                             std::span<const std::vector<double>> values,
                                             double slope) {
  const size_t width = keys.front().size();
  const std::vector<double> zeros(width * width, 0.0);
  LinearAttended out{zeros, zeros, zeros};
  for (size_t s = 0; s < keys.size(); ++s) {
    const double weight = std::exp(-slope * static_cast<double>(keys.size() - 1 - s));
    for (size_t d = 0; d < width; ++d) {
      for (size_t e = 0; e < width; ++e) {
        const double product = weight * keys[s][d] * values[s][e];
        out.values[d * width + e] += product;
        out.sizes[d * width + e] += std::abs(product);
        out.spread[d * width + e] += product * product;
      }
    }
  }
  for (double& spread : out.spread) spread = std::sqrt(spread);
  return out;
}

}  // namespace spate::reference
