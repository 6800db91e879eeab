// The ring of tiles of a block of the `decode` kernel, and the warp that fills it by the copy
// engine. It asks for the same keys of all heads that the block works on at once, which lie beside
// each other in the cache: so memory is read in larger pieces than a head's.
#pragma once

#include "backend/cuda/attention/cache_map.h"
#include "backend/cuda/attention/decode_work.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

// Boxes have 2^n rows, up to a warp's.
constexpr int kTileBoxSizes = 6;
static_assert(kWarpKeys<e4m3> == 1 << (kTileBoxSizes - 1));

// Tensors [slots, G, D] of the cache.
struct TileMaps {
  CUtensorMap keys[kTileBoxSizes], values[kTileBoxSizes];  // 16 bits have no use for the largest
};

template <class C>
TileMaps tile_maps(const Context& context, const AttentionProblem& problem) {
  TileMaps maps;
  map_boxes(context, problem, problem.keys, problem.key_stride, kWarpKeys<C>, maps.keys);
  map_boxes(context, problem, problem.values, problem.value_stride, kWarpKeys<C>, maps.values);
  return maps;
}

template <class Queries>
struct DecodeLayout {
  using Tile = typename Queries::Tile;
  static constexpr int kScales =
      sizeof(typename Queries::Cached) == 1 ? Tile::kKeys : 0;  // of a tile of a warp
  static constexpr int kStageBytes =
      kTileWarps * static_cast<int>(sizeof(Tile) + kScales * sizeof(uint32_t)) +
      2 * static_cast<int>(sizeof(Barrier));
  static constexpr int kBlocks = Queries::kWidth <= 128 ? 2 : 1;      // of a multiprocessor
  static constexpr int kMostBytes = 227 * 1024 / kBlocks - 3 * 1024;  // beside what is static
  // The ring begins at a multiple of 1024 bytes.
  static constexpr int kStages = std::min(4, (kMostBytes - 1024) / kStageBytes);
  static constexpr int kBytes = 1024 + kStages * kStageBytes;
  // Codes on their way to products take registers, which the threads that multiply get from those
  // of the loading warp and three more; a block's half of the register file has 256 for both.
  static constexpr bool kTakesRegisters = kScales > 0 && kBlocks == 2;
  static constexpr int kMultiplierRegisters = 208, kLoaderRegisters = 48;
  static constexpr int kThreads = kTileThreads + (kTakesRegisters ? kTileThreads : 32);
};

// The memory of a block: a ring of stages, of which each has a tile of every warp.
template <class Queries>
struct DecodeRing {
  using Layout = DecodeLayout<Queries>;
  using Tile = typename Layout::Tile;
  Tile* tiles;            // [kStages, kTileWarps]
  Barrier *full, *empty;  // [kStages]
  uint32_t* scales;       // [kStages, kTileWarps, kScales]

  __device__ explicit DecodeRing(unsigned char* shared)
      : tiles(reinterpret_cast<Tile*>(shared + (1024 - shared_address(shared) % 1024) % 1024)),
        full(reinterpret_cast<Barrier*>(tiles + Layout::kStages * kTileWarps)),
        empty(full + Layout::kStages),
        scales(reinterpret_cast<uint32_t*>(empty + Layout::kStages)) {}
  __device__ void init_barriers() const {
    for (int i = 0; i < Layout::kStages; ++i) {
      init_barrier(full + i, 1 + (Layout::kScales > 0 ? 32 : 0));
      init_barrier(empty + i, kTileWarps);
    }
    publish_barriers();
  }
  __device__ Tile* stage(int slot) const { return tiles + slot * kTileWarps; }
  __device__ uint32_t* stage_scales(int slot) const {
    return scales + slot * kTileWarps * Layout::kScales;
  }
};

// Writes zeros for the values behind the first `rows` keys of a tile, which have no weight, but
// must be numbers. `tiles`: see load_tile(). For a whole warp.
template <class Team>
__device__ void clear_values_behind(typename Team::Queries::Tile* tiles, int rows) {
  using Tile = typename Team::Queries::Tile;
  constexpr int kVectors = kSlabRowBytes / 16;
  for (int i = rows * kVectors + static_cast<int>(threadIdx.x) % 32; i < Tile::kKeys * kVectors;
       i += 32) {
#pragma unroll
    for (int slab = 0; slab < Team::kTeams * Tile::kSlabs; ++slab) {
      auto* values = tiles[slab / Tile::kSlabs * Team::kWarps].values;
      reinterpret_cast<uint4*>(values + slab % Tile::kSlabs * Tile::kSlab)[i] = {};
    }
  }
  publish_writes();
  __syncwarp();
}

