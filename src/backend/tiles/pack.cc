// Packing of checkpoint blocks into tiles (tiles/layout.h). Codes are moved, never decoded. Where
// the bits of a checkpoint block are is described in quant/.
#include "backend/tiles/pack.h"

#include <cstring>

#include "base/check.h"
#include "quant/bits.h"

namespace spate {
namespace {

// Packs the block of one output into column `lane` of a tile block. The tile is zero before.
using PackColumn = void (*)(const std::byte* block, uint8_t* tile, int lane);

void copy_field(uint8_t* tile, int field, int lane, const std::byte* from, size_t bytes) {
  std::memcpy(tile + field + static_cast<size_t>(lane) * bytes, from, bytes);
}

// Puts codes of kBits bits into a packed field.
template <int kBits, class Code>
void put_codes(uint8_t* field, int lane, int inputs, Code code) {
  for (int i = 0; i < inputs; ++i) {
    const int bit = kBits * (i / 4);  // of this input's byte in all vectors
    field[4 * kTile * (bit / 8) + 4 * lane + i % 4] |= static_cast<uint8_t>(code(i) << bit % 8);
  }
}

void put_byte(uint8_t* tile, int field, int part, int lane, uint32_t value) {
  tile[field + kTile * part + lane] = static_cast<uint8_t>(value);
}

// ---- Plain floats and blocks of 32.

template <int kBytes>
void pack_float(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, 0, lane, block, kBytes);
}

// A block with `kCodes` as the offset of its 16 bytes of codes; scale, minimum and fifth bits are
// in the bytes before.
template <const TileLayout& kLayout, int kCodes>
void pack_block32(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, kLayout.scale, lane, block, kLayout.exponents ? 1 : 2);
  if (kLayout.minimum >= 0) copy_field(tile, kLayout.minimum, lane, block + 2, 2);
  if (kLayout.extra >= 0) {
    put_codes<1>(tile + kLayout.extra, lane, 32,
                 [&](int i) { return bits_of(byte_at(block, kCodes - 4 + i / 8), i % 8, 1); });
  }
  put_codes<4>(tile + kLayout.codes, lane, 32,
               [&](int i) { return bits_of(byte_at(block, kCodes + i % 16), 4 * (i / 16), 4); });
}

void pack_q8_0(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, kQ8_0Tile.scale, lane, block, 2);
  put_codes<8>(tile + kQ8_0Tile.codes, lane, 32,
               [&](int i) { return signed_byte_at(block, 2 + i) + 128; });
}

// ---- K formats.

// Two-bit codes: bits 2k, 2k + 1 of byte i of a half belong to element i + 32k of the half.
int two_bits(const std::byte* codes, int i) {
  return bits_of(byte_at(codes, 32 * (i / 128) + i % 32), 2 * (i % 128 / 32), 2);
}

// Four-bit codes in runs of 64 elements: the low halves of 32 bytes, then the high halves.
int four_bits(const std::byte* codes, int i) {
  return bits_of(byte_at(codes, 32 * (i / 64) + i % 32), 4 * (i % 64 / 32), 4);
}

int extra_bit(const std::byte* bits, int i) { return bits_of(byte_at(bits, i % 32), i / 32, 1); }

void pack_q2_k(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, kQ2KTile.scale, lane, block + 80, 2);
  copy_field(tile, kQ2KTile.minimum, lane, block + 82, 2);
  for (int j = 0; j < 16; ++j) put_byte(tile, kQ2KTile.steps, j, lane, byte_at(block, j));
  put_codes<2>(tile + kQ2KTile.codes, lane, 256, [&](int i) { return two_bits(block + 16, i); });
}

void pack_q3_k(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, kQ3KTile.scale, lane, block + 108, 2);
  for (int j = 0; j < 16; ++j) {
    const int low = bits_of(byte_at(block, 96 + j % 8), 4 * (j / 8), 4);
    const int high = bits_of(byte_at(block, 104 + j % 4), 2 * (j / 4), 2);
    put_byte(tile, kQ3KTile.steps, j, lane, static_cast<uint32_t>((low | high << 4) - 32));
  }
  put_codes<2>(tile + kQ3KTile.codes, lane, 256, [&](int i) { return two_bits(block + 32, i); });
  put_codes<1>(tile + kQ3KTile.extra, lane, 256, [&](int i) { return extra_bit(block, i); });
}

