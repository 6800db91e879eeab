// Few rows times packed weights: which kernel.
#include "backend/cuda/linear/kernels.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/linear/stream.h"
#include "backend/tiles/pack.h"

namespace spate::cuda {

namespace {

// Up to so many rows nothing is faster.
constexpr int64_t kMostRows = 64;

}  // namespace

bool stream_accepts(const op::Linear& op) {
  return op.x.dtype == DType::bf16 && op.x.rows() <= kMostRows;
}

void multiply_stream(const Context& context, const op::Linear& op) {
  const Weight& weight = *op.weight;
  const TileFormat format = tile_format(weight);
  const auto problem = linear_problem<bf16>(op);
  if (weight.format->block == 32) {
    stream_block32(context, problem, format);
  } else {
    stream_k(context, problem, format);
  }
}

}  // namespace spate::cuda
