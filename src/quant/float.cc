// Plain floats as formats with blocks of one element. bf16 is the upper half of an f32.
#include <bit>

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

}  // namespace

const Format kF32{"f32", 0, 1, 4, decode_f32};
const Format kF16{"f16", 1, 1, 2, decode_f16};
const Format kBf16{"bf16", 30, 1, 2, decode_bf16};

}  // namespace spate
