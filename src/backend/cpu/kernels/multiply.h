// The matrix product of one panel of rows with tiles of packed weights, all in registers: a vector
// of outputs is decoded once and multiplied with one value of every row of the panel. With one or
// few rows several tiles go side by side, because each sum is a chain of dependent operations.
#pragma once

#include <utility>  // integer_sequence, a type alone

#include "backend/cpu/kernels/tile_formats.h"
#include "backend/cpu/linear/kernels.h"

namespace spate::cpu::SPATE_ISA {

// kRows sums of kTiles tiles, kLanes outputs of each, over all inputs.
template <class Decoder, int kRows, int kTiles>
inline void multiply_tiles(const PanelProduct& p, const uint8_t* tiles, int lane,
                           Vec (&sums)[kTiles][kRows]) {
  constexpr int kBlock = Decoder::layout.block, kBytes = Decoder::layout.bytes;
  constexpr int kStep = kBlock < kRun ? kRun : kBlock;  // inputs of an iteration
  Decoder decoders[kTiles];
#pragma GCC unroll 32
  for (int n = 0; n < kTiles; ++n) {
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) sums[n][r] = broadcast(0);
  }
  const float* x = p.panel;
  int64_t input = 0;
  for (; input + kStep <= p.inputs; input += kStep) {
#pragma GCC unroll 1
    for (int part = 0; part < kStep / Decoder::kPart; ++part) {
#pragma GCC unroll 8
      for (int n = 0; n < kTiles; ++n) decoders[n].open(tiles + n * p.tile_bytes, lane, part);
#pragma GCC unroll 1
      for (int run = part * (Decoder::kPart / kRun); run < (part + 1) * (Decoder::kPart / kRun);
           ++run) {
#pragma GCC unroll 8
        for (int n = 0; n < kTiles; ++n) decoders[n].load(tiles + n * p.tile_bytes, lane, run);
#pragma GCC unroll 8
        for (int j = 0; j < kRun; ++j) {
#pragma GCC unroll 8
          for (int n = 0; n < kTiles; ++n) {
            const Vec weight = decoders[n].weight(j);
#pragma GCC unroll 32
            for (int r = 0; r < kRows; ++r) {
              sums[n][r] = fma(weight, broadcast(x[j * kRows + r]), sums[n][r]);
            }
          }
        }
        x += kRun * kRows;
      }
    }
    tiles += kBytes * (kStep / kBlock);
  }
  if constexpr (kBlock == 1) {  // plain floats: what is left of a run
    for (; input < p.inputs; ++input) {
#pragma GCC unroll 8
      for (int n = 0; n < kTiles; ++n) {
        decoders[n].load(tiles + n * p.tile_bytes, lane, 0);
        const Vec weight = decoders[n].weight(0);
#pragma GCC unroll 32
        for (int r = 0; r < kRows; ++r) {
          sums[n][r] = fma(weight, broadcast(x[r]), sums[n][r]);
        }
      }
      x += kRows;
      tiles += kBytes;
    }
  }
}

template <class Decoder, int kRows, int kTiles>
inline void multiply_and_store(const PanelProduct& p, int64_t output) {
  const uint8_t* tiles = p.tiles + static_cast<size_t>(output / kTile) * p.tile_bytes;
  for (int lane = 0; lane < kTile; lane += kLanes) {
    Vec sums[kTiles][kRows];
    multiply_tiles<Decoder, kRows, kTiles>(p, tiles, lane, sums);
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
template <class Decoder, int kRows, int kTiles>
void multiply(const PanelProduct& p) {
  int64_t output = 0;
  for (; output + (kTiles - 1) * kTile < p.outputs; output += kTiles * kTile) {
    multiply_and_store<Decoder, kRows, kTiles>(p, output);
  }
  if constexpr (kTiles == 4) {
    if (output + kTile < p.outputs) {
      multiply_and_store<Decoder, kRows, 2>(p, output);
      output += 2 * kTile;
    }
  }
  for (; output < p.outputs; output += kTile) multiply_and_store<Decoder, kRows, 1>(p, output);
}

template <class Decoder>
void decode(const uint8_t* tile, int64_t inputs, float* to) {
  constexpr int kBlock = Decoder::layout.block;
  constexpr int kStep = kBlock < kRun ? kRun : kBlock;
  constexpr int kRuns = Decoder::kPart / kRun;
  Decoder decoder;
  int64_t input = 0;
  for (; input + kStep <= inputs; input += kStep) {
    for (int lane = 0; lane < kTile; lane += kLanes) {
      for (int part = 0; part < kStep / Decoder::kPart; ++part) {
        decoder.open(tile, lane, part);
#pragma GCC unroll 1
        for (int run = part * kRuns; run < (part + 1) * kRuns; ++run) {
          decoder.load(tile, lane, run);
#pragma GCC unroll 8
          for (int j = 0; j < kRun; ++j) {
            store(to + kTile * (input + kRun * run + j) + lane, decoder.weight(j));
          }
        }
      }
    }
    tile += Decoder::layout.bytes * (kStep / kBlock);
  }
  if constexpr (kBlock == 1) {
    for (; input < inputs; ++input, tile += Decoder::layout.bytes) {
      for (int lane = 0; lane < kTile; lane += kLanes) {
        decoder.load(tile, lane, 0);
        store(to + kTile * input + lane, decoder.weight(0));
      }
    }
  }
}

// As many sums as registers allow beside the few that decoding needs.
#if defined(__AVX512F__)  // 32 registers of a whole tile
constexpr PanelShape kPanelShapes[] = {{1, 4}, {2, 4},  {3, 2},  {4, 2},  {6, 1},
                                       {8, 1}, {12, 1}, {16, 1}, {20, 1}, {24, 1}};
#elif defined(__AVX2__)  // 16 registers of half a tile
constexpr PanelShape kPanelShapes[] = {{1, 4}, {2, 3}, {3, 2}, {4, 2}, {6, 1}, {8, 1}, {10, 1}};
#else
constexpr PanelShape kPanelShapes[] = {{1, 2}, {2, 2}, {4, 1}, {6, 1}, {8, 1}};
#endif
constexpr int kPanelSizes = sizeof kPanelShapes / sizeof kPanelShapes[0];

// The products of one format, by panel size.
template <class Decoder, class Sizes = std::make_integer_sequence<int, kPanelSizes>>
struct Multiplies;
template <class Decoder, int... kSize>
struct Multiplies<Decoder, std::integer_sequence<int, kSize...>> {
  static constexpr Multiply list[] = {
      multiply<Decoder, kPanelShapes[kSize].rows, kPanelShapes[kSize].tiles>...};
};

}  // namespace spate::cpu::SPATE_ISA
