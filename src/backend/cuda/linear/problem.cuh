// A product as the kernels that read placed weights themselves take it.
#pragma once

#include "backend/cuda/linear/place.h"
#include "backend/cuda/types.cuh"
#include "backend/ops/linear.h"
#include "backend/tiles/pack.h"

namespace spate::cuda {

// T: type of hidden states.
template <class T>
struct LinearProblem {
  const uint8_t* weight;
  int64_t weight_stride;  // bytes of a tile, or of a row of plain floats
  int64_t out, in;
  Rows<const T> x;
  int64_t rows;
  bool aligned;       // rows of x start at multiples of 16 bytes
  const float* bias;  // or null
  void* to;
  int64_t to_stride;
  bool to_f32;  // else T
};

template <class T>
LinearProblem<T> linear_problem(const op::Linear& op) {
  const Weight& weight = *op.weight;
  const int64_t stride = is_packed(*weight.format)
                             ? static_cast<int64_t>(tile_bytes(weight.layout, weight.in))
                             : padded_row(weight.in) * static_cast<int64_t>(sizeof(T));
  return {.weight = static_cast<const uint8_t*>(weight.storage.data()),
          .weight_stride = stride,
          .out = weight.out,
          .in = weight.in,
          .x = rows_of<const T>(op.x),
          .rows = op.x.rows(),
          .aligned = reinterpret_cast<uintptr_t>(op.x.data) % 16 == 0 && op.x.row_stride % 8 == 0,
          .bias = op.bias.as<float>(),
          .to = op.out.data,
          .to_stride = op.out.row_stride,
          .to_f32 = op.out.dtype == DType::f32};
}

}  // namespace spate::cuda
