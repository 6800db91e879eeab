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

}  // namespace spate::reference
