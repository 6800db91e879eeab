// The "K" formats: 256 elements in a block, cut into sub-blocks of 16 or 32 elements. A sub-block
// has a small integer scale (and minimum), and the block an f16 that scales those in turn:
//   value = (scale * sub_scale) * code - (minimum * sub_minimum)
//
//            bytes  layout (offsets)                                               sub-blocks
//   q2_K     84     0 scales+minimums, 16 codes, 80 scale, 82 minimum              16 of 16
//   q3_K     110    0 third bits, 32 codes, 96 packed scales, 108 scale            16 of 16
//   q4_K     144    0 scale, 2 minimum, 4 packed scales, 16 codes                  8 of 32
//   q5_K     176    0 scale, 2 minimum, 4 packed scales, 16 fifth bits, 48 codes   8 of 32
//   q6_K     210    0 low four bits, 128 high two bits, 192 signed scales, 208 scale   16 of 16
//
// Codes are interleaved so that one byte serves elements that lie 32 (or 64) apart.
#include "quant/bits.h"
#include "quant/format.h"

namespace spate {
namespace {

constexpr int kBlock = 256;

// Two-bit codes of q2_K and q3_K, 64 bytes: each half of the block (128 elements) has 32 bytes, and
// bits 2k, 2k + 1 of byte i belong to element i + 32k of the half.
int two_bits(const std::byte* codes, int element) {
  const int half = element / 128;
  const int lane = element % 128 / 32;
  return bits_of(byte_at(codes, 32 * half + element % 32), 2 * lane, 2);
}

// Four-bit codes of q4_K and q5_K, 128 bytes: each run of 64 elements has 32 bytes, byte i holds
// element i of the run in its low and element i + 32 in its high four bits.
int four_bits(const std::byte* codes, int element) {
  const int run = element / 64;
  const int half = element % 64 / 32;
  return bits_of(byte_at(codes, 32 * run + element % 32), 4 * half, 4);
}

// One more bit for each of the 256 elements, 32 bytes: bit k of byte i belongs to element i + 32k.
int extra_bit(const std::byte* bits, int element) {
  return bits_of(byte_at(bits, element % 32), element / 32, 1);
}

// Sub-block j: scale in the low and minimum in the high four bits of byte j.
void decode_q2_k(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 84) {
    const float scale = half_at(block, 80);
    const float minimum = half_at(block, 82);
    for (int i = 0; i < kBlock; ++i) {
      const uint32_t packed = byte_at(block, i / 16);
      const float step = scale * static_cast<float>(bits_of(packed, 0, 4));
      const float shift = minimum * static_cast<float>(bits_of(packed, 4, 4));
      out[begin + i] = step * static_cast<float>(two_bits(block + 16, i)) - shift;
    }
  }
}

// The sixteen 6-bit scales of q3_K in 12 bytes, stored plus 32. The low four bits of scales 0..7
// are the low halves of bytes 0..7, those of scales 8..15 the high halves; the two high bits of
// scale j are bits 2(j / 4), 2(j / 4) + 1 of byte 8 + j % 4.
int q3_scale(const std::byte* packed, int j) {
  const int low = bits_of(byte_at(packed, j % 8), 4 * (j / 8), 4);
  const int high = bits_of(byte_at(packed, 8 + j % 4), 2 * (j / 4), 2);
  return (low | high << 4) - 32;
}

// The third bit says "do not subtract 4": codes run from -4 to 3.
void decode_q3_k(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 110) {
    const float scale = half_at(block, 108);
    for (int i = 0; i < kBlock; ++i) {
      const float step = scale * static_cast<float>(q3_scale(block + 96, i / 16));
      const int code = two_bits(block + 32, i) | extra_bit(block, i) << 2;
      out[begin + i] = step * static_cast<float>(code - 4);
    }
  }
}

// The eight 6-bit scales and minimums of q4_K and q5_K in 12 bytes. Those of sub-blocks 0..3 are
// the low six bits of bytes 0..3 (scales) and 4..7 (minimums). For sub-blocks 4..7 the low four
// bits are the halves of bytes 8..11, and the two high bits fill the tops of bytes 0..3 and 4..7.
struct SubBlock {
  int scale, minimum;
};

SubBlock q4_sub_block(const std::byte* packed, int j) {
  if (j < 4) {
    return {bits_of(byte_at(packed, j), 0, 6), bits_of(byte_at(packed, j + 4), 0, 6)};
  }
  const uint32_t low = byte_at(packed, j + 4);
  return {bits_of(low, 0, 4) | bits_of(byte_at(packed, j - 4), 6, 2) << 4,
          bits_of(low, 4, 4) | bits_of(byte_at(packed, j), 6, 2) << 4};
}

void decode_q4_k(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 144) {
    const float scale = half_at(block, 0);
    const float minimum = half_at(block, 2);
    for (int i = 0; i < kBlock; ++i) {
      const SubBlock sub = q4_sub_block(block + 4, i / 32);
      const float step = scale * static_cast<float>(sub.scale);
      const float shift = minimum * static_cast<float>(sub.minimum);
      out[begin + i] = step * static_cast<float>(four_bits(block + 16, i)) - shift;
    }
  }
}

void decode_q5_k(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 176) {
    const float scale = half_at(block, 0);
    const float minimum = half_at(block, 2);
    for (int i = 0; i < kBlock; ++i) {
      const SubBlock sub = q4_sub_block(block + 4, i / 32);
      const float step = scale * static_cast<float>(sub.scale);
      const float shift = minimum * static_cast<float>(sub.minimum);
      const int code = four_bits(block + 48, i) | extra_bit(block + 16, i) << 4;
      out[begin + i] = step * static_cast<float>(code) - shift;
    }
  }
}

// Six-bit codes minus 32. In each half of 128 elements: byte i of 64 holds the low four bits of
// elements i and i + 64; bits 2k, 2k + 1 of byte i of 32 are the high bits of element i + 32k.
void decode_q6_k(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 210) {
    const float scale = half_at(block, 208);
    for (int i = 0; i < kBlock; ++i) {
      const int half = i / 128;
      const int within = i % 128;
      const int low = bits_of(byte_at(block, 64 * half + within % 64), 4 * (within / 64), 4);
      const int high = two_bits(block + 128, i);
      const float step = scale * static_cast<float>(signed_byte_at(block, 192 + i / 16));
      out[begin + i] = step * static_cast<float>((low | high << 4) - 32);
    }
  }
}

}  // namespace

const Format kQ2K{"q2_K", 10, kBlock, 84, decode_q2_k};
const Format kQ3K{"q3_K", 11, kBlock, 110, decode_q3_k};
const Format kQ4K{"q4_K", 12, kBlock, 144, decode_q4_k};
const Format kQ5K{"q5_K", 13, kBlock, 176, decode_q5_k};
const Format kQ6K{"q6_K", 14, kBlock, 210, decode_q6_k};

}  // namespace spate
