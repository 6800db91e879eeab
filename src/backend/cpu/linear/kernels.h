// What an instruction set offers for matrix products. Rows of x are cut into panels: `size` rows,
// stored input by input, [I][size], so that a kernel reads them in order. One call multiplies one
// panel with a run of tiles; all rows of the panel and 16 outputs are accumulated in registers.
//
// Every kernel computes an output as the same chain of operations, sum = fma(w, x, sum) over the
// inputs in order, with w decoded to the same bits, so that a row's result does not depend on the
// panel it is in.
//
// This file has plain structs only: cpu/kernels/ includes it.
#pragma once

#include <cstddef>
#include <cstdint>

#include "backend/cpu/linear/layout.h"

namespace spate::cpu {

// A panel size, and how many tiles one step of its kernel takes side by side.
struct PanelShape {
  int rows, tiles;
};

struct PanelProduct {
  const uint8_t* tiles;  // first tile
  size_t tile_bytes;     // from one tile to the next
  int64_t inputs;        // I
  const float* panel;    // [I, size]
  int rows;              // rows of the panel that are real, at most size
  float* out;            // first output of the first row
  int64_t out_stride;    // from one row to the next
  int64_t outputs;       // outputs of all tiles of the call; the last tile may be cut
  const float* bias;     // [outputs], or null
};

using Multiply = void (*)(const PanelProduct&);

// One format: products by panel size, and the decoding of one tile to [inputs][16].
struct FormatKernels {
  const Multiply* multiply;
  void (*decode)(const uint8_t* tile, int64_t inputs, float* to);
};

struct LinearKernels {
  const PanelShape* panels;  // ascending, the first has one row
  int panel_sizes;
  const FormatKernels* const* formats;  // by TileFormat
  // Makes a panel from `rows` <= `size` rows of x; the other rows of the panel become 0.
  void (*pack)(const float* x, int64_t stride, int rows, int64_t inputs, int size, float* panel);
  bool decodes_cheaply;  // few operations a weight beside those of a full panel
};

}  // namespace spate::cpu
