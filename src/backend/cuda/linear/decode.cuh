// Packed weights on the device: codes taken from tiles (tiles/layout.h), and their meaning. One
// template serves all packed formats.
//
// A group is four inputs of one output: its codes are bytes of a word, in the order of the inputs.
// A run is 16 inputs of one output; they share step and shift in every format.
#pragma once

#include "backend/cuda/types.cuh"
#include "backend/tiles/layout.h"
#include "base/check.h"

namespace spate::cuda {

template <TileFormat kOf>
struct FormatTag {
  static constexpr TileFormat kFormat = kOf;
};
template <TileFormat kFormat>
constexpr TileLayout kLayoutOf = kTileLayouts[static_cast<int>(kFormat)];

// Calls f(FormatTag<...>{}) with a packed format.
template <class F>
void with_packed_format(TileFormat format, const F& f) {
  switch (format) {
    case TileFormat::q4_0: return f(FormatTag<TileFormat::q4_0>{});
    case TileFormat::q4_1: return f(FormatTag<TileFormat::q4_1>{});
    case TileFormat::q5_0: return f(FormatTag<TileFormat::q5_0>{});
    case TileFormat::q5_1: return f(FormatTag<TileFormat::q5_1>{});
    case TileFormat::q8_0: return f(FormatTag<TileFormat::q8_0>{});
    case TileFormat::iq4_nl: return f(FormatTag<TileFormat::iq4_nl>{});
    case TileFormat::mxfp4: return f(FormatTag<TileFormat::mxfp4>{});
    case TileFormat::q2_k: return f(FormatTag<TileFormat::q2_k>{});
    case TileFormat::q3_k: return f(FormatTag<TileFormat::q3_k>{});
    case TileFormat::q4_k: return f(FormatTag<TileFormat::q4_k>{});
    case TileFormat::q5_k: return f(FormatTag<TileFormat::q5_k>{});
    case TileFormat::q6_k: return f(FormatTag<TileFormat::q6_k>{});
    default: check(false, "plain floats are not packed");
  }
}

// Where the word of a group lies in a field of `bits` bits a code, and the shift within its bytes.
__device__ constexpr int group_offset(int bits, int output, int group) {
  return 4 * kTile * (bits * group / 8) + 4 * output;
}
__device__ constexpr int group_shift(int bits, int group) { return bits * group % 8; }

constexpr uint32_t kAllBytes = 0x01010101U;  // times a value: the value in each byte

// Four entries of a table of codes in a word.
constexpr uint32_t table_word(int table, int first) {
  uint32_t word = 0;
  for (int i = 3; i >= 0; --i) word = word << 8 | kCodeTables[table][first + i];
  return word;
}

// The codes of four places, each in a byte: a byte permutation looks up 8 of the 16 entries.
template <int kTable>
__device__ inline uint32_t table_codes(uint32_t places) {
  constexpr uint32_t kWord0 = table_word(kTable, 0), kWord1 = table_word(kTable, 4),
                     kWord2 = table_word(kTable, 8), kWord3 = table_word(kTable, 12);
  const uint32_t nibbles = __byte_perm(places | places >> 4, 0, 0x0020);
  const uint32_t low = __byte_perm(kWord0, kWord1, nibbles & 0x7777);
  const uint32_t high = __byte_perm(kWord2, kWord3, nibbles & 0x7777);
  return __byte_perm(low, high, 0x3210 | (nibbles & 0x8888) >> 1);
}

// The codes of a group from the words that hold it.
template <TileFormat kFormat>
__device__ inline uint32_t group_codes(uint32_t word, int shift, uint32_t extra, int extra_shift) {
  constexpr TileLayout kLayout = kLayoutOf<kFormat>;
  constexpr uint32_t kMask = kAllBytes * ((1U << kLayout.bits) - 1);
  uint32_t codes = kLayout.bits == 8 ? word : word >> shift & kMask;
  if constexpr (kLayout.extra >= 0) {
    constexpr uint32_t kExtraMask = kAllBytes * ((1U << kLayout.extra_bits) - 1);
    codes |= (extra >> extra_shift & kExtraMask) << kLayout.bits;
  }
  if constexpr (kLayout.table >= 0) codes = table_codes<kLayout.table>(codes);
  return codes;
}

// A run as it lies in its tile.
template <TileFormat kFormat>
struct PackedRun {
  static constexpr int kWords = kLayoutOf<kFormat>.bits / 2;  // 16 codes
  uint32_t words[kWords];
  uint32_t extra = 0;
  uint16_t scale, minimum = 0;
  uint8_t step = 0, shift = 0;
};

// The scale of an output, from its bits.
template <TileFormat kFormat>
__device__ inline float scale_of(uint32_t bits) {
  if constexpr (kLayoutOf<kFormat>.exponents) {  // as two powers that are normal numbers
    return __uint_as_float((bits / 2 + 63) << 23) * __uint_as_float(((bits + 1) / 2 + 63) << 23);
  } else {
    return __half2float(__ushort_as_half(static_cast<uint16_t>(bits)));
  }
}

// Run `run` (inputs 16 * run and on) of output `output` of a tile.
template <TileFormat kFormat>
__device__ PackedRun<kFormat> load_run(const uint8_t* tile, int output, int64_t run) {
  constexpr TileLayout kLayout = kLayoutOf<kFormat>;
  constexpr int kRuns = kLayout.block / 16, kRunsOfPart = kLayout.part / 16;
  const uint8_t* block = tile + run / kRuns * kLayout.bytes;
  const int index = static_cast<int>(run % kRuns);
  const int part = index / kRunsOfPart, group = 4 * index;
  PackedRun<kFormat> out;
#pragma unroll
  for (int i = 0; i < out.kWords; ++i) {
    out.words[i] = *reinterpret_cast<const uint32_t*>(
        block + kLayout.codes + group_offset(kLayout.bits, output, group) + 4 * kTile * i);
  }
  if constexpr (kLayout.extra >= 0) {
    out.extra = *reinterpret_cast<const uint32_t*>(block + kLayout.extra +
                                                   group_offset(kLayout.extra_bits, output, group));
  }
  if constexpr (kLayout.exponents) {
    out.scale = block[kLayout.scale + output];
  } else {
    out.scale = *reinterpret_cast<const uint16_t*>(block + kLayout.scale + 2 * output);
  }
  if constexpr (kLayout.minimum >= 0) {
    out.minimum = *reinterpret_cast<const uint16_t*>(block + kLayout.minimum + 2 * output);
  }
  if constexpr (kLayout.steps >= 0) out.step = block[kLayout.steps + kTile * part + output];
  if constexpr (kLayout.shifts >= 0) out.shift = block[kLayout.shifts + kTile * part + output];
  return out;
}

// A weight is step * (code - middle) + shift.
struct Affine {
  float step, shift;
};

// From the bytes of the fields; the order of roundings is that of Format::decode.
template <TileFormat kFormat>
__device__ inline Affine affine_of(float scale, float minimum, uint32_t step, uint32_t shift) {
  constexpr TileLayout kLayout = kLayoutOf<kFormat>;
  if constexpr (kLayout.steps < 0) {
    return {scale, minimum};
  } else if constexpr (kLayout.minimum < 0) {
    return {scale * static_cast<float>(static_cast<int8_t>(step)), 0};
  } else if constexpr (kLayout.shifts < 0) {
    return {scale * static_cast<float>(step & 15), -(minimum * static_cast<float>(step >> 4))};
  } else {
    return {scale * static_cast<float>(step), -(minimum * static_cast<float>(shift))};
  }
}

// The 16 weights of a run, with the bits of Format::decode; `run` tells which, as load_run has it.
template <TileFormat kFormat>
__device__ void decode_run(const PackedRun<kFormat>& packed, int64_t run, float (&out)[16]) {
  constexpr TileLayout kLayout = kLayoutOf<kFormat>;
  const Affine affine =
      affine_of<kFormat>(scale_of<kFormat>(packed.scale),
                         __half2float(__ushort_as_half(packed.minimum)), packed.step, packed.shift);
  const int extra_first = group_shift(kLayout.extra_bits, 4 * static_cast<int>(run % 2));
#pragma unroll
  for (int g = 0; g < 4; ++g) {
    const uint32_t codes =
        group_codes<kFormat>(packed.words[kLayout.bits * g / 8], group_shift(kLayout.bits, g),
                             packed.extra, extra_first + kLayout.extra_bits * g);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      // A code in the last bits of 2^23 makes 2^23 + code.
      const float code =
          __uint_as_float(__byte_perm(codes, 0x4B000000, 0x7440 + i)) - (0x1p23F + kLayout.middle);
      // Not contracted: where two roundings are meant, there are two.
      const float product = __fmul_rn(affine.step, code);
      out[4 * g + i] = kLayout.minimum < 0 ? product : __fadd_rn(product, affine.shift);
    }
  }
}

}  // namespace spate::cuda
