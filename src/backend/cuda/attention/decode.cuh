// Attention of rows with few queries on tensor cores, bound by reading keys (decode_work.cuh). The
// queries of the heads that share a key/value head are one side of the products
// (decode_columns.cuh, decode_rows.cuh). Each warp has a ring of tiles under way (decode_tile.cuh);
// decode_merge.cuh ends what it works on.
#pragma once

#include "backend/cuda/attention/decode_columns.cuh"
#include "backend/cuda/attention/decode_merge.cuh"
#include "backend/cuda/attention/decode_rows.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

template <class Queries>
struct DecodeLayout {
  using Tile = typename Queries::Tile;
  static constexpr int kScales =
      sizeof(typename Queries::Cached) == 1 ? Tile::kKeys : 0;  // of a tile of a warp
  static constexpr int kStageBytes =
      kTileWarps * static_cast<int>(sizeof(Tile) + sizeof(Barrier) + kScales * sizeof(uint32_t));
  static constexpr int kBlocks = Queries::kWidth <= 128 ? 2 : 1;      // of a multiprocessor
  static constexpr int kMostBytes = 227 * 1024 / kBlocks - 3 * 1024;  // beside what is static
  // The ring begins at a multiple of 1024 bytes.
  static constexpr int kStages = std::min(4, (kMostBytes - 1024) / kStageBytes);
  static constexpr int kRing = kStages * kTileWarps;  // tiles of warps
  static constexpr int kBytes = 1024 + kStages * kStageBytes;
};

// May start while the kernel in front still runs. Before that has ended it reads only what came
// before the step's first kernel: tables, and the keys in front of each row's tokens.
template <class Team>
__global__ void __launch_bounds__(kTileThreads, DecodeLayout<typename Team::Queries>::kBlocks)
    decode(const __grid_constant__ AttentionProblem problem, const __grid_constant__ TileMaps maps,
           Pieces<Team> pieces, uint32_t* counters) {
  using Layout = DecodeLayout<typename Team::Queries>;
  using Tile = typename Layout::Tile;
  constexpr int kStages = Layout::kStages, kRing = Layout::kRing;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float2 left_stats[kTileWarps * Team::kQueries];
  auto* ring = reinterpret_cast<Tile*>(shared + (1024 - shared_address(shared) % 1024) % 1024);
  auto* full = reinterpret_cast<Barrier*>(ring + kRing);          // both [kStages, kTileWarps]
  auto* ring_scales = reinterpret_cast<uint32_t*>(full + kRing);  // [kRing, kScales]
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int block = static_cast<int>(blockIdx.x);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kRing; ++i) init_barrier(full + i, 1 + Layout::kScales);
    publish_barriers();
  }
  if (threadIdx.x / 32 == 1) {
    prefetch_maps(maps.keys);
    prefetch_maps(maps.values);
  }
  let_next_kernel_begin();

  const auto count = [&](int row) {
    const RowWork work = row_work<Team>(problem, row);
    return work.parts * work.tiles;
  };
  TileShares shares{};
  const FoundRow found = find_row<kTileThreads>(problem.rows, count, [&](int total) {
    shares = TileShares::of(total);
    return shares.begin(block);
  });
  if (found.row < 0) return wait_for_kernel_before();
  const int begin = found.place, end = shares.begin(block + 1);

  Walk<Team> loading(problem, found.row, begin - found.before);
  SlotCursor cursor(problem, loading.row);
  const auto load = [&](int place, int stage) {
    if (place >= end) return;
    const RowShape& shape = loading.work.shape;
    const int first_key = loading.first_key(), in_ring = stage * kTileWarps + warp;
    if (first_key + Tile::kKeys > shape.position(0)) wait_for_kernel_before();
    load_tile(ring[in_ring], ring_scales + in_ring * Layout::kScales, problem, maps, cursor,
              first_key, shape.length, loading.kv_head(problem), full + in_ring);
    if (place + 1 < end) {
      loading.advance(problem);
      if (loading.tile == 0) cursor = SlotCursor(problem, loading.row);
    }
  };

  Walk<Team> at = loading;
  for (int stage = 0; stage < kStages; ++stage) load(begin + stage, stage);
  const Scoring scoring(problem);
  RingPlace<kStages> used;
  for (int place = begin; place < end;) {
    const int first_query = at.first_query(problem);
    const int part_begin = place - at.tile, part_end = min(part_begin + at.work.tiles, end);
    const PartEnd<Team> part(problem, shares, at, part_begin);
    const int kv_head = at.kv_head(problem);
    wait_for_kernel_before();
    typename Team::Queries queries;
    queries.begin(problem, at.work.shape, kv_head, first_query);
    const Seen seen_by_part =
        seen_by_all(problem, at.work.shape, first_query, first_query + part.queries);
    int stage;
    for (;; at.advance(problem)) {
      stage = used.slot;
      const int in_ring = stage * kTileWarps + warp;
      wait_for_phase(full + in_ring, used.parity);
      used.advance();
      __syncwarp();  // the keys before these have been read
      if (place > begin) load(place + kStages - 1, stage == 0 ? kStages - 1 : stage - 1);

      const int first_key = at.first_key();
      queries.add(
          ring[in_ring], ring_scales + in_ring * Layout::kScales, scoring, problem, at.work.shape,
          first_query, first_key,
          first_key < seen_by_part.first || first_key + Tile::kKeys - 1 > seen_by_part.last);
      if (++place == part_end) break;
    }
    __syncwarp();  // all lanes have read the last keys
    queries.leave(ring[stage * kTileWarps + warp], left_stats + warp * Team::kQueries);
    publish_writes();  // the copy engine writes here next
    const int first_warp = warp - Team::warp();
    finish_part(problem, pieces, counters, at, part, ring + stage * kTileWarps + first_warp,
                left_stats + first_warp * Team::kQueries);
    if (place < end) at.advance(problem);
  }
}

