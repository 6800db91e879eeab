// Rows rounded to e4m3, each with a scale of its own so that its largest element is the largest of
// e4m3: what products multiply with weights that are rounded likewise (Quantize::fp8).
#pragma once

#include "backend/contract.h"

namespace spate::op {

// Elements of a rounded row of `width`: behind them are zeros.
constexpr int64_t rounded_width(int64_t width) {
  constexpr int64_t kPiece = 64;
  return (width + kPiece - 1) / kPiece * kPiece;
}

struct RoundedRows {
  Tensor codes;   // [T, rounded_width(C)] u8, rows at multiples of 16 bytes; empty: there are none
  Tensor scales;  // [T] f32
  bool there() const { return codes.data != nullptr; }
  void contract(int64_t tokens, int64_t width) const {
    match("codes", codes, DType::u8, {tokens, rounded_width(width)});
    match("scales", scales, DType::f32, {tokens});
  }
  int64_t bytes() const { return codes.bytes() + scales.bytes(); }
};

// to = x, rounded. A row that has a NaN or an infinity becomes NaN where it counts: in every
// product with it. Codes may lie where x lies, each row at the place of its own.
struct RoundRows {
  static constexpr std::string_view kName = "round_rows";
  Tensor x;  // [T, C]
  RoundedRows to;
  void contract() const { to.contract(x.rows(), x.row_size()); }
  int64_t bytes() const { return x.bytes() + to.bytes(); }
  int64_t flops() const { return 2 * x.shape.elements(); }
};

// Fused: an op whose result is wanted as rounded rows alone; its own `out` is overwritten, and may
// be where the codes go. Meaning: backend/fused.cc.
template <class Op>
struct Rounded {
  static constexpr std::string_view kName = Op::kName;
  Op op;
  RoundedRows to;
  void contract() const {
    op.contract();
    to.contract(op.out.rows(), op.out.row_size());
  }
  int64_t bytes() const { return op.bytes() - op.out.bytes() + to.bytes(); }
  int64_t flops() const { return op.flops() + 2 * op.out.shape.elements(); }
};

}  // namespace spate::op
