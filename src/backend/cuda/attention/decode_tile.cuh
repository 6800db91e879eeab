// The keys that a warp of the `decode` kernel takes at once, with their values, in shared memory:
// how the copy engine brings them there and how they are read.
#pragma once

#include "backend/cuda/attention/cache_map.h"
#include "backend/cuda/attention/rows.cuh"
#include "backend/cuda/hopper.cuh"

namespace spate::cuda {

constexpr int kWarpKeys = 16;
constexpr int kPartQueries = 16;  // rows of an m16 tile

// Boxes have the most rows of these that a segment still holds.
constexpr int kTileBoxSizes = 3;
__host__ __device__ constexpr int tile_box_rows(int size) {
  return size == 0 ? kWarpKeys : size == 1 ? 4 : 1;
}

// Tensors [slots, G, D] of the cache.
struct TileMaps {
  CUtensorMap keys[kTileBoxSizes], values[kTileBoxSizes];
};

// Slabs of 64 columns, as TensorMapEncoder describes them.
template <int D>
struct WarpTile {
  static constexpr int kSlabs = (D + kSlabColumns - 1) / kSlabColumns;
  static constexpr int kSlab = kWarpKeys * kSlabRowBytes;
  alignas(1024) unsigned char keys[kSlabs * kSlab];
  unsigned char values[kSlabs * kSlab];

  // The pairs (b0, b1) of all keys and columns [16 * step, 16 * step + 16): [0], [1] for keys 0 to
  // 7, [2], [3] for the others.
  __device__ void load_keys(uint32_t (&to)[4], int step) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    load_matrices(to, place(keys, lane / 16 * 8 + lane % 8, step, lane / 8 % 2));
  }
  // The pairs of all keys and these columns of their values: [0], [1] for the first 8 columns.
  __device__ void load_values(uint32_t (&to)[4], int step) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    load_matrices_transposed(to, place(values, lane / 8 % 2 * 8 + lane % 8, step, lane / 16));
  }

 private:
  // Columns 16 * step + 8 * half and on of a row.
  __device__ static const unsigned char* place(const unsigned char* tile, int row, int step,
                                               int half) {
    return tile + step / 4 * kSlab + row * kSlabRowBytes +
           ((step % 4 * 32) ^ ((half ^ row % 8) * 16));
  }
};

// Starts to bring the keys from position `key` on to `to`, as many as the row has, and zeros for
// values behind them, which have no weight, but must be numbers. For a whole warp.
template <int D>
__device__ void load_tile(WarpTile<D>& to, const TileMaps& maps, SlotCursor& cursor, int key,
                          int length, int kv_head, Barrier* full) {
  using Tile = WarpTile<D>;
  const int rows = max(0, min(kWarpKeys, length - key));
  if (rows < kWarpKeys) {
    constexpr int kVectors = kSlabRowBytes / 16;
    for (int i = rows * kVectors + static_cast<int>(threadIdx.x) % 32; i < kWarpKeys * kVectors;
         i += 32) {
#pragma unroll
      for (int slab = 0; slab < Tile::kSlabs; ++slab) {
        reinterpret_cast<uint4*>(to.values + slab * Tile::kSlab)[i] = {};
      }
    }
    publish_writes();
    __syncwarp();
  }
  if (elected()) arrive_announcing(full, rows * 2 * Tile::kSlabs * kSlabRowBytes);
  for (int row = 0; row < rows;) {
    const int slot = cursor.slot(key + row);
    const int run = min(rows - row, cursor.end() - key - row);
    int size = 0;
    while (tile_box_rows(size) > run) ++size;
    if (elected()) {
#pragma unroll
      for (int slab = 0; slab < Tile::kSlabs; ++slab) {
        const int place = slab * Tile::kSlab + row * kSlabRowBytes;
        copy_box(to.keys + place, maps.keys[size], slab * kSlabColumns, kv_head, slot, full);
        copy_box(to.values + place, maps.values[size], slab * kSlabColumns, kv_head, slot, full);
      }
    }
    row += tile_box_rows(size);
  }
}

template <int D>
TileMaps tile_maps(const Context& context, const AttentionProblem& problem) {
  TileMaps maps;
  for (int size = 0; size < kTileBoxSizes; ++size) {
    maps.keys[size] =
        map_cache(context, problem, problem.keys, problem.key_stride, tile_box_rows(size));
    maps.values[size] =
        map_cache(context, problem, problem.values, problem.value_stride, tile_box_rows(size));
  }
  return maps;
}

}  // namespace spate::cuda
