// The keys that a warp of the `decode` kernel takes at once, with their values, in shared memory:
// how the copy engine brings them there and how they are multiplied.
#pragma once

#include "backend/cuda/attention/cache_map.h"
#include "backend/cuda/attention/tile.cuh"
#include "backend/cuda/hopper.cuh"

namespace spate::cuda {

constexpr int kPartQueries = 16;  // rows of an m16 tile

// Keys that a warp takes at once: as many bytes of any type.
template <class C>
constexpr int kWarpKeys = sizeof(C) == 1 ? 32 : 16;

// Boxes have the most rows of these that a segment still holds.
constexpr int kTileBoxSizes = 3;
template <class C>
__host__ __device__ constexpr int tile_box_rows(int size) {
  return size == 0 ? kWarpKeys<C> : size == 1 ? kWarpKeys<C> / 4 : 1;
}

// Tensors [slots, G, D] of the cache.
struct TileMaps {
  CUtensorMap keys[kTileBoxSizes], values[kTileBoxSizes];
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

// Which pair of columns of 16 is the n-th pair along the inner dimension of products: with e4m3 the
// columns of four neighbouring codes belong to one thread.
template <class C>
__device__ constexpr int pair_of_columns(int n) {
  return sizeof(C) == 1 ? n % 4 * 2 + n / 4 : n;
}

// Products of queries, in registers, with all keys.
template <class C, int D>
__device__ void multiply_keys(float (&scores)[kWarpKeys<C> / 8][4],
                              const uint32_t (&queries)[D / 16][4], const WarpTile<C, D>& tile) {
  using T = ProductType<C>;
  using Tile = WarpTile<C, D>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int first = 0; first < kWarpKeys<C>; first += 16) {
    float(*of_keys)[4] = scores + first / 8;
    if constexpr (sizeof(C) == 2) {
      // Pairs of keys 0 to 7: [0], [1], of the others: [2], [3].
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        uint32_t b[4];
        load_matrices(
            b, Tile::vector(tile.keys, first + lane / 16 * 8 + lane % 8, 2 * step + lane / 8 % 2));
        mma<T>(of_keys[0], queries[step], b[0], b[1]);
        mma<T>(of_keys[1], queries[step], b[2], b[3]);
      }
    } else {
      // Codes of keys 0 to 7: [0], [1] for the step and the next, of the others: [2], [3].
#pragma unroll
      for (int step = 0; step < D / 16; step += 2) {
        uint32_t codes[4];
        load_matrices(
            codes, Tile::vector(tile.keys, first + lane / 16 * 8 + lane % 8, step + lane / 8 % 2));
#pragma unroll
        for (int next = 0; next < 2 && step + next < D / 16; ++next) {
          const uint32_t low = codes[next], high = codes[2 + next];
          mma<T>(of_keys[0], queries[step + next], low_as_f16(low), high_as_f16(low));
          mma<T>(of_keys[1], queries[step + next], low_as_f16(high), high_as_f16(high));
        }
      }
    }
  }
}

// Adds the values of keys [first, first + 16), weighed.
template <class C, int D>
__device__ void add_values(QueryRows<D>& rows, const uint32_t (&weights)[4],
                           const WarpTile<C, D>& tile, int first) {
  using T = ProductType<C>;
  using Tile = WarpTile<C, D>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int key = first + lane / 8 % 2 * 8 + lane % 8;
  if constexpr (sizeof(C) == 2) {
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      uint32_t b[4];
      load_matrices_transposed(b, Tile::vector(tile.values, key, 2 * step + lane / 16));
      mma<T>(rows.values[2 * step], weights, b[0], b[1]);
      mma<T>(rows.values[2 * step + 1], weights, b[2], b[3]);
    }
  } else {
#pragma unroll
    for (int step = 0; step < D / 16; step += 2) {
      uint32_t codes[4];  // pairs of columns of two keys
      load_matrices_transposed(codes, Tile::vector(tile.values, key, step + lane / 16));
#pragma unroll
      for (int next = 0; next < 2 && step + next < D / 16; ++next) {
        const uint32_t low = columns_apart(codes[2 * next]);
        const uint32_t high = columns_apart(codes[2 * next + 1]);
        mma<T>(rows.values[2 * (step + next)], weights, low_as_f16(low), low_as_f16(high));
        mma<T>(rows.values[2 * (step + next) + 1], weights, high_as_f16(low), high_as_f16(high));
      }
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
  if (elected()) arrive_announcing(full, rows * 2 * Tile::kSlabs * kSlabRowBytes);
  int own_slot = 0;  // of the lane's key
  for (int row = 0; row < rows;) {
    const int slot = cursor.slot(key + row);
    const int run = min(rows - row, cursor.end() - key - row);
    int size = 0;
    while (tile_box_rows<C>(size) > run) ++size;
    if (elected()) {
#pragma unroll
      for (int slab = 0; slab < Tile::kSlabs; ++slab) {
        const int place = slab * Tile::kSlab + row * kSlabRowBytes;
        const int column = slab * Tile::kSlabColumns;
        copy_box(to.keys + place, maps.keys[size], column, kv_head, slot, full);
        copy_box(to.values + place, maps.values[size], column, kv_head, slot, full);
      }
    }
    if (lane >= row) own_slot = slot + lane - row;
    row += tile_box_rows<C>(size);
  }
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
  for (int size = 0; size < kTileBoxSizes; ++size) {
    maps.keys[size] =
        map_cache(context, problem, problem.keys, problem.key_stride, tile_box_rows<C>(size));
    maps.values[size] =
        map_cache(context, problem, problem.values, problem.value_stride, tile_box_rows<C>(size));
  }
  return maps;
}

}  // namespace spate::cuda
