// The keys that a warp of the `decode` kernel takes at once, with their values, in shared memory.
#pragma once

#include "backend/cuda/attention/tile.cuh"
#include "backend/cuda/copy_engine.cuh"

namespace spate::cuda {

// Keys that a warp takes at once: as many bytes of any type.
template <class C>
constexpr int kWarpKeys = sizeof(C) == 1 ? 32 : 16;

// Slabs of 128 bytes a key, as TensorMapEncoder describes them.
template <class C, int D>
struct WarpTile {
  static constexpr int kKeys = kWarpKeys<C>;
  static constexpr int kSlabColumns = kSlabRowBytes / static_cast<int>(sizeof(C));
  static constexpr int kSlabs = (D + kSlabColumns - 1) / kSlabColumns;
  static constexpr int kSlab = kKeys * kSlabRowBytes;
  alignas(1024) unsigned char keys[kSlabs * kSlab];
  unsigned char values[kSlabs * kSlab];

  // The n-th 16 bytes of a key or value.
  __device__ static const unsigned char* vector(const unsigned char* tile, int key, int n) {
    return tile + n / 8 * kSlab + key * kSlabRowBytes + ((n ^ key) % 8) * 16;
  }
};

// Where a warp leaves sums of values for others: in the memory of keys that it has used, [queries,
// D]. Neighbouring queries lie in other banks.
template <class C, int D>
__device__ float* left_place(WarpTile<C, D>& tile, int query, int column) {
  constexpr int kPitch = (D + 31) / 32 * 32;
  static_assert(sizeof(WarpTile<C, D>) >= 16 * kPitch * sizeof(float));
  return reinterpret_cast<float*>(&tile) + query * kPitch + (column ^ query % 8 * 4);
}

// The columns of a query that a thread has of a product's inner dimension, as pairs of the type of
// products: of each 16 columns two, n < 2, which are pairs lane % 4 and 4 + lane % 4; with e4m3 the
// columns of four neighbouring codes belong to one thread. Calls take(step, n, pair). `query`: of
// the row; zeros for one that does not exist.
template <class C, int D, class Take>
__device__ void load_query(const AttentionProblem& problem, const RowShape& shape, int kv_head,
                           int query, const Take& take) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const bool there = query < shape.tokens * problem.group;
  const int token = shape.first_token + (there ? query / problem.group : 0);
  const int head = kv_head * problem.group + query % problem.group;
  const auto* row =
      reinterpret_cast<const uint32_t*>(static_cast<const bf16*>(problem.q) +
                                        token * problem.q_stride + int64_t{head} * problem.width);
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
#pragma unroll
    for (int n = 0; n < 2; ++n) {
      const int pair = sizeof(C) == 1 ? lane % 4 * 2 + n : lane % 4 + 4 * n;
      take(step, n, there ? convert_pair<ProductType<C>>(row[8 * step + pair]) : 0);
    }
  }
}

}  // namespace spate::cuda
