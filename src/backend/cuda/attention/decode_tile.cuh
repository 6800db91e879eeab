// The keys that a warp of the `decode` kernel takes at once, with their values, in shared memory,
// and how the copy engine brings them there.
#pragma once

#include "backend/cuda/attention/cache_map.h"
#include "backend/cuda/attention/tile.cuh"
#include "backend/cuda/copy_engine.cuh"

namespace spate::cuda {

// Keys that a warp takes at once: as many bytes of any type.
template <class C>
constexpr int kWarpKeys = sizeof(C) == 1 ? 32 : 16;

// Boxes have 2^n rows, up to a warp's.
constexpr int kTileBoxSizes = 6;
static_assert(kWarpKeys<e4m3> == 1 << (kTileBoxSizes - 1));

// Tensors [slots, G, D] of the cache.
struct TileMaps {
  CUtensorMap keys[kTileBoxSizes], values[kTileBoxSizes];  // 16 bits have no use for the largest
};

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

// Starts to bring the keys from position `key` on to `to`, as many as the row has, and zeros for
// values behind them, which have no weight, but must be numbers. `scales`: of a cache that has
// them, where they go. For a whole warp, each of whose lanes arrives at `full` when the cache has
// scales.
template <class C, int D>
__device__ void load_tile(WarpTile<C, D>& to, uint32_t* scales, const AttentionProblem& problem,
                          const TileMaps& maps, SlotCursor& cursor, int key, int length,
                          int kv_head, Barrier* full) {
  using Tile = WarpTile<C, D>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int rows = max(0, min(Tile::kKeys, length - key));
  if (rows < Tile::kKeys) {
    constexpr int kVectors = kSlabRowBytes / 16;
    for (int i = rows * kVectors + lane; i < Tile::kKeys * kVectors; i += 32) {
#pragma unroll
      for (int slab = 0; slab < Tile::kSlabs; ++slab) {
        reinterpret_cast<uint4*>(to.values + slab * Tile::kSlab)[i] = {};
      }
    }
    publish_writes();
    __syncwarp();
  }
  int own_slot = 0;  // of the lane's key
  for (int row = 0; row < rows;) {
    const int slot = cursor.slot(key + row);
    const int run = min(rows - row, cursor.end() - key - row);
    if (elected()) {
      const auto copy = [&](int first, int size) {
#pragma unroll
        for (int slab = 0; slab < Tile::kSlabs; ++slab) {
          const int place = slab * Tile::kSlab + (row + first) * kSlabRowBytes;
          const int column = slab * Tile::kSlabColumns;
          copy_box_once(to.keys + place, maps.keys[size], column, kv_head, slot + first, full);
          copy_box_once(to.values + place, maps.values[size], column, kv_head, slot + first, full);
        }
      };
      copy_in_boxes(run, 2 * Tile::kSlabs * kSlabRowBytes, full, copy);
    }
    if (lane >= row) own_slot = slot + lane - row;
    row += run;
  }
  if (elected()) arrive(full);
  if constexpr (sizeof(C) == 1) {
    static_assert(Tile::kKeys == 32);
    copy_4_async(scales + lane, problem.scales + int64_t{kv_head} * problem.slots + own_slot,
                 lane < rows);
    arrive_behind_copies(full);
  }
}

template <class C>
TileMaps tile_maps(const Context& context, const AttentionProblem& problem) {
  TileMaps maps;
  map_boxes(context, problem, problem.keys, problem.key_stride, kWarpKeys<C>, maps.keys);
  map_boxes(context, problem, problem.values, problem.value_stride, kWarpKeys<C>, maps.values);
  return maps;
}

}  // namespace spate::cuda
