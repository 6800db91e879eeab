// Plain double-precision meaning of the ops that move or combine rows, and of activations.
#pragma once

#include <algorithm>
#include <cmath>

#include "backend/ops/linear.h"

namespace spate::reference {

inline double silu(double x) { return x / (1 + std::exp(-x)); }

// The tanh form of the Gaussian error linear unit.
inline double gelu_tanh(double x) {
  const double pi = std::acos(-1.0);
  return 0.5 * x * (1 + std::tanh(std::sqrt(2 / pi) * (x + 0.044715 * x * x * x)));
}

inline double gated(op::Activation activation, double gate, double up) {
  if (activation == op::Activation::silu) return silu(gate) * up;
  if (activation == op::Activation::gelu_tanh) return gelu_tanh(gate) * up;
  const double clipped = std::min(gate, 7.0);
  return clipped / (1 + std::exp(-1.702 * clipped)) * (std::clamp(up, -7.0, 7.0) + 1);
}

}  // namespace spate::reference
