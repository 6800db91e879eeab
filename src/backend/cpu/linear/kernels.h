// What an instruction set offers for matrix products. Rows of x are cut into panels of `size` rows,
// stored input by input, so that a kernel reads them in order. One call multiplies one panel with a
// run of tiles; all rows of the panel and 16 outputs are accumulated in registers.
//
// Plain floats are multiplied with floats, sum = fma(w, x, sum) over the inputs in order. Packed
// formats are multiplied as integers: rows of x are rounded to 8 bits, with one step for each part
// of 32 or 16 inputs, and a part's sum of products is exact. Either way an output is the same chain
// of operations whatever panel its row is in.
//
// This file has plain structs only: cpu/kernels/ includes it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/tiles/layout.h"

namespace spate::cpu {

// A panel size, and how many tiles one step of its kernel takes side by side.
struct PanelShape {
  int rows, tiles;
};

// One part of a panel of rounded rows, for weights whose codes have their middle taken off.
template <int kPart, int kRows>
struct RoundedPart {
  int8_t codes[kPart / 4][kRows][4];  // whole numbers of -127 to 127, in groups of four inputs
  float step[kRows];                  // x is about step * code
  union {
    float sum[kRows];      // middle 0: step * the sum of codes
    int32_t start[kRows];  // else: -middle * the sum of codes
  };
};

// How rows become panels.
struct PanelKind {
  const PanelShape* shapes;  // ascending, the first has one row
  int sizes;
  int part, part_bytes;  // a row takes part_bytes for each `part` inputs
  bool bare_row;         // a panel of one row is the row itself
  int inputs_at_once;    // that one operation of the kernels multiplies
  // Makes a panel from `rows` <= `size` rows of x; the other rows of the panel become 0.
  void (*pack)(const float* x, int64_t stride, int rows, int64_t inputs, int size, void* panel);

  int64_t bytes(int size, int64_t inputs) const { return inputs / part * part_bytes * size; }
};

struct PanelProduct {
  const uint8_t* tiles;  // first tile
  size_t tile_bytes;     // from one tile to the next
  int64_t inputs;        // I
  const void* panel;     // [I, size] floats, or a run of RoundedPart
  int rows;              // rows of the panel that are real, at most size
  float* out;            // first output of the first row
  int64_t out_stride;    // from one row to the next
  int64_t outputs;       // outputs of all tiles of the call; the last tile may be cut
  const float* bias;     // [outputs], or null
};

using Multiply = void (*)(const PanelProduct&);

struct FormatKernels {
  const PanelKind* panels;
  const Multiply* multiply;  // by panel size
};

struct LinearKernels {
  const FormatKernels* const* formats;  // by TileFormat
};

}  // namespace spate::cpu
