// Plain meaning of eight-bit floats: 4 bits of exponent, 3 of mantissa, largest 448, and rows that
// are rounded to them with a scale of their own.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace spate::reference {

// The nearest e4m3, ties to even; what is too large becomes the largest.
inline double round_e4m3(double value) {
  const double size = std::abs(value);
  if (size == 0 || std::isnan(value)) return value;
  const int exponent = std::max(std::ilogb(size), -6);
  const double step = std::ldexp(1.0, exponent - 3);
  return std::copysign(std::min(std::nearbyint(size / step) * step, 448.0), value);
}

// Rows of `width` elements: codes as numbers, and a scale a row. f32 arithmetic, as devices do it.
struct RoundedRows {
  std::vector<double> codes;
  std::vector<double> scales;

  RoundedRows(const std::vector<double>& x, int64_t width) {
    for (auto row = x.begin(); row != x.end(); row += width) {
      float largest = 0;
      for (auto at = row; at != row + width; ++at) {
        largest = std::fmax(largest, std::abs(static_cast<float>(*at)));
      }
      const float scale = largest > 0 ? largest / 448.0F : 1.0F;
      const float factor = 1.0F / scale;
      scales.push_back(scale);
      for (auto at = row; at != row + width; ++at) {
        codes.push_back(round_e4m3(static_cast<float>(*at) * factor));
      }
    }
  }
};

}  // namespace spate::reference
