// mxfp4 (OCP microscaling, 2023): four-bit floats e2m1 with one power of two for 32 of them, in 17
// bytes: the power's exponent plus 127 (e8m0), then 16 bytes of codes as in q4_0: byte i holds
// element i in its low and element i + 16 in its high four bits. A code is a sign, two bits of
// exponent and one of mantissa: one of 0, 0.5, 1, 1.5, 2, 3, 4, 6 or its negative; -0 is 0. The
// exponent 255, which is no number in the standard, is one here.
#include <cmath>

#include "quant/bits.h"
#include "quant/format.h"

namespace spate {
namespace {

constexpr int kBlock = 32;
constexpr float kHalves[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

void decode_mxfp4(const std::byte* block, std::span<float> out) {
  for (size_t begin = 0; begin < out.size(); begin += kBlock, block += 17) {
    const float half = std::ldexp(1.0F, static_cast<int>(byte_at(block, 0)) - 128);
    for (int i = 0; i < kBlock; ++i) {
      out[begin + i] = half * kHalves[bits_of(byte_at(block, 1 + i % 16), 4 * (i / 16), 4)];
    }
  }
}

}  // namespace

const Format kMxfp4{"mxfp4", 39, kBlock, 17, decode_mxfp4};

}  // namespace spate
