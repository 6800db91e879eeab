// Decoding of tiles in registers, one class a format (bits and fields: linear/layout.h). A kernel
// keeps one Decoder a tile and asks it for one input's weights of kLanes outputs at a time:
//
//   open(block, part)   before the first input of each part (inputs that share step and shift)
//   load(block, run)    before each run of 8 inputs
//   weight(j)           of input j of the run; j is a constant after unrolling
//
// `block` already points at the first lane's column: callers pass `lane` to open and load because
// fields differ in width. Weights have the bits that Format::decode gives.
#pragma once

#include "backend/cpu/kernels/vec.h"
#include "backend/cpu/linear/layout.h"

namespace spate::cpu::SPATE_ISA {

constexpr int kRun = 8;  // inputs

inline Vec f16_field(const uint8_t* block, int offset, int lane) {
  return load_f16(reinterpret_cast<const uint16_t*>(block + offset) + lane);
}
inline Words word_field(const uint8_t* block, int offset, int row, int lane) {
  return load_words(block + offset + 4 * (kTile * row + lane));
}

// ---- Codes: integers of a run, as floats.

// Entries 0 - middle, 1 - middle, ..., again and again, for Lookup.
template <int kBits, int kMiddle>
struct Ramp {
  float entries[32];
  constexpr Ramp() : entries() {
    for (int i = 0; i < 32; ++i) entries[i] = static_cast<float>(i % (1 << kBits) - kMiddle);
  }
};
template <int kBits, int kMiddle>
constexpr Ramp<kBits, kMiddle> kRamp;

// The low kBits bits of a word, minus kMiddle. Bits above are ignored.
template <int kBits, int kMiddle>
class Code {
 public:
  Vec operator()(Words x) const {
    if constexpr (kFastLookup) {
      return lookup_(x);
    } else {
      const Vec code = to_float(x & ((1U << kBits) - 1));
      return kMiddle == 0 ? code : code - broadcast(kMiddle);
    }
  }

 private:
  Lookup<kBits> lookup_{kRamp<kBits, kMiddle>.entries};
};

class Iq4NlCode {
 public:
  Vec operator()(Words x) const { return lookup_(x); }

 private:
  Lookup<4> lookup_{kIq4NlSteps};
};

template <const TileLayout& kLayout, class Value>
struct FourBits {
  void load(const uint8_t* block, int lane, int run) {
    word = word_field(block, kLayout.codes, run, lane);
  }
  Vec code(int j) const { return value(word >> 4 * j); }
  Value value;
  Words word;
};

template <const TileLayout& kLayout, int kMiddle>
struct FiveBits {
  void load(const uint8_t* block, int lane, int run) {
    word = word_field(block, kLayout.codes, run, lane);
    high = word_field(block, kLayout.extra, run / 4, lane) >> 8 * (run % 4) << 4;
  }
  Vec code(int j) const { return value(choose_bits(0xF, word >> 4 * j, high >> j)); }
  Code<5, kMiddle> value;
  Words word, high;
};

template <const TileLayout& kLayout>
struct SixBits {
  void load(const uint8_t* block, int lane, int run) {
    word = word_field(block, kLayout.codes, run, lane);
    high = word_field(block, kLayout.extra, run / 2, lane) >> 16 * (run % 2) << 4;
  }
  Vec code(int j) const {
    return to_float(choose_bits(0xF, word >> 4 * j, high >> 2 * j) & 0x3F) - broadcast(32);
  }
  Words word, high;
};

template <const TileLayout& kLayout>
struct TwoBits {
  void load(const uint8_t* block, int lane, int run) {
    word = word_field(block, kLayout.codes, run / 2, lane) >> 16 * (run % 2);
  }
  Vec code(int j) const { return value(word >> 2 * j); }
  Code<2, 0> value;
  Words word;
};

template <const TileLayout& kLayout>
struct ThreeBits {
  void load(const uint8_t* block, int lane, int run) {
    word = word_field(block, kLayout.codes, run / 2, lane) >> 16 * (run % 2);
    high = word_field(block, kLayout.extra, run / 4, lane) >> 8 * (run % 4) << 2;
  }
  Vec code(int j) const { return value(choose_bits(0x3, word >> 2 * j, high >> j)); }
  Code<3, 4> value;
  Words word, high;
};

template <const TileLayout& kLayout>
struct EightBits {
  void load(const uint8_t* block, int lane, int run) {
    first = block + kLayout.codes + kTile * kRun * run + lane;
  }
  Vec code(int j) const { return to_float(load_i8(first + kTile * j)); }
  const uint8_t* first;
};

// ---- Decoders.

// One f16 scale a block, and perhaps an f16 minimum.
template <const TileLayout& kLayout, class Codes>
class BlockDecoder {
 public:
  static constexpr const TileLayout& layout = kLayout;
  static constexpr int kPart = kLayout.block;

