// Plain double-precision meaning of the ops that move or combine rows.
#pragma once

#include <cmath>

namespace spate::reference {

inline double silu(double x) { return x / (1 + std::exp(-x)); }

// The tanh form of the Gaussian error linear unit.
inline double gelu_tanh(double x) {
  const double pi = std::acos(-1.0);
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
}

}  // namespace spate::reference
