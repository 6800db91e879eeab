// The frame of every matrix product: one panel of rows with a run of tiles. What is inside, the
// sums of kRows rows and kTiles tiles over all inputs, is the Product's (multiply_floats.h,
// multiply_codes.h).
#pragma once

#include <utility>  // integer_sequence, a type alone

#include "backend/cpu/kernels/vec.h"
#include "backend/cpu/linear/kernels.h"

namespace spate::cpu::SPATE_ISA {

template <class Product, int kRows, int kTiles>
inline void multiply_and_store(const PanelProduct& p, int64_t output) {
  const uint8_t* tiles = p.tiles + static_cast<size_t>(output / kTile) * p.tile_bytes;
  for (int lane = 0; lane < kTile; lane += kLanes) {
    Vec sums[kTiles][kRows];
    Product::sums(p, tiles, lane, sums);
#pragma GCC unroll 8
    for (int n = 0; n < kTiles; ++n) {
      const int64_t column = output + n * kTile + lane;
      const int64_t left = p.outputs - column;
      if (left <= 0) break;
      const int count = left < kLanes ? static_cast<int>(left) : kLanes;
      const Vec bias = p.bias != nullptr ? load_part(p.bias + column, count) : broadcast(0);
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r) {
        if (r >= p.rows) break;
        store_part(p.out + r * p.out_stride + column, sums[n][r] + bias, count);
      }
    }
  }
}

// One panel with all tiles of a call.
template <class Product, int kRows, int kTiles>
void multiply(const PanelProduct& p) {
  int64_t output = 0;
  for (; output + (kTiles - 1) * kTile < p.outputs; output += kTiles * kTile) {
    multiply_and_store<Product, kRows, kTiles>(p, output);
  }
  if constexpr (kTiles == 4) {
    if (output + kTile < p.outputs) {
      multiply_and_store<Product, kRows, 2>(p, output);
      output += 2 * kTile;
    }
  }
  for (; output < p.outputs; output += kTile) multiply_and_store<Product, kRows, 1>(p, output);
}

// The kernels of one format, by panel size.
template <class Product, const auto& kShapes,
          class Sizes = std::make_integer_sequence<int, sizeof kShapes / sizeof kShapes[0]>>
struct Multiplies;
template <class Product, const auto& kShapes, int... kSize>
struct Multiplies<Product, kShapes, std::integer_sequence<int, kSize...>> {
  static constexpr Multiply list[] = {
      multiply<Product, kShapes[kSize].rows, kShapes[kSize].tiles>...};
};

}  // namespace spate::cpu::SPATE_ISA
