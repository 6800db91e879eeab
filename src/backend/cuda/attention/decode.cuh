// Attention of rows with few queries on tensor cores, bound by reading keys (decode_work.cuh). The
// queries of the heads that share a key/value head are the 16 rows of the products. Each warp has a
// ring of tiles under way (decode_tile.cuh); decode_merge.cuh ends what it works on.
#pragma once

#include "backend/cuda/attention/decode_merge.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

template <class C, int D>
struct DecodeLayout {
  static constexpr int kStages = D <= 64 ? 4 : 3;
  static constexpr int kRing = kStages * kTileWarps;                 // tiles of warps
  static constexpr int kScales = sizeof(C) == 1 ? kWarpKeys<C> : 0;  // of a tile of a warp
  // The ring begins at a multiple of 1024 bytes.
  static constexpr int kBytes =
      1024 + kRing * static_cast<int>(sizeof(WarpTile<C, D>) + sizeof(Barrier) +
                                      kScales * sizeof(uint32_t));
  static constexpr int kBlocks = 227 * 1024 / (kBytes + 2048);  // of a multiprocessor
};

// Queries of a part, as they lie in registers: pairs of columns of two rows.
template <class Team, int D>
__device__ void load_queries(uint32_t (&to)[D / 16][4], const AttentionProblem& problem,
                             const Walk<Team>& at) {
  using C = typename Team::Cached;
  using T = ProductType<C>;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = at.first_query(problem) + lane / 4 + 8 * half;
    const bool there = query < at.work.shape.tokens * problem.group;
    const int token = at.work.shape.first_token + (there ? query / problem.group : 0);
    const int head = at.kv_head(problem) * problem.group + query % problem.group;
    const auto* row =
        reinterpret_cast<const uint32_t*>(static_cast<const bf16*>(problem.q) +
                                          token * problem.q_stride + int64_t{head} * problem.width);
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      const uint32_t* pairs = row + 8 * step;
      to[step][half] = there ? convert_pair<T>(pairs[pair_of_columns<C>(lane % 4)]) : 0;
      to[step][half + 2] = there ? convert_pair<T>(pairs[pair_of_columns<C>(4 + lane % 4)]) : 0;
    }
  }
}

