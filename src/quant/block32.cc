// The formats with 32 elements in a block and one f16 scale. "_0" formats are symmetric:
// value = scale * (code - middle). "_1" formats have an f16 minimum: value = scale * code +
// minimum.
//
//            bytes  layout
//   q4_0     18     scale, 16 bytes of codes
//   q4_1     20     scale, minimum, 16 bytes of codes
//   q5_0     22     scale, 4 bytes of fifth bits, 16 bytes of codes
//   q5_1     24     scale, minimum, 4 bytes of fifth bits, 16 bytes of codes
//   q8_0     34     scale, 32 signed bytes
//
// Byte i of the 16 holds element i in its low four bits and element i + 16 in its high four bits.
// The fifth bit of element i is bit i of the 4 bytes, read as a little-endian word.
#include "quant/bits.h"
#include "quant/format.h"

namespace spate {
namespace {

constexpr int kBlock = 32;

int low_four(const std::byte* codes, int element) {
  const int half = element / 16;
  return bits_of(byte_at(codes, element % 16), 4 * half, 4);
}

int fifth_bit(const std::byte* bits, int element) {
  return bits_of(byte_at(bits, element / 8), element % 8, 1);
}

void decode_q4_0(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 18) {
    const float scale = half_at(block, 0);
    for (int i = 0; i < kBlock; ++i) {
      out[begin + i] = scale * static_cast<float>(low_four(block + 2, i) - 8);
    }
  }
}

void decode_q4_1(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 20) {
    const float scale = half_at(block, 0);
    const float minimum = half_at(block, 2);
    for (int i = 0; i < kBlock; ++i) {
      out[begin + i] = scale * static_cast<float>(low_four(block + 4, i)) + minimum;
    }
  }
}

void decode_q5_0(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 22) {
    const float scale = half_at(block, 0);
    for (int i = 0; i < kBlock; ++i) {
      const int code = low_four(block + 6, i) | fifth_bit(block + 2, i) << 4;
      out[begin + i] = scale * static_cast<float>(code - 16);
    }
  }
}

void decode_q5_1(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 24) {
    const float scale = half_at(block, 0);
    const float minimum = half_at(block, 2);
    for (int i = 0; i < kBlock; ++i) {
      const int code = low_four(block + 8, i) | fifth_bit(block + 4, i) << 4;
      out[begin + i] = scale * static_cast<float>(code) + minimum;
    }
  }
}

void decode_q8_0(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 34) {
    const float scale = half_at(block, 0);
    for (int i = 0; i < kBlock; ++i) {
      out[begin + i] = scale * static_cast<float>(signed_byte_at(block, 2 + i));
    }
  }
}

}  // namespace

const Format kQ4_0{"q4_0", 2, kBlock, 18, decode_q4_0};
const Format kQ4_1{"q4_1", 3, kBlock, 20, decode_q4_1};
const Format kQ5_0{"q5_0", 6, kBlock, 22, decode_q5_0};
const Format kQ5_1{"q5_1", 7, kBlock, 24, decode_q5_1};
const Format kQ8_0{"q8_0", 8, kBlock, 34, decode_q8_0};

}  // namespace spate
