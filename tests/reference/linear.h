// Matrix products in double precision, with weights decoded by their format's own definition.
#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "quant/format.h"

namespace spate::reference {

// All elements of a weight as it lies in a checkpoint, [out, in].
inline std::vector<float> decode(const HostWeight& weight) {
  std::vector<float> out(static_cast<size_t>(weight.out * weight.in));
  for (int64_t row = 0; row < weight.out; ++row) {
    weight.format->decode(weight.bytes + row * weight.format->row_bytes(weight.in),
                          {out.data() + row * weight.in, static_cast<size_t>(weight.in)});
  }
  return out;
}

// Inputs that share a step when a row is rounded for products with weights of a format; 0 where
// rows stay floats.
inline int64_t rounded_part(const Format& format) {
  if (format.block == 1) return 0;
  const bool of_16 = &format == &kQ2K || &format == &kQ3K || &format == &kQ6K;
  return of_16 ? 16 : 32;
}

// x, each part of `part` elements rounded to whole numbers of -127 to 127 times its step.
inline std::vector<double> rounded(const std::vector<double>& x, int64_t part) {
  std::vector<double> out(x.size());
  for (size_t begin = 0; begin < x.size(); begin += static_cast<size_t>(part)) {
    float largest = 0;
    for (size_t i = begin; i < begin + static_cast<size_t>(part); ++i) {
      largest = std::max(largest, std::abs(static_cast<float>(x[i])));
    }
    const float inverse = largest > 1e-36F ? 127 / largest : 0;
    for (size_t i = begin; i < begin + static_cast<size_t>(part); ++i) {
      const float code = std::nearbyint(static_cast<float>(x[i]) * inverse);
      out[i] = static_cast<double>(code) * static_cast<double>(largest / 127);
    }
  }
  return out;
}

struct Products {
  std::vector<double> value;      // [T, O]
  std::vector<double> magnitude;  // the same sums over absolute values, for tolerances
};

// x [T, I] * weight^T + bias; `bias` may be empty.
inline Products linear(const std::vector<double>& x, const HostWeight& weight,
                       const std::vector<double>& bias) {
  const std::vector<float> w = decode(weight);
  const auto in = static_cast<size_t>(weight.in), out = static_cast<size_t>(weight.out);
  Products result;
  for (size_t t = 0; t < x.size() / in; ++t) {
    for (size_t o = 0; o < out; ++o) {
      double sum = 0, magnitude = 0;
      for (size_t i = 0; i < in; ++i) {
        const double product = x[t * in + i] * static_cast<double>(w[o * in + i]);
        sum += product;
        magnitude += std::abs(product);
      }
      if (!bias.empty()) {
        sum += bias[o];
        magnitude += std::abs(bias[o]);
      }
      result.value.push_back(sum);
      result.magnitude.push_back(magnitude);
    }
  }
  return result;
}

}  // namespace spate::reference
