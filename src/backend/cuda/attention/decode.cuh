// Attention of rows with few queries on tensor cores, bound by reading keys (decode_work.cuh). The
// queries of the heads that share a key/value head are one side of the products
// (decode_columns.cuh, decode_rows.cuh). One warp of a block brings tiles of keys and values to a
// ring in shared memory (decode_load.cuh), the others take their parts of each; decode_merge.cuh
// ends what they work on.
#pragma once

#include "backend/cuda/attention/decode_columns.cuh"
#include "backend/cuda/attention/decode_load.cuh"
#include "backend/cuda/attention/decode_merge.cuh"
#include "backend/cuda/attention/decode_rows.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

// May start while the kernel in front still runs.
template <class Team>
__global__ void __launch_bounds__(DecodeLayout<typename Team::Queries>::kThreads,
                                  DecodeLayout<typename Team::Queries>::kBlocks)
    decode(const __grid_constant__ AttentionProblem problem, const __grid_constant__ TileMaps maps,
           Pieces<Team> pieces, uint32_t* counters) {
  using Layout = DecodeLayout<typename Team::Queries>;
  using Tile = typename Layout::Tile;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float2 left_stats[kTileWarps * Team::kQueries];
  const DecodeRing<typename Team::Queries> ring(shared);
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int block = static_cast<int>(blockIdx.x);
  if (threadIdx.x == 0) ring.init_barriers();
  if (warp == 1) {
    prefetch_maps(maps.keys);
    prefetch_maps(maps.values);
  }
  let_next_kernel_begin();

  const auto count = [&](int row) {
    const RowWork work = row_work<Team>(problem, row);
    return work.parts * work.tiles;
  };
  TileShares shares{};
  const FoundRow found = find_row<Layout::kThreads>(problem.rows, count, [&](int total) {
    shares = TileShares::of(total);
    return shares.begin(block);
  });
  if (found.row < 0) return wait_for_kernel_before();
  const int begin = found.place, end = shares.begin(block + 1);

  Walk<Team> at(problem, found.row, begin - found.before);
  if (warp >= kTileWarps) {
    if constexpr (Layout::kTakesRegisters) keep_registers<Layout::kLoaderRegisters>();
    if (warp == kTileWarps) load_share<Team>(problem, maps, ring, at, end - begin);
    return;
  }
  if constexpr (Layout::kTakesRegisters) take_registers<Layout::kMultiplierRegisters>();

  const Scoring scoring(problem);
  RingPlace<Layout::kStages> used;
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
    Tile* tiles;  // of the latest stage
    Barrier* empty;
    const auto release = [&] {
      __syncwarp();  // all lanes have read it
      if (elected()) arrive(empty);
    };
    for (;; at.advance(problem)) {
      wait_for_phase(ring.full + used.slot, used.parity);
      empty = ring.empty + used.slot;
      tiles = ring.stage(used.slot);
      const int first_key = at.first_key() + Team::warp() * Tile::kKeys;
      queries.add(
          tiles[warp], ring.stage_scales(used.slot) + warp * Layout::kScales, scoring, problem,
          at.work.shape, first_query, first_key,
          first_key < seen_by_part.first || first_key + Tile::kKeys - 1 > seen_by_part.last);
      used.advance();
      if (++place == part_end) break;
      release();
    }
    __syncwarp();  // all lanes have read the last keys
    queries.leave(tiles[warp], left_stats + warp * Team::kQueries);
    publish_writes();  // the copy engine writes here next
    const int first_warp = warp - Team::warp();
    finish_part(problem, pieces, counters, at, part, tiles + first_warp,
                left_stats + first_warp * Team::kQueries, release);
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
                .threads = Layout::kThreads,
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
