// Work that is one sequence of tiles of keys, cut into equal shares, and what merges the pieces of
// a softmax that was cut.
#pragma once

#include "backend/cuda/mma.cuh"
#include "backend/cuda/shares.cuh"

namespace spate::cuda {

constexpr int kLeastShare = 2;  // tiles; fewer are not worth a merge

// The weight of a piece of a softmax relative to another reference. `stats`: its own reference and
// the sum of its weights.
__device__ inline float piece_weight(float2 stats, float reference) {
  return stats.y == 0 ? 0 : exp2_fast(stats.x - reference);  // it may have seen no keys
}

__device__ inline void add_weighed(float4& to, float weight, const float4& values) {
  to.x = fmaf(weight, values.x, to.x);
  to.y = fmaf(weight, values.y, to.y);
  to.z = fmaf(weight, values.z, to.z);
  to.w = fmaf(weight, values.w, to.w);
}

}  // namespace spate::cuda
