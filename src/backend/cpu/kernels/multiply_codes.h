// The matrix product of one panel of rounded rows with tiles of codes: integer sums over the inputs
// of a part, which share a step on both sides, then
//
//   out += step of the weights * step of the row * sum(code * rounded x)
//        + shift of the weights * step of the row * sum(rounded x)
//
// A part is unpacked once for all rows of the panel.
#pragma once

#include "backend/cpu/kernels/bytes.h"
#include "backend/cpu/linear/kernels.h"

namespace spate::cpu::SPATE_ISA {

// `Codes` is a format of codes.h.
template <class Codes>
struct CodeProduct {
  template <int kRows, int kTiles>
  static void sums(const PanelProduct& p, const uint8_t* tiles, int lane,
                   Vec (&sums)[kTiles][kRows]) {
    constexpr int kPart = Codes::kPart, kBlock = Codes::layout.block;
    using Part = RoundedPart<kPart, kRows>;
#pragma GCC unroll 8
    for (int n = 0; n < kTiles; ++n) {
#pragma GCC unroll 32
      for (int r = 0; r < kRows; ++r) sums[n][r] = broadcast(0);
    }
    const auto* x = static_cast<const Part*>(p.panel);
    for (int64_t input = 0; input < p.inputs; input += kBlock, tiles += Codes::layout.bytes) {
#pragma GCC unroll 1
      for (int part = 0; part < kBlock / kPart; ++part, ++x) {
#pragma GCC unroll 8
        for (int n = 0; n < kTiles; ++n)
          add_part(tiles + n * p.tile_bytes, lane, part, *x, sums[n]);
      }
    }
  }

 private:
  template <int kRows>
  static void add_part(const uint8_t* block, int lane, int part,
                       const RoundedPart<Codes::kPart, kRows>& x, Vec (&sums)[kRows]) {
    Bytes codes[Codes::kPart / 4];
    Codes::unpack(block, lane, part, codes);
    const Vec step = Codes::step(block, lane, part);
    const Vec shift = Codes::shift(block, lane, part, step);
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      const Vec products = to_float(dot<Codes::kLargest>(codes, x.codes[0][r], 4 * kRows));
      sums[r] = fma(shift, broadcast(x.sum[r]), sums[r]);
      sums[r] = fma(products, step * broadcast(x.step[r]), sums[r]);
    }
  }
};

// As many sums as registers allow beside a part's codes.
#if defined(__AVX512F__)
constexpr PanelShape kCodeShapes[] = {{1, 4}, {2, 2}, {3, 2},  {4, 2},
                                      {6, 1}, {8, 1}, {12, 1}, {16, 1}};
#elif defined(__AVX2__)
constexpr PanelShape kCodeShapes[] = {{1, 2}, {2, 2}, {3, 1}, {4, 1}, {6, 1}, {8, 1}};
#else
constexpr PanelShape kCodeShapes[] = {{1, 1}, {2, 1}, {4, 1}};
#endif

}  // namespace spate::cpu::SPATE_ISA
