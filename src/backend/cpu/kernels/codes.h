// The packed formats as integers, read from tiles as tiles/layout.h describes each: a weight is
// step * (code - middle), or step * code + shift, with an unsigned code. Of kLanes outputs:
//
//   kPart      inputs that share step and shift
//   kMiddle    0 in formats with a shift
//   kLargest   of all codes
//   unpack     the codes of a part, four inputs in a vector
//   step       of a part
//   shift      of a part; 0 in formats with a middle
#pragma once

#include "backend/cpu/kernels/bytes.h"
#include "backend/tiles/layout.h"

namespace spate::cpu::SPATE_ISA {

inline Vec f16_field(const uint8_t* block, int offset, int lane) {
  return load_f16(reinterpret_cast<const uint16_t*>(block + offset) + lane);
}

// 2^(e - 128) of bytes e, as two powers that are normal numbers.
inline Vec power_field(const uint8_t* block, int offset, int lane) {
  const Words e = load_u8(block + offset + lane);
  const Words bias = broadcast_word(63);
  return power_of_two((e >> 1) + bias) * power_of_two(((e + broadcast_word(1)) >> 1) + bias);
}

// The groups of a part from a field of kBits bits a code, with each code's lowest bit at bit `to`.
template <int kBits, int kGroups>
inline void unpack_field(const uint8_t* field, int lane, int part, int to,
                         Bytes (&codes)[kGroups]) {
  constexpr int kPartBits = kBits * kGroups;  // of each byte of the vectors; perhaps half a byte
  constexpr auto kMask = (1 << kBits) - 1;
  const uint8_t* first = field + 4 * kTile * (part * kPartBits / 8) + 4 * lane;
#pragma GCC unroll 8
  for (int g = 0; g < kGroups; ++g) {
    Bytes x = load_bytes(first + 4 * kTile * (kBits * g / 8));
    if constexpr (kPartBits % 8 != 0) x = x >> part * kPartBits % 8;
    const int low = kBits * g % 8;
    if constexpr (kBits < 8) {
      x = (low >= to ? x >> (low - to) : x << (to - low)) & static_cast<uint8_t>(kMask << to);
    }
    codes[g] = x;
  }
}

constexpr int largest_code(const TileLayout& layout) {
  if (layout.table < 0) return (1 << (layout.bits + layout.extra_bits)) - 1;
  int largest = 0;
  for (const int code : kCodeTables[layout.table]) largest = code > largest ? code : largest;
  return largest;
}

template <const TileLayout& kLayout>
struct Codes {
  static constexpr const TileLayout& layout = kLayout;
  static constexpr int kPart = kLayout.part;
  static constexpr int kMiddle = kLayout.middle;
  static constexpr int kLargest = largest_code(kLayout);

  template <int kGroups>
  static void unpack(const uint8_t* block, int lane, int part, Bytes (&codes)[kGroups]) {
    unpack_field<kLayout.bits>(block + kLayout.codes, lane, part, 0, codes);
    if constexpr (kLayout.extra >= 0) {
      Bytes extra[kGroups];
      unpack_field<kLayout.extra_bits>(block + kLayout.extra, lane, part, kLayout.bits, extra);
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) codes[g] = codes[g] | extra[g];
    }
    if constexpr (kLayout.table >= 0) {
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) codes[g] = lookup(kCodeTables[kLayout.table], codes[g]);
    }
  }

  static Vec step(const uint8_t* block, int lane, int part) {
    if constexpr (kLayout.exponents) return power_field(block, kLayout.scale, lane);
    const Vec scale = f16_field(block, kLayout.scale, lane);
    if constexpr (kLayout.steps < 0) return scale;
    const uint8_t* steps = block + kLayout.steps + kTile * part + lane;
    if constexpr (kLayout.minimum < 0) return scale * to_float(load_i8(steps));
    if constexpr (kLayout.shifts < 0) return scale * to_float(load_u8(steps) & 0xF);
    return scale * to_float(load_u8(steps));
  }

  static Vec shift(const uint8_t* block, int lane, int part) {
    if constexpr (kLayout.minimum < 0) return broadcast(0);
    const Vec minimum = f16_field(block, kLayout.minimum, lane);
    if constexpr (kLayout.steps < 0) return minimum;
    const Vec below = broadcast(0) - minimum;
    if constexpr (kLayout.shifts < 0) {
      return below * to_float(load_u8(block + kLayout.steps + kTile * part + lane) >> 4);
    }
    return below * to_float(load_u8(block + kLayout.shifts + kTile * part + lane));
  }
};

}  // namespace spate::cpu::SPATE_ISA
