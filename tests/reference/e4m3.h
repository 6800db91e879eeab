// Plain meaning of eight-bit floats: 4 bits of exponent, 3 of mantissa, largest 448; of rows that
// are rounded to them with a scale of their own, and of heads in the KV cache, whose scales are
// powers of two.
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

// Bits: sign, exponent + 7, mantissa; no exponent means -6 and no leading one.
inline uint8_t e4m3_bits(double value) {
  if (std::isnan(value)) return 0x7F;
  const double rounded = round_e4m3(value), size = std::abs(rounded);
  const int exponent = size == 0 ? -6 : std::max(std::ilogb(size), -6);
  const int eighths = static_cast<int>(std::ldexp(size, 3 - exponent));  // below 16
  const int bits = eighths < 8 ? eighths : (exponent + 7) * 8 + eighths - 8;
  return static_cast<uint8_t>(bits | (std::signbit(rounded) ? 0x80 : 0));
}

inline double from_e4m3(uint8_t bits) {
  const int exponent = bits >> 3 & 15, mantissa = bits & 7;
  if (exponent == 15 && mantissa == 7) return std::nan("");
  const double size =
      exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return (bits & 0x80) != 0 ? -size : size;
}

// The scale of a head in the KV cache (KvView).
inline double head_scale(const std::vector<double>& head) {
  double largest = 0;
  for (const double x : head) largest = std::max(largest, std::abs(x));
  int exponent = -15;
  while (largest > std::ldexp(448, exponent) && exponent < 7) ++exponent;
  return std::ldexp(1, exponent);
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