  void open(const uint8_t* block, int lane, int /*part*/) {
    step_ = f16_field(block, kLayout.scale, lane);
    if constexpr (kLayout.minimum >= 0) shift_ = f16_field(block, kLayout.minimum, lane);
  }
  void load(const uint8_t* block, int lane, int run) { codes_.load(block, lane, run); }
  Vec weight(int j) const {
    if constexpr (kLayout.minimum >= 0) return fma(step_, codes_.code(j), shift_);
    return step_ * codes_.code(j);
  }

 private:
  Codes codes_;
  Vec step_, shift_;
};

// Sub-blocks of kPartInputs inputs with scales, and perhaps minimums, of one byte or half a byte.
template <const TileLayout& kLayout, int kPartInputs, class Codes>
class SubBlockDecoder {
 public:
  static constexpr const TileLayout& layout = kLayout;
  static constexpr int kPart = kPartInputs;

  void open(const uint8_t* block, int lane, int part) {
    const uint8_t* steps = block + kLayout.steps + kTile * part + lane;
    if constexpr (kLayout.minimum < 0) {
      step_ = f16_field(block, kLayout.scale, lane) * to_float(load_i8(steps));
    } else if constexpr (kLayout.shifts < 0) {  // both in one byte
      const Words both = load_u8(steps);
      step_ = f16_field(block, kLayout.scale, lane) * to_float(both & 0xF);
      shift_ = negative(f16_field(block, kLayout.minimum, lane) * to_float(both >> 4));
    } else {
      const uint8_t* shifts = block + kLayout.shifts + kTile * part + lane;
      step_ = f16_field(block, kLayout.scale, lane) * to_float(load_u8(steps));
      shift_ = negative(f16_field(block, kLayout.minimum, lane) * to_float(load_u8(shifts)));
    }
  }
  void load(const uint8_t* block, int lane, int run) { codes_.load(block, lane, run); }
  Vec weight(int j) const {
    if constexpr (kLayout.minimum >= 0) return fma(step_, codes_.code(j), shift_);
    return step_ * codes_.code(j);
  }

 private:
  static Vec negative(Vec x) { return broadcast(0) - x; }

  Codes codes_;
  Vec step_, shift_;
};

// Plain floats. They have no scales; a part is a run, and a row may end within one.
template <const TileLayout& kLayout, class Load>
class FloatDecoder {
 public:
  static constexpr const TileLayout& layout = kLayout;
  static constexpr int kPart = kRun;

  void open(const uint8_t* /*block*/, int /*lane*/, int /*part*/) {}
  void load(const uint8_t* block, int lane, int /*run*/) {
    first_ = block + kLayout.bytes / kTile * lane;
  }
  Vec weight(int j) const { return Load()(first_ + kLayout.bytes * j); }

 private:
  const uint8_t* first_;
};

struct LoadF32 {
  Vec operator()(const uint8_t* from) const { return load(reinterpret_cast<const float*>(from)); }
};
struct LoadF16 {
  Vec operator()(const uint8_t* from) const {
    return load_f16(reinterpret_cast<const uint16_t*>(from));
  }
};
struct LoadBf16 {
  Vec operator()(const uint8_t* from) const {
    return load_bf16(reinterpret_cast<const uint16_t*>(from));
  }
};

using F32Decoder = FloatDecoder<kF32Tile, LoadF32>;
using F16Decoder = FloatDecoder<kF16Tile, LoadF16>;
using Bf16Decoder = FloatDecoder<kF16Tile, LoadBf16>;
using Q4_0Decoder = BlockDecoder<kQ4_0Tile, FourBits<kQ4_0Tile, Code<4, 8>>>;
using Q4_1Decoder = BlockDecoder<kQ4_1Tile, FourBits<kQ4_1Tile, Code<4, 0>>>;
using Q5_0Decoder = BlockDecoder<kQ5_0Tile, FiveBits<kQ5_0Tile, 16>>;
using Q5_1Decoder = BlockDecoder<kQ5_1Tile, FiveBits<kQ5_1Tile, 0>>;
using Q8_0Decoder = BlockDecoder<kQ8_0Tile, EightBits<kQ8_0Tile>>;
using Iq4NlDecoder = BlockDecoder<kQ4_0Tile, FourBits<kQ4_0Tile, Iq4NlCode>>;
using Q2KDecoder = SubBlockDecoder<kQ2KTile, 16, TwoBits<kQ2KTile>>;
using Q3KDecoder = SubBlockDecoder<kQ3KTile, 16, ThreeBits<kQ3KTile>>;
using Q4KDecoder = SubBlockDecoder<kQ4KTile, 32, FourBits<kQ4KTile, Code<4, 0>>>;
using Q5KDecoder = SubBlockDecoder<kQ5KTile, 32, FiveBits<kQ5KTile, 0>>;
using Q6KDecoder = SubBlockDecoder<kQ6KTile, 16, SixBits<kQ6KTile>>;

}  // namespace spate::cpu::SPATE_ISA
