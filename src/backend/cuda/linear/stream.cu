// Few rows times weights of any format: which kernel, and plain floats.
#include "backend/cuda/linear/kernels.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/linear/stream.cuh"
#include "backend/cuda/linear/stream.h"
#include "backend/tiles/pack.h"

namespace spate::cuda {

namespace {

// Up to so many rows nothing is faster.
constexpr int64_t kMostRowsPlain = 8, kMostRowsPacked = 64;

}  // namespace

bool stream_accepts(const op::Linear& op) {
  return op.x.dtype == DType::bf16 &&
         op.x.rows() <= (is_packed(*op.weight->format) ? kMostRowsPacked : kMostRowsPlain);
}

void multiply_stream(const Context& context, const op::Linear& op) {
  const Weight& weight = *op.weight;
  const TileFormat format = tile_format(weight);
  const bool plain = !is_packed(*weight.format);
  const StreamProblem problem{
      .weight = static_cast<const uint8_t*>(weight.storage.data()),
      .weight_stride = plain ? padded_row(weight.in) * 2
                             : static_cast<int64_t>(tile_bytes(weight.layout, weight.in)),
      .out = weight.out,
      .in = weight.in,
      .x = rows_of<const bf16>(op.x),
      .rows = op.x.rows(),
      .aligned = reinterpret_cast<uintptr_t>(op.x.data) % 16 == 0 && op.x.row_stride % 8 == 0,
      .bias = op.bias.as<float>(),
      .to = op.out.data,
      .to_stride = op.out.row_stride,
      .to_f32 = op.out.dtype == DType::f32};
  if (plain) {
    launch_stream<PlainWeights>(context, problem);
  } else if (weight.format->block == 32) {
    stream_block32(context, problem, format);
  } else {
    stream_k(context, problem, format);
  }
}

}  // namespace spate::cuda