template <class Team>
void launch_teams(const Context& context, const AttentionProblem& problem) {
  using Layout = DecodeLayout<typename Team::Queries>;
  const int blocks = context.multiprocessors() * Layout::kBlocks, teams = blocks * Team::kTeams;
  check(teams <= Context::kCounters, "attention wants ", teams, " counters, there are ",
        Context::kCounters);
  void* workspace = context.workspace(problem.shared.bytes + Pieces<Team>::bytes(teams));
  const auto pieces = Pieces<Team>::in(static_cast<char*>(workspace) + problem.shared.bytes, teams);
  allow_shared_bytes(decode<Team>, Layout::kBytes);
  launch_early(context,
               {.blocks = static_cast<unsigned>(blocks),
                .threads = kTileThreads,
                .shared_bytes = Layout::kBytes},
               decode<Team>, problem, tile_maps<typename Team::Cached>(context, problem), pieces,
               context.counters());
}

// Teams of one warp, where few of them have pieces of the same part: one of them merges these.
template <class Queries>
void launch_queries(const Context& context, const AttentionProblem& problem) {
  const int parts = problem.rows * (problem.kv_heads / kTileWarps);
  const bool many = parts >= context.multiprocessors() * DecodeLayout<Queries>::kBlocks;
  if (problem.kv_heads % kTileWarps == 0 && many) {
    launch_teams<Team<Queries, kTileWarps>>(context, problem);
  } else {
    launch_teams<Team<Queries, 1>>(context, problem);
  }
}

template <class C, int D>
void launch_decode(const Context& context, const AttentionProblem& problem) {
  if (problem.group <= QueriesInColumns<C, D>::kQueries) {
    launch_queries<QueriesInColumns<C, D>>(context, problem);
  } else {
    launch_queries<QueriesInRows<C, D>>(context, problem);
  }
}

template <class C>
void attend_few(const Context& context, const AttentionProblem& problem) {
  switch (problem.width) {
    case 64: return launch_decode<C, 64>(context, problem);
    case 80: return launch_decode<C, 80>(context, problem);
    case 96: return launch_decode<C, 96>(context, problem);
    case 128: return launch_decode<C, 128>(context, problem);
    default: return launch_decode<C, 256>(context, problem);
  }
}

}  // namespace spate::cuda