// One thread starts to copy keys that lie in slots beside each other, to `row` of a tile and on.
template <class Team>
__device__ void copy_run(typename Team::Queries::Tile* tiles, const TileMaps& maps, int row,
                         int rows, int slot, int first_head, Barrier* full) {
  using Tile = typename Team::Queries::Tile;
  constexpr int kSlabs = Team::kTeams * Tile::kSlabs;
  if (!elected()) return;
  const auto copy = [&](unsigned char* to, const CUtensorMap& map, int first) {
#pragma unroll
    for (int i = 0; i < kSlabs; ++i) {
      const int head = i / Tile::kSlabs, slab = i % Tile::kSlabs;
      copy_box_once(to + head * Team::kWarps * sizeof(Tile) + slab * Tile::kSlab +
                        (row + first) * kSlabRowBytes,
                    map, slab * Tile::kSlabColumns, first_head + head, slot + first, full);
    }
  };
  copy_in_boxes(rows, 2 * kSlabs * kSlabRowBytes, full, [&](int first, int size) {
    copy(tiles->keys, maps.keys[size], first);
    copy(tiles->values, maps.values[size], first);
  });
}

// Starts to bring the keys from position `key` on to a stage, as many as the row has. `tiles`:
// [kTeams, kWarps], of as many heads from `first_head` on. `scales`: of a cache that has them,
// where they go. For a whole warp, each of whose lanes arrives at `full` when the cache has scales.
template <class Team>
__device__ void load_tile(typename Team::Queries::Tile* tiles, uint32_t* scales,
                          const AttentionProblem& problem, const TileMaps& maps, SlotCursor& cursor,
                          int key, int length, int first_head, Barrier* full) {
  constexpr int kKeys = kWarpKeys<typename Team::Cached>;
  constexpr bool kScaled = sizeof(typename Team::Cached) == 1;
  static_assert(!kScaled || kKeys == 32);
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll 1
  for (int warp = 0; warp < Team::kWarps; ++warp, key += kKeys) {
    const int rows = max(0, min(kKeys, length - key));
    // nvcc 13.0 makes a comparison with == true here where there are no rows.
    if (rows < kKeys) clear_values_behind<Team>(tiles + warp, rows);
    int own_slot = 0;  // of the lane's key
    cursor.for_runs(key, rows, [&](int row, int of_run, int slot) {
      copy_run<Team>(tiles + warp, maps, row, of_run, slot, first_head, full);
      if (lane >= row) own_slot = slot + lane - row;
    });
    if constexpr (kScaled) {
#pragma unroll
      for (int team = 0; team < Team::kTeams; ++team) {
        copy_4_async(scales + (team * Team::kWarps + warp) * kKeys + lane,
                     problem.scales + int64_t{first_head + team} * problem.slots + own_slot,
                     lane < rows);
      }
    }
  }
  if (elected()) arrive(full);
  if constexpr (kScaled) arrive_behind_copies(full);
}

// Brings the tiles of a block's share, `tiles` of them from `at` on; for one warp. Before the
// kernel in front has ended it reads only what came before the step's first kernel: tables, and
// the keys in front of each row's tokens.
template <class Team>
__device__ void load_share(const AttentionProblem& problem, const TileMaps& maps,
                           const DecodeRing<typename Team::Queries>& ring, Walk<Team> at,
                           int tiles) {
  SlotCursor cursor(problem, at.row);
  RingPlace<DecodeLayout<typename Team::Queries>::kStages> place;
  while (true) {
    if (at.first_key() + Team::kKeys > at.work.shape.position(0)) wait_for_kernel_before();
    wait_for_phase(ring.empty + place.slot, place.parity ^ 1);
    load_tile<Team>(ring.stage(place.slot), ring.stage_scales(place.slot), problem, maps, cursor,
                    at.first_key(), at.work.shape.length, at.first_kv_head(problem),
                    ring.full + place.slot);
    place.advance();
    if (--tiles == 0) return;
    at.advance(problem);
    if (at.tile == 0) cursor = SlotCursor(problem, at.row);
  }
}

}  // namespace spate::cuda
