// Reading packed bytes, for the decoders of this room. Nothing here assumes alignment.
//
// In every decoder the products that are added to something are exact in f32 (an f16 has 11 bits,
// codes and sub-scales have few), so a compiler that contracts a * b + c into one operation changes
// no bit of the result.
#pragma once

#include <cstddef>
#include <cstdint>

#include "tensor/half.h"

namespace spate {

inline uint32_t byte_at(const std::byte* bytes, size_t offset) {
  return std::to_integer<uint32_t>(bytes[offset]);
}

inline uint16_t u16_at(const std::byte* bytes, size_t offset) {
  return static_cast<uint16_t>(byte_at(bytes, offset) | byte_at(bytes, offset + 1) << 8);
}

inline int signed_byte_at(const std::byte* bytes, size_t offset) {
  return static_cast<int8_t>(byte_at(bytes, offset));
}

inline float half_at(const std::byte* bytes, size_t offset) {
  return f16_to_f32(u16_at(bytes, offset));
}

// Bits [low, low + count) of a byte.
inline int bits_of(uint32_t byte, int low, int count) {
  return static_cast<int>(byte >> low & ((1U << count) - 1));
}

}  // namespace spate
