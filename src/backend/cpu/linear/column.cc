#include "backend/cpu/linear/column.h"

#include <cmath>
#include <cstring>

#include "backend/tiles/pack.h"
#include "tensor/half.h"

namespace spate::cpu {
namespace {

uint16_t half_bits(const uint8_t* field, int lane) {
  uint16_t bits;
  std::memcpy(&bits, field + 2 * lane, sizeof bits);
  return bits;
}
float half(const uint8_t* field, int lane) { return f16_to_f32(half_bits(field, lane)); }

// Code of input i in a packed field of `bits` bits a code.
int code_at(const uint8_t* field, int bits, int lane, int i) {
  const int bit = bits * (i / 4);
  return field[4 * kTile * (bit / 8) + 4 * lane + i % 4] >> bit % 8 & ((1 << bits) - 1);
}

int code_of(const TileLayout& layout, const uint8_t* block, int lane, int i) {
  const int low = code_at(block + layout.codes, layout.bits, lane, i);
  if (layout.table >= 0) return kCodeTables[layout.table][low];
  if (layout.extra < 0) return low;
  return low | code_at(block + layout.extra, layout.extra_bits, lane, i) << layout.bits;
}

struct Affine {
  float step, shift;
};

Affine affine_of(const TileLayout& layout, const uint8_t* block, int lane, int part) {
  if (layout.exponents) return {std::ldexp(1.0F, block[layout.scale + lane] - 128), 0};
  const float scale = half(block + layout.scale, lane);
  const float minimum = layout.minimum >= 0 ? half(block + layout.minimum, lane) : 0;
  if (layout.steps < 0) return {scale, minimum};
  const int step = block[layout.steps + kTile * part + lane];
  if (layout.minimum < 0) return {scale * static_cast<float>(static_cast<int8_t>(step)), 0};
  if (layout.shifts < 0) {
    return {scale * static_cast<float>(step & 15), -(minimum * static_cast<float>(step >> 4))};
  }
  const int shift = block[layout.shifts + kTile * part + lane];
  return {scale * static_cast<float>(step), -(minimum * static_cast<float>(shift))};
}

void decode_packed(const TileLayout& layout, const uint8_t* tile, int lane, int64_t inputs,
                   float* to) {
  for (int64_t begin = 0; begin < inputs; begin += layout.block, tile += layout.bytes) {
    for (int part = 0; part < layout.block / layout.part; ++part) {
      const Affine affine = affine_of(layout, tile, lane, part);
      for (int i = part * layout.part; i < (part + 1) * layout.part; ++i) {
        const int code = code_of(layout, tile, lane, i) - layout.middle;
        to[begin + i] = affine.step * static_cast<float>(code) + affine.shift;
      }
    }
  }
}

}  // namespace

void decode_column(int layout, const uint8_t* tile, int lane, int64_t inputs, float* to) {
  const auto format = static_cast<TileFormat>(layout);
  if (format >= TileFormat::q4_0) {
    decode_packed(tile_layout(layout), tile, lane, inputs, to);
    return;
  }
  for (int64_t i = 0; i < inputs; ++i) {
    if (format == TileFormat::f32) {
      std::memcpy(to + i, tile + 4 * (kTile * i + lane), sizeof(float));
    } else {
      const uint16_t bits = half_bits(tile + 2 * kTile * i, lane);
      to[i] = format == TileFormat::f16 ? f16_to_f32(bits) : bf16_to_f32(bits);
    }
  }
}

}  // namespace spate::cpu