// May start while the kernel in front still runs, and waits for it before it reads anything but the
// tables of the step, which came before its first kernel.
template <class Team, int D>
__global__ void __launch_bounds__(kTileThreads, DecodeLayout<typename Team::Cached, D>::kBlocks)
    decode(const __grid_constant__ AttentionProblem problem, const __grid_constant__ TileMaps maps,
           Pieces<D> pieces, uint32_t* counters) {
  using C = typename Team::Cached;
  using Layout = DecodeLayout<C, D>;
  using Tile = WarpTile<C, D>;
  constexpr int kStages = Layout::kStages, kRing = Layout::kRing;
  extern __shared__ __align__(16) unsigned char shared[];
  __shared__ float2 left_stats[kTileWarps * kPartQueries];
  auto* ring = reinterpret_cast<Tile*>(shared + (1024 - shared_address(shared) % 1024) % 1024);
  auto* full = reinterpret_cast<Barrier*>(ring + kRing);          // both [kStages, kTileWarps]
  auto* ring_scales = reinterpret_cast<uint32_t*>(full + kRing);  // [kRing, kScales]
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int block = static_cast<int>(blockIdx.x);
  if (threadIdx.x == 0) {
    for (int i = 0; i < kRing; ++i) init_barrier(full + i, 1 + Layout::kScales);
    publish_barriers();
  }
  if (threadIdx.x == 32) {
    prefetch_map(maps.keys[0]);
    prefetch_map(maps.values[0]);
  }
  let_next_kernel_begin();

  const auto count = [&](int row) {
    const RowWork work = row_work<Team>(problem, row);
    return work.parts * work.tiles;
  };
  Shares shares{};
  const FoundRow found = find_row<kTileThreads>(problem.rows, count, [&](int total) {
    shares = {total, min(max(total / kLeastShare, 1), static_cast<int>(gridDim.x))};
    return block < shares.blocks ? shares.begin(block) : total;
  });
  if (found.row < 0) return wait_for_kernel_before();
  const int begin = found.place, end = shares.begin(block + 1);

  Walk<Team> loading(problem, found.row, begin - found.before);
  SlotCursor cursor(problem, loading.row);
  cursor.slot(loading.work.first_tile * Team::kKeys);
  wait_for_kernel_before();
  const auto load = [&](int place, int stage) {
    if (place >= end) return;
    const int in_ring = stage * kTileWarps + warp;
    load_tile(ring[in_ring], ring_scales + in_ring * Layout::kScales, problem, maps, cursor,
              loading.first_key(), loading.work.shape.length, loading.kv_head(problem),
              full + in_ring);
    if (place + 1 < end) {
      loading.advance(problem);
      if (loading.tile == 0) cursor = SlotCursor(problem, loading.row);
    }
  };

  Walk<Team> at = loading;
  for (int stage = 0; stage < kStages - 1; ++stage) load(begin + stage, stage);
  const Scoring scoring(problem);
  uint32_t queries[D / 16][4];
  int part_queries = 0;
  Seen seen[2], seen_by_part;
  QueryRows<D> rows;
  RingPlace<kStages> used;
  for (int place = begin; place < end; ++place) {
    if (place == begin || at.tile == 0) {
      load_queries<Team, D>(queries, problem, at);
      const int first = at.first_query(problem);
      part_queries = at.queries(problem);
      for (int half = 0; half < 2; ++half) {
        seen[half] = seen_by(problem, at.work.shape, first + lane / 4 + 8 * half);
      }
      seen_by_part = seen_by_all(problem, at.work.shape, first, first + part_queries);
      rows = {};
    }
    const int stage = used.slot;
    wait_for_phase(full + stage * kTileWarps + warp, used.parity);
    used.advance();
    __syncwarp();  // the oldest keys have been read
    load(place + kStages - 1, stage == 0 ? kStages - 1 : stage - 1);

    Tile& tile = ring[stage * kTileWarps + warp];
    float scores[Tile::kKeys / 8][4] = {};
    multiply_keys(scores, queries, tile);
    const ColumnScales<C, Tile::kKeys / 8> scales(ring_scales +
                                                  (stage * kTileWarps + warp) * Layout::kScales);
    const int first_key = at.first_key();
    const bool hides =
        first_key < seen_by_part.first || first_key + Tile::kKeys - 1 > seen_by_part.last;
    const auto weigh_tile = [&]<int kHalves>(std::integral_constant<int, kHalves>) {
      score<kHalves>(scores, scoring, scales);
      if (hides) {
        hide_unseen(scores, seen, first_key);
        if (problem.tree != nullptr) {
          hide_other_paths(scores, problem, at.work.shape, at.first_query(problem), first_key);
        }
      }
      weigh<kHalves>(scores, rows, scales);
    };
    if (part_queries <= kPartQueries / 2) {
      weigh_tile(std::integral_constant<int, 1>{});
    } else {
      weigh_tile(std::integral_constant<int, 2>{});
    }
#pragma unroll
    for (int first = 0; first < Tile::kKeys; first += 16) {
      uint32_t weights[4];
      pack_weights<ProductType<C>>(weights, scores[first / 8], scores[first / 8 + 1]);
      add_values(rows, weights, tile, first);
    }

    if (at.tile + 1 == at.work.tiles || place + 1 == end) {
      __syncwarp();  // all lanes have read these keys
      LeftRows<C, D>::leave(tile, left_stats + warp * kPartQueries, rows);
      const int first_warp = warp - Team::warp();
      finish_part(problem, pieces, counters, shares, at, place - at.tile,
                  ring + stage * kTileWarps + first_warp, left_stats + first_warp * kPartQueries);
    }
    if (place + 1 < end) at.advance(problem);
  }
}

template <class Team, int D>
void launch_teams(const Context& context, const AttentionProblem& problem) {
  using C = typename Team::Cached;
  using Layout = DecodeLayout<C, D>;
  const int blocks = context.multiprocessors() * Layout::kBlocks, teams = blocks * Team::kTeams;
  check(teams <= Context::kCounters, "attention wants ", teams, " counters, there are ",
        Context::kCounters);
  void* workspace = context.workspace(problem.shared.bytes + Pieces<D>::bytes(teams));
  const Pieces<D> pieces =
      Pieces<D>::in(static_cast<char*>(workspace) + problem.shared.bytes, teams);
  allow_shared_bytes(decode<Team, D>, Layout::kBytes);
  launch_early(context,
               {.blocks = static_cast<unsigned>(blocks),
                .threads = kTileThreads,
                .shared_bytes = Layout::kBytes},
               decode<Team, D>, problem, tile_maps<C>(context, problem), pieces,
               context.counters());
}

// Teams of one warp, where few of them have pieces of the same part: one of them merges these.
template <class C, int D>
void launch_decode(const Context& context, const AttentionProblem& problem) {
  const int parts = problem.rows * (problem.kv_heads / kTileWarps);
  const bool many = parts >= context.multiprocessors() * DecodeLayout<C, D>::kBlocks;
  if (problem.kv_heads % kTileWarps == 0 && many) {
    launch_teams<Team<C, kTileWarps>, D>(context, problem);
  } else {
    launch_teams<Team<C, 1>, D>(context, problem);
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
