// How the `decode` kernel ends a part: the softmaxes of a team's warps become one, to which the
// keys that the row shares are added; where the part was cut between blocks, each leaves its piece
// in the workspace, and the last one to arrive merges them.
#pragma once

#include "backend/cuda/attention/decode_work.cuh"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {

// Adds the pieces of the keys that a row shares.
__device__ inline void add_shared(const AttentionProblem& problem, int row, int head, int column,
                                  float2& stats, float4& values) {
  if (problem.shared.own == nullptr) return;
  const int parts = problem.shared.own[2 * int64_t{row} + 1];
  for (int part = 0; part < parts; ++part) {
    const int64_t place = shared_place(problem, part, row, head);
    const float2 piece = problem.shared.stats[place];
    const float reference = fmaxf(stats.x, piece.x);
    const float own_weight = piece_weight(stats, reference);
    const float weight = piece_weight(piece, reference);
    float4 sum{};
    add_weighed(sum, own_weight, values);
    add_weighed(
        sum, weight,
        *reinterpret_cast<const float4*>(problem.shared.values + place * problem.width + column));
    values = sum;
    stats = {reference, fmaf(own_weight, stats.y, weight * piece.y)};
  }
}

// Four columns of a query's result. `stats`: reference and sum of its weights.
template <class Team>
__device__ void write_out(const AttentionProblem& problem, const Walk<Team>& at, int query,
                          int column, float2 stats, float4 values) {
  query += at.first_query(problem);
  const int token = at.work.shape.first_token + query / problem.group;
  const int head = at.kv_head(problem) * problem.group + query % problem.group;
  add_shared(problem, at.row, head, column, stats, values);
  const float factor = output_factor(problem, head, stats.x, stats.y);
  bf16* out = static_cast<bf16*>(problem.out) + token * problem.out_stride +
              int64_t{head} * problem.width + column;
  *reinterpret_cast<uint2*>(out) = {pack<bf16>(values.x * factor, values.y * factor),
                                    pack<bf16>(values.z * factor, values.w * factor)};
}

// Merges the results of the team's warps, which lie in `used`, with `left_stats` [kWarps,
// kQueries]; writes the output, or, when other blocks have tiles of the part, a piece.
template <class Team>
__device__ void merge_warps(const AttentionProblem& problem, const Pieces<Team>& pieces,
                            const Walk<Team>& at, const PartEnd<Team>& part,
                            typename Team::Queries::Tile* used, const float2* left_stats) {
  constexpr int D = Team::Queries::kWidth;
  const int64_t own = part.place(static_cast<int>(blockIdx.x));
  for (int i = Team::thread(); i < part.queries * (D / 4); i += Team::kThreads) {
    const int query = i / (D / 4), column = i % (D / 4) * 4;
    float2 stats[Team::kWarps], merged{-INFINITY, 0};
#pragma unroll
    for (int warp = 0; warp < Team::kWarps; ++warp) {
      stats[warp] = left_stats[warp * Team::kQueries + query];
      merged.x = fmaxf(merged.x, stats[warp].x);
    }
    float4 values{};
#pragma unroll
    for (int warp = 0; warp < Team::kWarps; ++warp) {
      const float weight = piece_weight(stats[warp], merged.x);
      merged.y = fmaf(weight, stats[warp].y, merged.y);
      const float* left = left_place(used[warp], query, column);
      add_weighed(values, weight, *reinterpret_cast<const float4*>(left));
    }
    if (part.whole()) {
      write_out(problem, at, query, column, merged, values);
    } else {
      *reinterpret_cast<float4*>(pieces.values + (own + query) * D + column) = values;
      if (column == 0) pieces.stats[own + query] = merged;
    }
  }
}

// Merges the pieces that all blocks of a part have left: of a thread many are under way at once,
// with their statistics.
template <class Team>
__device__ void merge_pieces(const AttentionProblem& problem, const Pieces<Team>& pieces,
                             const Walk<Team>& at, const PartEnd<Team>& part) {
  constexpr int D = Team::Queries::kWidth;
  constexpr int kAtOnce = Team::kWarps == 1 ? 3 : 12;  // a part of such a team has few
  for (int i = Team::thread(); i < part.queries * (D / 4); i += Team::kThreads) {
    const int query = i / (D / 4), column = i % (D / 4) * 4;
    float2 merged{-INFINITY, 0};
    float4 values{};
    for (int first = part.first_block; first <= part.last_block; first += kAtOnce) {
      float2 stats[kAtOnce];
      float4 of_pieces[kAtOnce];
      float reference = merged.x;
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        const bool there = first + n <= part.last_block;
        const int64_t piece = part.place(first + n) + query;
        const float* from = pieces.values + piece * D + column;
        stats[n] = there ? __ldcg(pieces.stats + piece) : float2{-INFINITY, 0};
        of_pieces[n] = there ? __ldcg(reinterpret_cast<const float4*>(from)) : float4{};
      }
#pragma unroll
      for (const float2& piece : stats) reference = fmaxf(reference, piece.x);
      const float weight_before = piece_weight(merged, reference);
      float4 sum{};
      add_weighed(sum, weight_before, values);
      merged = {reference, merged.y * weight_before};
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        const float weight = piece_weight(stats[n], reference);
        merged.y = fmaf(weight, stats[n].y, merged.y);
        add_weighed(sum, weight, of_pieces[n]);
      }
      values = sum;
    }
    write_out(problem, at, query, column, merged, values);
  }
}

// Brings a part to its end, which begins at place `begin` of the sequence: the results of the
// team's warps lie in `used`.
template <class Team>
__device__ void finish_part(const AttentionProblem& problem, const Pieces<Team>& pieces,
                            uint32_t* counters, const Shares& shares, const Walk<Team>& at,
                            int begin, typename Team::Queries::Tile* used,
                            const float2* left_stats) {
  const PartEnd<Team> part(problem, shares, at, begin);
  Team::sync();  // all warps have left their rows
  merge_warps(problem, pieces, at, part, used, left_stats);
  Team::sync();  // `used` may be loaded again, and the piece has been left
  if (part.whole()) return;

  uint32_t arrived = 0;
  if (Team::thread() == 0) {
    __threadfence();
    arrived = atomicAdd(counters + part.counter(), 1);
  }
  arrived = Team::of_first(arrived);
  if (arrived != static_cast<uint32_t>(part.last_block - part.first_block)) return;
  __threadfence();
  if (Team::thread() == 0) counters[part.counter()] = 0;
  merge_pieces(problem, pieces, at, part);
}

}  // namespace spate::cuda
