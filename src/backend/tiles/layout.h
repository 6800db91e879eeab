// How packed weights lie in memory, on every device. The outputs (rows of the checkpoint's matrix)
// are cut into tiles of 16; a tile is a run of tile blocks, each holding `block` inputs of all 16
// outputs, so that the lanes of a vector are outputs and one load brings the same input's weight of
// all of them. The last tile is padded with zeros. Nothing is decoded: a tile block holds the 16
// blocks' own bits, regrouped.
//
// In a tile block every field is an array with the 16 outputs as an axis:
//
//   scale, minimum   f16 [16]; the scale of mxfp4 is an exponent, a byte each
//   steps, shifts    sub-block scales and minimums, one byte each [parts][16]; q2_K keeps both in
//                    one byte, as two halves
//   codes            f32, f16, bf16 [block][16]; or packed codes, see below
//   extra            further high bits of the codes, packed likewise
//
// Packed codes of b bits: inputs go in groups of four, and a vector of bytes [16][4] holds b bits
// of 8 / b groups, the first group in the lowest bits of every byte. So a vector shifted and masked
// gives the codes of 16 outputs and four inputs, as integer dot products take them. A q8_0 code is
// stored plus 128: all codes are unsigned.
//
// This file has constants only: kernels of every device include it.
#pragma once

#include <cstdint>

namespace spate {

constexpr int kTile = 16;  // outputs

// Offsets in bytes; -1 where a format has no such field.
struct TileLayout {
  int block;  // inputs
  int bytes;
  int scale = -1, minimum = -1, steps = -1, shifts = -1, codes = 0, extra = -1;
  // Of packed codes:
  int part = 0;                  // inputs that share step and shift
  int bits = 0, extra_bits = 0;  // of a code, in its two fields
  int middle = 0;                // what is taken off a code
  int table = -1;                // a code is a place in kCodeTables[table]
  bool exponents = false;        // a scale e means 2^(e - 128)
};

// Plain floats: any number of inputs, one at a time.
constexpr TileLayout kF32Tile{.block = 1, .bytes = 64};
constexpr TileLayout kF16Tile{.block = 1, .bytes = 32};

constexpr TileLayout kQ4_0Tile{
    .block = 32, .bytes = 288, .scale = 0, .codes = 32, .part = 32, .bits = 4, .middle = 8};
constexpr TileLayout kQ4_1Tile{
    .block = 32, .bytes = 320, .scale = 0, .minimum = 32, .codes = 64, .part = 32, .bits = 4};
constexpr TileLayout kQ5_0Tile{.block = 32,
                               .bytes = 352,
                               .scale = 0,
                               .codes = 32,
                               .extra = 288,
                               .part = 32,
                               .bits = 4,
                               .extra_bits = 1,
                               .middle = 16};
constexpr TileLayout kQ5_1Tile{.block = 32,
                               .bytes = 384,
                               .scale = 0,
                               .minimum = 32,
                               .codes = 64,
                               .extra = 320,
                               .part = 32,
                               .bits = 4,
                               .extra_bits = 1};
constexpr TileLayout kQ8_0Tile{
    .block = 32, .bytes = 544, .scale = 0, .codes = 32, .part = 32, .bits = 8, .middle = 128};
constexpr TileLayout kIq4NlTile{.block = 32,
                                .bytes = 288,
                                .scale = 0,
                                .codes = 32,
                                .part = 32,
                                .bits = 4,
                                .middle = 128,
                                .table = 0};
constexpr TileLayout kMxfp4Tile{.block = 32,
                                .bytes = 272,
                                .scale = 0,
                                .codes = 16,
                                .part = 32,
                                .bits = 4,
                                .middle = 12,
                                .table = 1,
                                .exponents = true};

constexpr TileLayout kQ2KTile{.block = 256,
                              .bytes = 1344,
                              .scale = 0,
                              .minimum = 32,
                              .steps = 64,
                              .codes = 320,
                              .part = 16,
                              .bits = 2};
constexpr TileLayout kQ3KTile{.block = 256,
                              .bytes = 1824,
                              .scale = 0,
                              .steps = 32,
                              .codes = 288,
                              .extra = 1312,
                              .part = 16,
                              .bits = 2,
                              .extra_bits = 1,
                              .middle = 4};
constexpr TileLayout kQ4KTile{.block = 256,
                              .bytes = 2368,
                              .scale = 0,
                              .minimum = 32,
                              .steps = 64,
                              .shifts = 192,
                              .codes = 320,
                              .part = 32,
                              .bits = 4};
constexpr TileLayout kQ5KTile{.block = 256,
                              .bytes = 2880,
                              .scale = 0,
                              .minimum = 32,
                              .steps = 64,
                              .shifts = 192,
                              .codes = 320,
                              .extra = 2368,
                              .part = 32,
                              .bits = 4,
                              .extra_bits = 1};
constexpr TileLayout kQ6KTile{.block = 256,
                              .bytes = 3360,
                              .scale = 0,
                              .steps = 32,
                              .codes = 288,
                              .extra = 2336,
                              .part = 16,
                              .bits = 4,
                              .extra_bits = 2,
                              .middle = 32};

// The steps of iq4_nl by code, plus 128; twice the values of mxfp4, plus 12.
constexpr uint8_t kCodeTables[2][16] = {
    {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241},
    {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0}};

// Which layout a placed weight has (Weight::layout), and the order of every table by layout.
enum class TileFormat : int {
  f32,
  f16,
  bf16,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  iq4_nl,
  mxfp4,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k
};
constexpr int kTileFormats = 15;

constexpr TileLayout kTileLayouts[kTileFormats] = {
    kF32Tile,   kF16Tile,   kF16Tile, kQ4_0Tile, kQ4_1Tile, kQ5_0Tile, kQ5_1Tile, kQ8_0Tile,
    kIq4NlTile, kMxfp4Tile, kQ2KTile, kQ3KTile,  kQ4KTile,  kQ5KTile,  kQ6KTile};

}  // namespace spate
