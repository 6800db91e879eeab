// The packed formats as integers (bits and fields: linear/layout.h): a weight is
// step * code + shift, with an unsigned code. For each format, of kLanes outputs:
//
//   kPart      inputs that share step and shift
//   kLargest   of all codes
//   unpack     the codes of a part, four inputs in a vector
//   step       of a part
//   shift      likewise
#pragma once

#include "backend/cpu/kernels/bytes.h"
#include "backend/cpu/linear/layout.h"

namespace spate::cpu::SPATE_ISA {

inline Vec f16_field(const uint8_t* block, int offset, int lane) {
  return load_f16(reinterpret_cast<const uint16_t*>(block + offset) + lane);
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

// Codes of kBits bits in the layout's main field, and kExtra more on top in its extra field.
template <const TileLayout& kLayout, int kBits, int kExtra>
struct PackedCodes {
  static constexpr int kLargest = (1 << (kBits + kExtra)) - 1;

  template <int kGroups>
  static void unpack(const uint8_t* block, int lane, int part, Bytes (&codes)[kGroups]) {
    unpack_field<kBits>(block + kLayout.codes, lane, part, 0, codes);
    if constexpr (kExtra > 0) {
      Bytes extra[kGroups];
      unpack_field<kExtra>(block + kLayout.extra, lane, part, kBits, extra);
#pragma GCC unroll 8
      for (int g = 0; g < kGroups; ++g) codes[g] = codes[g] | extra[g];
    }
  }
};

// The steps of iq4_nl, made unsigned by adding 128.
template <const TileLayout& kLayout>
struct TableCodes {
  static constexpr int kLargest = 128 + 113;

  template <int kGroups>
  static void unpack(const uint8_t* block, int lane, int part, Bytes (&codes)[kGroups]) {
    PackedCodes<kLayout, 4, 0>::unpack(block, lane, part, codes);
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) codes[g] = lookup(kIq4NlCodes, codes[g]);
  }
};

// A block of 32 with one f16 step, and an f16 shift or a middle code.
template <const TileLayout& kLayout, int kMiddle, class Codes>
struct Block : Codes {
  static constexpr const TileLayout& layout = kLayout;
  static constexpr int kPart = 32;

  static Vec step(const uint8_t* block, int lane, int /*part*/) {
    return f16_field(block, kLayout.scale, lane);
  }
  static Vec shift(const uint8_t* block, int lane, int /*part*/, Vec step) {
    if constexpr (kLayout.minimum >= 0) return f16_field(block, kLayout.minimum, lane);
    return step * broadcast(-kMiddle);
  }
};

// Parts of a block of 256 with steps, and perhaps shifts, of one byte or half a byte.
template <const TileLayout& kLayout, int kPartInputs, int kMiddle, class Codes>
struct SubBlock : Codes {
  static constexpr const TileLayout& layout = kLayout;
  static constexpr int kPart = kPartInputs;

  static Vec step(const uint8_t* block, int lane, int part) {
    const uint8_t* steps = block + kLayout.steps + kTile * part + lane;
    const Vec scale = f16_field(block, kLayout.scale, lane);
    if constexpr (kLayout.minimum < 0) return scale * to_float(load_i8(steps));
    if constexpr (kLayout.shifts < 0) return scale * to_float(load_u8(steps) & 0xF);
    return scale * to_float(load_u8(steps));
  }
  static Vec shift(const uint8_t* block, int lane, int part, Vec step) {
    if constexpr (kLayout.minimum < 0) return step * broadcast(-kMiddle);
    const Vec minimum = broadcast(0) - f16_field(block, kLayout.minimum, lane);
    if constexpr (kLayout.shifts < 0) {
      return minimum * to_float(load_u8(block + kLayout.steps + kTile * part + lane) >> 4);
    }
    return minimum * to_float(load_u8(block + kLayout.shifts + kTile * part + lane));
  }
};

using Q4_0Codes = Block<kQ4_0Tile, 8, PackedCodes<kQ4_0Tile, 4, 0>>;
using Q4_1Codes = Block<kQ4_1Tile, 0, PackedCodes<kQ4_1Tile, 4, 0>>;
using Q5_0Codes = Block<kQ5_0Tile, 16, PackedCodes<kQ5_0Tile, 4, 1>>;
using Q5_1Codes = Block<kQ5_1Tile, 0, PackedCodes<kQ5_1Tile, 4, 1>>;
using Q8_0Codes = Block<kQ8_0Tile, 128, PackedCodes<kQ8_0Tile, 8, 0>>;
using Iq4NlCodes = Block<kQ4_0Tile, 128, TableCodes<kQ4_0Tile>>;
using Q2KCodes = SubBlock<kQ2KTile, 16, 0, PackedCodes<kQ2KTile, 2, 0>>;
using Q3KCodes = SubBlock<kQ3KTile, 16, 4, PackedCodes<kQ3KTile, 2, 1>>;
using Q4KCodes = SubBlock<kQ4KTile, 32, 0, PackedCodes<kQ4KTile, 4, 0>>;
using Q5KCodes = SubBlock<kQ5KTile, 32, 0, PackedCodes<kQ5KTile, 4, 1>>;
using Q6KCodes = SubBlock<kQ6KTile, 16, 32, PackedCodes<kQ6KTile, 4, 2>>;

}  // namespace spate::cpu::SPATE_ISA
