// Products in eight bits: rows of weights and rows of hidden states are rounded to e4m3, each row
// with a scale of its own, so that the largest element of a row is the largest of e4m3; products
// are summed in f32 and multiplied with both scales.
//
// A weight lies as rows of codes, padded with zeros to op::rounded_width(), and behind them,
// aligned to 16 bytes, a scale a row in f32.
#pragma once

#include "backend/backend.h"
#include "backend/cuda/context.h"
#include "backend/ops/rounded.h"

namespace spate::cuda {

constexpr int64_t f8_stride(int64_t in) { return op::rounded_width(in); }
constexpr size_t f8_bytes(int64_t out, int64_t in) {
  return static_cast<size_t>(out * (f8_stride(in) + int64_t{sizeof(float)}));
}

// Rows in e4m3: codes [rows, f8_stride(width)], each row `row_bytes` behind the one before, scales
// [rows].
struct F8Rows {
  uint8_t* codes;
  float* scales;
  int64_t rows, width;
  int64_t row_bytes = f8_stride(width);

  int64_t stride() const { return row_bytes; }
};

// The rows of a placed weight.
F8Rows f8_rows(const Weight& weight);

F8Rows f8_rows(const op::RoundedRows& rows, int64_t width);

// Rounds rows of plain floats, f32 or bf16, as op::RoundRows says.
void quantize_rows(const Context& context, const Tensor& x, const F8Rows& to);

// out = x * weight^T + bias, for any number of rows. The sum over the inputs runs in one order
// whatever rows there are. op.x does not count.
void multiply_f8(const Context& context, const op::Linear& op, const F8Rows& x);

}  // namespace spate::cuda
