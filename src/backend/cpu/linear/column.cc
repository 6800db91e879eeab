#include "backend/cpu/linear/column.h"

#include <cstring>

#include "backend/cpu/linear/layout.h"
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

// A packed format: how many bits are in its fields, and what is taken off a code.
struct Packing {
  const TileLayout* layout;
  int part;  // inputs that share step and shift
  int bits, extra_bits;
  int middle;
  const uint8_t* table = nullptr;  // of codes, or null
};

int code_of(const Packing& packing, const uint8_t* block, int lane, int i) {
  const int low = code_at(block + packing.layout->codes, packing.bits, lane, i);
  if (packing.table != nullptr) return packing.table[low];
  if (packing.extra_bits == 0) return low;
  return low | code_at(block + packing.layout->extra, packing.extra_bits, lane, i) << packing.bits;
}

struct Affine {
  float step, shift;
};

Affine affine_of(const TileLayout& layout, const uint8_t* block, int lane, int part) {
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

void decode_packed(const Packing& packing, const uint8_t* tile, int lane, int64_t inputs,
                   float* to) {
  const TileLayout& layout = *packing.layout;
  for (int64_t begin = 0; begin < inputs; begin += layout.block, tile += layout.bytes) {
    for (int i = 0; i < layout.block; ++i) {
      const Affine affine = affine_of(layout, tile, lane, i / packing.part);
      const int code = code_of(packing, tile, lane, i) - packing.middle;
      to[begin + i] = affine.step * static_cast<float>(code) + affine.shift;
    }
  }
}

// From q4_0 on, in the order of TileFormat.
const Packing kPackings[] = {
    {.layout = &kQ4_0Tile, .part = 32, .bits = 4, .extra_bits = 0, .middle = 8},
    {.layout = &kQ4_1Tile, .part = 32, .bits = 4, .extra_bits = 0, .middle = 0},
    {.layout = &kQ5_0Tile, .part = 32, .bits = 4, .extra_bits = 1, .middle = 16},
    {.layout = &kQ5_1Tile, .part = 32, .bits = 4, .extra_bits = 1, .middle = 0},
    {.layout = &kQ8_0Tile, .part = 32, .bits = 8, .extra_bits = 0, .middle = 128},
    {.layout = &kQ4_0Tile,
     .part = 32,
     .bits = 4,
     .extra_bits = 0,
     .middle = 128,
     .table = kIq4NlCodes},
    {.layout = &kQ2KTile, .part = 16, .bits = 2, .extra_bits = 0, .middle = 0},
    {.layout = &kQ3KTile, .part = 16, .bits = 2, .extra_bits = 1, .middle = 4},
    {.layout = &kQ4KTile, .part = 32, .bits = 4, .extra_bits = 0, .middle = 0},
    {.layout = &kQ5KTile, .part = 32, .bits = 4, .extra_bits = 1, .middle = 0},
    {.layout = &kQ6KTile, .part = 16, .bits = 4, .extra_bits = 2, .middle = 32},
};
static_assert(sizeof kPackings / sizeof kPackings[0] ==
              kTileFormats - static_cast<int>(TileFormat::q4_0));

}  // namespace

void decode_column(int layout, const uint8_t* tile, int lane, int64_t inputs, float* to) {
  const auto format = static_cast<TileFormat>(layout);
  if (format >= TileFormat::q4_0) {
    decode_packed(kPackings[layout - static_cast<int>(TileFormat::q4_0)], tile, lane, inputs, to);
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
