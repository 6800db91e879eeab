// The matrix product of one panel of rows with tiles of plain floats, all in registers: a vector of
// outputs is loaded once and multiplied with one value of every row of the panel. With one or few
// rows several tiles go side by side, because each sum is a chain of dependent operations.
#pragma once

#include "backend/cpu/kernels/vec.h"
#include "backend/cpu/linear/kernels.h"

namespace spate::cpu::SPATE_ISA {

// How kLanes weights of one input are read.
struct LoadF32 {
  static constexpr int kBytes = 4;
  static Vec weights(const uint8_t* from) { return load(reinterpret_cast<const float*>(from)); }
};
struct LoadF16 {
  static constexpr int kBytes = 2;
  static Vec weights(const uint8_t* from) {
    return load_f16(reinterpret_cast<const uint16_t*>(from));
  }
};
struct LoadBf16 {
  static constexpr int kBytes = 2;
  static Vec weights(const uint8_t* from) {
    return load_bf16(reinterpret_cast<const uint16_t*>(from));
  }
};

// Asks memory for `kBytes` bytes that are needed a little later. Of one stream: with several, the
// requests get in each other's way.
template <int kBytes>
inline void ask_for(const uint8_t* near) {
  constexpr int kAhead = 3072;
#pragma GCC unroll 8
  for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(near + kAhead + i);
}

// kRows sums of kTiles tiles, kLanes outputs of each, over all inputs.
template <class Load, int kRows, int kTiles>
inline void multiply_tiles(const PanelProduct& p, const uint8_t* tiles,
                           Vec (&sums)[kTiles][kRows]) {
  constexpr int kRun = 8;  // inputs of an iteration
  const auto* x = static_cast<const float*>(p.panel);
  const auto multiply_input = [&] {
#pragma GCC unroll 8
    for (int n = 0; n < kTiles; ++n) {
      const Vec weights = Load::weights(tiles + n * p.tile_bytes);
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r) sums[n][r] = fma(weights, broadcast(x[r]), sums[n][r]);
    }
    x += kRows;
    tiles += Load::kBytes * kTile;
  };
#pragma GCC unroll 8
  for (int n = 0; n < kTiles; ++n) {
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) sums[n][r] = broadcast(0);
  }
  int64_t input = 0;
#pragma GCC unroll 1
  for (; input + kRun <= p.inputs; input += kRun) {
    if constexpr (kTiles == 1) ask_for<Load::kBytes * kTile * kRun>(tiles);
#pragma GCC unroll 8
    for (int j = 0; j < kRun; ++j) multiply_input();
  }
#pragma GCC unroll 1
  for (; input < p.inputs; ++input) multiply_input();
}

// One kernel: FormatKernels::multiply of a panel size.
template <class Load>
struct FloatProduct {
  template <int kRows, int kTiles>
  static void sums(const PanelProduct& p, const uint8_t* tiles, int lane,
                   Vec (&sums)[kTiles][kRows]) {
    multiply_tiles<Load, kRows, kTiles>(p, tiles + Load::kBytes * lane, sums);
  }
};

// As many sums as registers allow beside the weights. One tile at a time is one stream of memory;
// several hide the latency of multiply-adds.
#if defined(__AVX512F__)  // 32 registers of a whole tile
constexpr PanelShape kFloatShapes[] = {{1, 1}, {2, 1},  {3, 1},  {4, 1},  {6, 1},
                                       {8, 1}, {12, 1}, {16, 1}, {20, 1}, {24, 1}};
#elif defined(__AVX2__)  // 16 registers of half a tile
constexpr PanelShape kFloatShapes[] = {{1, 4}, {2, 3}, {3, 2}, {4, 2}, {6, 1}, {8, 1}, {10, 1}};
#else
constexpr PanelShape kFloatShapes[] = {{1, 2}, {2, 2}, {4, 1}, {6, 1}, {8, 1}};
#endif

}  // namespace spate::cpu::SPATE_ISA
