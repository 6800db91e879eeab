// Vec without intrinsics; see vec.h. Vectors of four are a language extension of GCC and clang,
// which turn them into what the processor's base set has (SSE2, NEON) or into single operations.
#pragma once

#include <cstdint>
#include <cstring>

namespace spate::cpu::SPATE_ISA {

constexpr int kLanes = 4;

using Floats = float __attribute__((vector_size(16)));
using Integers = int32_t __attribute__((vector_size(16)));
using Unsigned = uint32_t __attribute__((vector_size(16)));

struct Vec {
  Floats v;
};
struct Words {
  Unsigned v;
};

inline float float_of_bits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t bits_of_float(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

inline uint16_t f16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  const uint32_t sign = (bits >> 16) & 0x8000U;
  const uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > 0x7F800000U) return static_cast<uint16_t>(sign | 0x7E00U);
  if (magnitude >= 0x477FF000U) return static_cast<uint16_t>(sign | 0x7C00U);  // rounds past 65504
  if (magnitude >= 0x38800000U) {                                              // normal in f16
    const uint32_t rounded = magnitude + 0xFFFU + ((magnitude >> 13) & 1U);
    return static_cast<uint16_t>(sign | ((rounded - (112U << 23)) >> 13));
  }
  // Subnormal in f16: adding 0.5 leaves its bits at the end of the mantissa, rounded.
  const float shifted = float_of_bits(magnitude) + 0.5F;
  return static_cast<uint16_t>(sign | (bits_of_float(shifted) - 0x3F000000U));
}

inline uint16_t bf16_of_float(float value) {
  const uint32_t bits = bits_of_float(value);
  if ((bits & 0x7FFFFFFFU) > 0x7F800000U) return static_cast<uint16_t>((bits >> 16) | 0x40U);
  return static_cast<uint16_t>((bits + 0x7FFFU + ((bits >> 16) & 1U)) >> 16);
}

template <class F>
inline Vec each_lane(F f) {
  return {Floats{f(0), f(1), f(2), f(3)}};
}

template <class F>
inline Words each_word(F f) {
  return {Unsigned{f(0), f(1), f(2), f(3)}};
}

inline Vec broadcast(float x) { return {Floats{x, x, x, x}}; }
inline Vec load(const float* from) {
  Vec out;
  std::memcpy(&out, from, sizeof out);
  return out;
}
inline Vec load_part(const float* from, int count) {
  return each_lane([&](int i) { return i < count ? from[i] : 0.0F; });
}
inline void store(float* to, Vec x) { std::memcpy(to, &x, sizeof x); }
inline void store_part(float* to, Vec x, int count) {
  for (int i = 0; i < count; ++i) to[i] = x.v[i];
}

// Shifts to the fields of an f32, then mends the exponent by a multiplication, which is exact and
// covers subnormals too; infinities and NaNs get the top exponent.
inline Vec load_f16(const uint16_t* from) {
  const Unsigned half = each_word([&](int i) { return uint32_t{from[i]}; }).v;
  const Unsigned magnitude = (half & 0x7FFFU) << 13;
  const Unsigned scaled = (Unsigned)((Floats)magnitude * 0x1p112F);
  const Unsigned value = magnitude >= (0x7C00U << 13) ? magnitude | 0x7F800000U : scaled;
  return {(Floats)(value | (half & 0x8000U) << 16)};
}
inline Vec load_bf16(const uint16_t* from) {
  return {(Floats)each_word([&](int i) { return uint32_t{from[i]} << 16; }).v};
}
inline void store_f16(uint16_t* to, Vec x) {
  for (int i = 0; i < kLanes; ++i) to[i] = f16_of_float(x.v[i]);
}
inline void store_bf16(uint16_t* to, Vec x) {
  for (int i = 0; i < kLanes; ++i) to[i] = bf16_of_float(x.v[i]);
}

inline Vec operator+(Vec a, Vec b) { return {a.v + b.v}; }
inline Vec operator-(Vec a, Vec b) { return {a.v - b.v}; }
inline Vec operator*(Vec a, Vec b) { return {a.v * b.v}; }
inline Vec operator/(Vec a, Vec b) { return {a.v / b.v}; }
inline Vec fma(Vec a, Vec b, Vec c) {  // the base set may have no fused one; two roundings then
  return {a.v * b.v + c.v};
}
inline Vec max(Vec a, Vec b) {  // b when either is a NaN
  return {a.v > b.v ? a.v : b.v};
}
inline Vec min(Vec a, Vec b) { return {a.v < b.v ? a.v : b.v}; }
inline Vec where_less(Vec x, Vec limit, Vec yes, Vec no) { return {x.v < limit.v ? yes.v : no.v}; }
// x * 2^n for whole n in [-126, 127]; adding 1.5 * 2^23 puts n into the lowest bits.
inline Vec scale_by_power_of_two(Vec x, Vec n) {
  const Unsigned exponent = ((Unsigned)(n.v + 12582912.0F) + 127U) << 23;
  return {x.v * (Floats)exponent};
}

inline float sum(Vec x) { return (x.v[0] + x.v[2]) + (x.v[1] + x.v[3]); }
inline float max_lane(Vec x) {
  float largest = x.v[0];
  for (int i = 1; i < kLanes; ++i) largest = x.v[i] > largest ? x.v[i] : largest;
  return largest;
}

inline Words broadcast_word(int32_t x) { return {Unsigned{} + static_cast<uint32_t>(x)}; }
inline Words load_i8(const void* from) {
  const auto* bytes = static_cast<const int8_t*>(from);
  return each_word([&](int i) { return static_cast<uint32_t>(int32_t{bytes[i]}); });
}
inline Words load_u8(const void* from) {
  const auto* bytes = static_cast<const uint8_t*>(from);
  return each_word([&](int i) { return uint32_t{bytes[i]}; });
}
inline Words operator>>(Words x, int bits) { return {x.v >> bits}; }
inline Words operator&(Words x, uint32_t mask) { return {x.v & mask}; }
inline Vec to_float(Words x) { return {__builtin_convertvector((Integers)x.v, Floats)}; }
inline Vec power_of_two(Words x) { return {(Floats)(x.v << 23)}; }
inline Words bits_of(Vec x) { return {(Unsigned)x.v}; }
inline Words operator+(Words a, Words b) { return {a.v + b.v}; }
inline void store_low_bytes(int8_t* to, Words x) {
  for (int i = 0; i < kLanes; ++i) to[i] = static_cast<int8_t>(x.v[i] & 0xFFU);
}

}  // namespace spate::cpu::SPATE_ISA
