// Gumbel noise of one token: the operations of backend/cpu/kernels/gumbel.h in their order, none
// fused, so that a GPU draws the very token that a CPU draws.
#pragma once

#include <cstdint>

namespace spate::cuda {

// A float whose sums and products are rounded one by one.
struct Exact {
  float value;
};
__device__ inline Exact operator+(Exact a, Exact b) { return {__fadd_rn(a.value, b.value)}; }
__device__ inline Exact operator-(Exact a, Exact b) { return {__fsub_rn(a.value, b.value)}; }
__device__ inline Exact operator*(Exact a, Exact b) { return {__fmul_rn(a.value, b.value)}; }
__device__ inline Exact operator-(Exact a) { return {-a.value}; }

// A positive normal number as (1 + f) * 2^exponent with 1 + f in [sqrt(1/2), sqrt(2)).
struct Parts {
  Exact f;
  int32_t exponent;
};
__device__ inline Parts split(Exact x) {
  const auto bits = __float_as_int(x.value);
  const int32_t exponent = (bits - 0x3F3504F3) >> 23;  // 0x3F3504F3: sqrt(1/2)
  const uint32_t rest = static_cast<uint32_t>(bits) - (static_cast<uint32_t>(exponent) << 23);
  return {Exact{__uint_as_float(rest)} - Exact{1.0F}, exponent};
}

// log(1 + f) + exponent * ln 2; the polynomial is Cephes' logf.
__device__ inline Exact log_of_parts(Exact f, int32_t whole) {
  const Exact exponent{static_cast<float>(whole)}, square = f * f;
  Exact p{7.0376836292e-2F};
  p = p * f - Exact{1.1514610310e-1F};
  p = p * f + Exact{1.1676998740e-1F};
  p = p * f - Exact{1.2420140846e-1F};
  p = p * f + Exact{1.4249322787e-1F};
  p = p * f - Exact{1.6668057665e-1F};
  p = p * f + Exact{2.0000714765e-1F};
  p = p * f - Exact{2.4999993993e-1F};
  p = p * f + Exact{3.3333331174e-1F};
  // ln 2 in two parts: the first has so few bits that its product is exact.
  const Exact small = p * f * square - Exact{2.12194440e-4F} * exponent - Exact{0.5F} * square;
  return f + small + Exact{0.693359375F} * exponent;
}

// -log(-log(u)) for u spread evenly over (0, 1) by a random word: u is near 1 for small words, and
// 1 - u is (word + 1/2) / 2^32 for every word.
__device__ inline float gumbel_of_word(uint32_t word) {
  const bool far = word >> 31 != 0;  // u is near 0: made from its distance to 0
  const auto near = static_cast<int32_t>(far ? ~word : word);
  const Exact a = (Exact{static_cast<float>(near)} + Exact{0.5F}) * Exact{0x1p-32F};
  const Parts u = split(far ? a : Exact{1.0F} - a);
  // 1 - a has lost the last bits of a small a: take log(1 - a) from a itself.
  const bool from_a = !far && u.exponent >= 0;
  const Exact exponential = -log_of_parts(from_a ? -a : u.f, u.exponent);
  const Parts e = split(exponential);
  return (-log_of_parts(e.f, e.exponent)).value;
}

}  // namespace spate::cuda
