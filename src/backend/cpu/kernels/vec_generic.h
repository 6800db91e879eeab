// Vec in plain code; see vec.h. Eight lanes, because the compiler turns the loops into whatever
// short vectors the processor's base set has.
#pragma once

#include <cstdint>
#include <cstring>

namespace spate::cpu::SPATE_ISA {

constexpr int kLanes = 8;

struct Vec {
  float v[kLanes];
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

// f16 -> f32: shift to f32's fields, then fix the exponent by a multiplication, which is exact and
// covers subnormals too; infinities and NaNs get the top exponent.
inline float float_of_f16(uint16_t half) {
  const uint32_t magnitude = (half & 0x7FFFU) << 13;
  const uint32_t value = magnitude >= 0x7C00U << 13
                             ? magnitude | 0x7F800000U
                             : bits_of_float(float_of_bits(magnitude) * 0x1p112F);
  return float_of_bits(value | (half & 0x8000U) << 16);
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

// Applies `f` to each lane index.
template <class F>
inline Vec each_lane(F f) {
  Vec out;
  for (int i = 0; i < kLanes; ++i) out.v[i] = f(i);
  return out;
}

inline Vec broadcast(float x) {
  return each_lane([&](int) { return x; });
}
inline Vec load(const float* from) {
  return each_lane([&](int i) { return from[i]; });
}
inline Vec load_part(const float* from, int count) {
  return each_lane([&](int i) { return i < count ? from[i] : 0.0F; });
}
inline void store(float* to, Vec x) {
  for (int i = 0; i < kLanes; ++i) to[i] = x.v[i];
}
inline void store_part(float* to, Vec x, int count) {
  for (int i = 0; i < count; ++i) to[i] = x.v[i];
}

inline Vec load_f16(const uint16_t* from) {
  return each_lane([&](int i) { return float_of_f16(from[i]); });
}
inline Vec load_bf16(const uint16_t* from) {
  return each_lane([&](int i) { return float_of_bits(uint32_t{from[i]} << 16); });
}
inline void store_f16(uint16_t* to, Vec x) {
  for (int i = 0; i < kLanes; ++i) to[i] = f16_of_float(x.v[i]);
}
inline void store_bf16(uint16_t* to, Vec x) {
  for (int i = 0; i < kLanes; ++i) to[i] = bf16_of_float(x.v[i]);
}

inline Vec operator+(Vec a, Vec b) {
  return each_lane([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return each_lane([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return each_lane([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return each_lane([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec fma(Vec a, Vec b, Vec c) {  // the base set may have no fused one; two roundings then
  return each_lane([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec max(Vec a, Vec b) {  // b when either is a NaN
  return each_lane([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec min(Vec a, Vec b) {
  return each_lane([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec where_less(Vec x, Vec limit, Vec yes, Vec no) {
  return each_lane([&](int i) { return x.v[i] < limit.v[i] ? yes.v[i] : no.v[i]; });
}
// x * 2^n for whole n in [-126, 127]; a NaN in x gives one, whatever n is.
inline Vec scale_by_power_of_two(Vec x, Vec n) {
  return each_lane([&](int i) {
    const int power = n.v[i] == n.v[i] ? static_cast<int>(n.v[i]) : 0;
    return x.v[i] * float_of_bits(static_cast<uint32_t>(power + 127) << 23);
  });
}

inline float sum(Vec x) {
  return ((x.v[0] + x.v[4]) + (x.v[2] + x.v[6])) + ((x.v[1] + x.v[5]) + (x.v[3] + x.v[7]));
}
inline float max_lane(Vec x) {
  float largest = x.v[0];
  for (int i = 1; i < kLanes; ++i) largest = x.v[i] > largest ? x.v[i] : largest;
  return largest;
}

struct Words {
  uint32_t v[kLanes];
};

template <class F>
inline Words each_word(F f) {
  Words out;
  for (int i = 0; i < kLanes; ++i) out.v[i] = f(i);
  return out;
}

inline Words load_words(const void* from) {
  Words out;
  std::memcpy(out.v, from, sizeof out.v);
  return out;
}
inline Words load_i8(const void* from) {
  const auto* bytes = static_cast<const int8_t*>(from);
  return each_word([&](int i) { return static_cast<uint32_t>(int32_t{bytes[i]}); });
}
inline Words load_u8(const void* from) {
  const auto* bytes = static_cast<const uint8_t*>(from);
  return each_word([&](int i) { return uint32_t{bytes[i]}; });
}
inline Words operator>>(Words x, int bits) {
  return each_word([&](int i) { return x.v[i] >> bits; });
}
inline Words operator<<(Words x, int bits) {
  return each_word([&](int i) { return x.v[i] << bits; });
}
inline Words operator&(Words x, uint32_t mask) {
  return each_word([&](int i) { return x.v[i] & mask; });
}
inline Words choose_bits(uint32_t mask, Words yes, Words no) {
  return each_word([&](int i) { return (yes.v[i] & mask) | (no.v[i] & ~mask); });
}
inline Vec to_float(Words x) {
  return each_lane([&](int i) { return static_cast<float>(static_cast<int32_t>(x.v[i])); });
}

constexpr bool kFastLookup = false;

template <int kBits>
class Lookup {
 public:
  explicit Lookup(const float* entries) : entries_(entries) {}
  Vec operator()(Words index) const {
    return each_lane([&](int i) { return entries_[index.v[i] & ((1U << kBits) - 1)]; });
  }

 private:
  const float* entries_;
};

}  // namespace spate::cpu::SPATE_ISA
