// Ops that move or combine rows. T tokens in the step, C model width, V vocabulary.
#pragma once

#include "backend/contract.h"
#include "quant/format.h"

namespace spate::op {

// out[t] = row tokens[t] of the table, decoded.
struct Embed {
  static constexpr std::string_view kName = "embed";
  Tensor tokens;                  // [T] i32, each in [0, table->out)
  const Weight* table = nullptr;  // [V, C], any format
  Tensor out;                     // [T, C]
  void contract() const {
    Dim T{"T"};
    match("tokens", tokens, DType::i32, {T});
    match("out", out, {T, table->in});
  }
  int64_t bytes() const { return out.rows() * table->format->row_bytes(table->in) + out.bytes(); }
  int64_t flops() const { return 0; }
};

// Tokens that are still being drawn when a step is planned: those below 0 become drawn[-1 - token],
// or 0 where nothing could be drawn.
struct TakeDrawn {
  static constexpr std::string_view kName = "take_drawn";
  Tensor tokens;  // [T] i32, in place
  Tensor drawn;   // [B] i32
  void contract() const {
    Dim T{"T"}, B{"B"};
    match("tokens", tokens, DType::i32, {T});
    match("drawn", drawn, DType::i32, {B});
  }
  int64_t bytes() const { return 3 * tokens.rows() * 4; }
  int64_t flops() const { return 0; }
};

// out[b] = x[rows[b]], of any type.
struct GatherRows {
  static constexpr std::string_view kName = "gather_rows";
  Tensor x;     // [T, C]
  Tensor rows;  // [B] i32
  Tensor out;   // [B, C]
  void contract() const {
    Dim T{"T"}, B{"B"}, C{"C"};
    match("x", x, {T, C});
    match("rows", rows, DType::i32, {B});
    match("out", out, x.dtype, {B, C});
  }
  int64_t bytes() const { return 2 * out.bytes(); }
  int64_t flops() const { return 0; }
};

// x[index[n]] = rows[n], rounded to x's type.
struct PutRows {
  static constexpr std::string_view kName = "put_rows";
  Tensor rows;   // [N, C] f32
  Tensor index;  // [N] i32, each in [0, T) and none twice
  Tensor x;      // [T, C], f32 or bf16
  void contract() const {
    Dim N{"N"}, T{"T"}, C{"C"};
    match("rows", rows, DType::f32, {N, C});
    match("index", index, DType::i32, {N});
    match("x", x, {T, C});
  }
  int64_t bytes() const {
    return rows.bytes() + rows.shape.elements() * static_cast<int64_t>(size_of(x.dtype));
  }
  int64_t flops() const { return 0; }
};

// out = a + b; out may be a.
struct Add {
  static constexpr std::string_view kName = "add";
  Tensor a, b, out;  // [T, C]
  void contract() const {
    Dim T{"T"}, C{"C"};
    match("a", a, {T, C});
    match("b", b, a.dtype, {T, C});
    match("out", out, a.dtype, {T, C});
  }
  int64_t bytes() const { return 3 * out.bytes(); }
  int64_t flops() const { return out.shape.elements(); }
};

// x *= factor.
struct Scale {
  static constexpr std::string_view kName = "scale";
  Tensor x;  // [T, C]
  float factor = 1;
  void contract() const {
    Dim T{"T"}, C{"C"};
    match("x", x, {T, C});
  }
  int64_t bytes() const { return 2 * x.bytes(); }
  int64_t flops() const { return x.shape.elements(); }
};

}  // namespace spate::op
