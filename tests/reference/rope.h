// Plain double-precision meaning of rotary positions, for one head.
#pragma once

#include <cmath>
#include <span>
#include <vector>

namespace spate::reference {

// Turns pair i of x by position * frequencies[i] and multiplies it with `magnitude`. The pair is
// (2i, 2i + 1) for neighbours, else (i, i + R/2) with R = 2 * frequencies.size(); elements from R
// on stay as they are.
inline std::vector<double> rope(std::span<const double> x, int position,
                                std::span<const float> frequencies, double magnitude,
                                bool neighbours) {
  std::vector<double> out(x.begin(), x.end());
  const size_t pairs = frequencies.size();
  for (size_t i = 0; i < pairs; ++i) {
    const size_t a = neighbours ? 2 * i : i;
    const size_t b = neighbours ? 2 * i + 1 : i + pairs;
    const double angle = position * static_cast<double>(frequencies[i]);
    out[a] = magnitude * (x[a] * std::cos(angle) - x[b] * std::sin(angle));
    out[b] = magnitude * (x[a] * std::sin(angle) + x[b] * std::cos(angle));
  }
  return out;
}

}  // namespace spate::reference