// The 12 bytes of six-bit scales and minimums of q4_K and q5_K.
template <const TileLayout& kLayout>
void put_sub_scales(const std::byte* packed, uint8_t* tile, int lane) {
  for (int j = 0; j < 4; ++j) {
    const uint32_t scale = byte_at(packed, j), minimum = byte_at(packed, j + 4);
    const uint32_t both = byte_at(packed, j + 8);
    put_byte(tile, kLayout.steps, j, lane, scale & 63);
    put_byte(tile, kLayout.shifts, j, lane, minimum & 63);
    put_byte(tile, kLayout.steps, j + 4, lane, (both & 15) | scale >> 6 << 4);
    put_byte(tile, kLayout.shifts, j + 4, lane, both >> 4 | minimum >> 6 << 4);
  }
}

void pack_q4_k(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, kQ4KTile.scale, lane, block, 2);
  copy_field(tile, kQ4KTile.minimum, lane, block + 2, 2);
  put_sub_scales<kQ4KTile>(block + 4, tile, lane);
  put_codes<4>(tile + kQ4KTile.codes, lane, 256, [&](int i) { return four_bits(block + 16, i); });
}

void pack_q5_k(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, kQ5KTile.scale, lane, block, 2);
  copy_field(tile, kQ5KTile.minimum, lane, block + 2, 2);
  put_sub_scales<kQ5KTile>(block + 4, tile, lane);
  put_codes<4>(tile + kQ5KTile.codes, lane, 256, [&](int i) { return four_bits(block + 48, i); });
  put_codes<1>(tile + kQ5KTile.extra, lane, 256, [&](int i) { return extra_bit(block + 16, i); });
}

void pack_q6_k(const std::byte* block, uint8_t* tile, int lane) {
  copy_field(tile, kQ6KTile.scale, lane, block + 208, 2);
  for (int j = 0; j < 16; ++j) put_byte(tile, kQ6KTile.steps, j, lane, byte_at(block, 192 + j));
  put_codes<4>(tile + kQ6KTile.codes, lane, 256, [&](int i) {
    return bits_of(byte_at(block, 64 * (i / 128) + i % 64), 4 * (i % 128 / 64), 4);
  });
  put_codes<2>(tile + kQ6KTile.extra, lane, 256, [&](int i) { return two_bits(block + 128, i); });
}

struct Placing {
  const Format* format;
  PackColumn pack;
};

// By TileFormat.
const Placing kPlacings[kTileFormats] = {
    {&kF32, pack_float<4>},
    {&kF16, pack_float<2>},
    {&kBf16, pack_float<2>},
    {&kQ4_0, pack_block32<kQ4_0Tile, 2>},
    {&kQ4_1, pack_block32<kQ4_1Tile, 4>},
    {&kQ5_0, pack_block32<kQ5_0Tile, 6>},
    {&kQ5_1, pack_block32<kQ5_1Tile, 8>},
    {&kQ8_0, pack_q8_0},
    {&kIq4Nl, pack_block32<kIq4NlTile, 2>},
    {&kMxfp4, pack_block32<kMxfp4Tile, 1>},
    {&kQ2K, pack_q2_k},
    {&kQ3K, pack_q3_k},
    {&kQ4K, pack_q4_k},
    {&kQ5K, pack_q5_k},
    {&kQ6K, pack_q6_k},
};

}  // namespace

int layout_of(const Format& format) {
  for (int layout = 0; layout < kTileFormats; ++layout) {
    if (kPlacings[layout].format == &format) return layout;
  }
  throw Error(cat("there is no layout for weights of format ", format.name));
}

const TileLayout& tile_layout(int layout) { return kTileLayouts[layout]; }

int64_t tiles_of(int64_t out) { return (out + kTile - 1) / kTile; }

size_t tile_bytes(int layout, int64_t in) {
  const TileLayout& tile = tile_layout(layout);
  return static_cast<size_t>(in / tile.block * tile.bytes);
}

void pack_tile(const HostWeight& weight, int64_t index, uint8_t* tile) {
  const int layout = layout_of(*weight.format);
  const Placing& placing = kPlacings[layout];
  const int64_t blocks = weight.in / placing.format->block;
  std::vector<std::byte> memory;
  for (int64_t lane = 0; lane < kTile && kTile * index + lane < weight.out; ++lane) {
    const std::byte* row = weight.row(kTile * index + lane, memory);
    for (int64_t b = 0; b < blocks; ++b) {
      placing.pack(row + b * placing.format->block_bytes, tile + b * tile_layout(layout).bytes,
                   static_cast<int>(lane));
    }
  }
}

}  // namespace spate
