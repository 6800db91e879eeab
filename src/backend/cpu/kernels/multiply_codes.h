// The matrix product of one panel of rounded rows with tiles of codes: integer sums over the inputs
// of a part, which share a step on both sides, then
//
//   out += step of the weights * sum((code - middle) * rounded x) * step of the row
//        + shift of the weights * sum(rounded x) * step of the row
//
// A format has a middle or a shift. The middle is taken off in integers: the first sum starts at
// -middle * sum(rounded x), which the row brings. A part is unpacked once for all rows of the
// panel.
#pragma once

#include "backend/cpu/kernels/codes.h"
#include "backend/cpu/kernels/linear.h"
#include "backend/cpu/kernels/multiply.h"

namespace spate::cpu::SPATE_ISA {

template <class Codes>
struct CodeProduct {
  // One tile after another: the weights are one stream of memory, and the sums of parts do not wait
  // for one another.
  template <int kRows, int kTiles>
  static void sums(const PanelProduct& p, const uint8_t* tile, int lane,
                   Vec (&sums)[kTiles][kRows]) {
    static_assert(kTiles == 1);
    constexpr int kBlock = Codes::layout.block, kBytes = Codes::layout.bytes;
    const auto* x = static_cast<const RoundedPart<Codes::kPart, kRows>*>(p.panel);
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) sums[0][r] = broadcast(0);
    for (int64_t input = 0; input < p.inputs; input += kBlock, tile += kBytes) {
      for (int i = 0; i < kBytes; i += 64) __builtin_prefetch(tile + i + kAhead);
#pragma GCC unroll 1
      for (int part = 0; part < kBlock / Codes::kPart; ++part, ++x) {
        add_part(tile, lane, part, *x, sums[0]);
      }
    }
  }

 private:
  static constexpr int kAhead = 3072;  // bytes that memory needs to get near in time

  template <int kRows>
  static void add_part(const uint8_t* block, int lane, int part,
                       const RoundedPart<Codes::kPart, kRows>& x, Vec (&sums)[kRows]) {
    constexpr int kGroups = Codes::kPart / 4;
    Bytes codes[kGroups];
    Codes::unpack(block, lane, part, codes);
    const Factor<Codes::kLargest, kGroups> factor(codes);
    const Vec step = Codes::step(block, lane, part);
    const Vec shift = Codes::shift(block, lane, part);
#pragma GCC unroll 32
    for (int r = 0; r < kRows; ++r) {
      Words sum;
      if constexpr (Codes::kMiddle == 0) {
        sum = factor.dot(x.codes[0][r], 4 * kRows);
      } else {
        sum = factor.dot(broadcast_word(x.start[r]), x.codes[0][r], 4 * kRows);
      }
      const Vec products = to_float(sum);
      if constexpr (Codes::kMiddle == 0) sums[r] = fma(shift, broadcast(x.sum[r]), sums[r]);
      sums[r] = fma(products, step * broadcast(x.step[r]), sums[r]);
    }
  }
};

// As many sums as registers allow beside a part's codes.
#if defined(__AVX512F__)
constexpr PanelShape kCodeShapes[] = {{1, 1}, {2, 1}, {3, 1},  {4, 1},
                                      {6, 1}, {8, 1}, {12, 1}, {16, 1}};
#elif defined(__AVX2__)
constexpr PanelShape kCodeShapes[] = {{1, 1}, {2, 1}, {3, 1}, {4, 1}, {6, 1}, {8, 1}, {12, 1}};
#else
constexpr PanelShape kCodeShapes[] = {{1, 1}, {2, 1}, {4, 1}};
#endif

// All of a format whose tiles have layout kLayout.
template <const TileLayout& kLayout>
constexpr FormatKernels kCodeKernels{&RoundedPanels<kLayout.part, kLayout.middle>::kind,
                                     Multiplies<CodeProduct<Codes<kLayout>>, kCodeShapes>::list};

}  // namespace spate::cpu::SPATE_ISA
