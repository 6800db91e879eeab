// Plain floats as formats with blocks of one element. bf16 is the upper half of an f32. e4m3 has a
// sign, four bits of exponent (plus 7) and three of mantissa; all ones are a NaN, and there is no
// infinity: its largest number is 448.
#include <bit>
#include <cmath>
#include <limits>

#include "quant/bits.h"
#include "quant/format.h"

namespace spate {
namespace {

void decode_f32(const std::byte* bytes, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = std::bit_cast<float>(uint32_t{u16_at(bytes, 4 * i)} |
                                  uint32_t{u16_at(bytes, 4 * i + 2)} << 16);
  }
}

void decode_f16(const std::byte* bytes, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = f16_to_f32(u16_at(bytes, 2 * i));
}

void decode_bf16(const std::byte* bytes, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = bf16_to_f32(u16_at(bytes, 2 * i));
}

float e4m3_to_f32(uint32_t byte) {
  const int exponent = bits_of(byte, 3, 4), mantissa = bits_of(byte, 0, 3);
  const float sign = byte < 128 ? 1.0F : -1.0F;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(mantissa), -9);
  return sign * std::ldexp(static_cast<float>(8 + mantissa), exponent - 10);
}

void decode_e4m3(const std::byte* bytes, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = e4m3_to_f32(byte_at(bytes, i));
}

void decode_bytes(const std::byte* bytes, std::span<float> out) {
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(byte_at(bytes, i));
}

}  // namespace

const Format kF32{"f32", 0, 1, 4, decode_f32};
const Format kF16{"f16", 1, 1, 2, decode_f16};
const Format kBf16{"bf16", 30, 1, 2, decode_bf16};
const Format kE4m3{"e4m3", -1, 1, 1, decode_e4m3};
const Format kBytes{"bytes", -1, 1, 1, decode_bytes};

}  // namespace spate
