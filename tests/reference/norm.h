// Plain double-precision meaning of the RMS norm of one row.
#pragma once

#include <cmath>
#include <span>
#include <vector>

namespace spate::reference {

inline std::vector<double> rms_norm(std::span<const double> x, std::span<const float> weight,
                                    double eps) {
  double squares = 0;
  for (const double value : x) squares += value * value;
  const double norm = std::sqrt(squares / static_cast<double>(x.size()) + eps);
  std::vector<double> out;
  for (size_t i = 0; i < x.size(); ++i) out.push_back(x[i] / norm * weight[i]);
  return out;
}

// The norm of each of `groups` equal parts, times the sigmoid of the gate.
inline std::vector<double> gated_group_norm(std::span<const double> x, std::span<const double> gate,
                                            std::span<const float> weight, size_t groups,
                                            double eps) {
  const size_t width = x.size() / groups;
  std::vector<double> out;
  for (size_t i = 0; i < x.size(); i += width) {
    const auto part = rms_norm(x.subspan(i, width), weight.subspan(i, width), eps);
    out.insert(out.end(), part.begin(), part.end());
  }
  for (size_t i = 0; i < out.size(); ++i) out[i] /= 1 + std::exp(-gate[i]);
  return out;
}

}  // namespace spate::reference
