// How the `decode` kernel ends a part: the softmaxes of a team's warps become one, to which the
// keys that the row shares are added; where the part was cut between blocks, each leaves its piece
// in the workspace, and these are merged in a tree, each group of them by the last to arrive.
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

constexpr int kMergedAtOnce = 8;  // pieces

// Pieces of a part that become one: those of `count` blocks from `first` on, `stride` apart. They
// are `all` that is left of the part, or what they become takes the place of the first.
struct PieceGroup {
  int first, stride, count;
  bool all;
};

// Merges the pieces of a group. A warp takes some queries, each lane four columns of them, so that
// all their pieces are on their way at once. A lane has the statistics of one piece of a query, and
// the others get its weight from there.
template <class Team>
__device__ void merge_pieces(const AttentionProblem& problem, const Pieces<Team>& pieces,
                             const Walk<Team>& at, const PartEnd<Team>& part,
                             const PieceGroup& group) {
  constexpr int D = Team::Queries::kWidth, kAtOnce = kMergedAtOnce;
  constexpr int kTaken = 2;  // queries; with more, registers would not suffice
  const int lane = Team::thread() % 32, own_query = lane / kAtOnce, own_piece = lane % kAtOnce;
  for (int first = Team::warp() * kTaken; first < part.queries; first += Team::kWarps * kTaken) {
    const bool has_piece =
        own_piece < group.count && own_query < kTaken && first + own_query < part.queries;
    float2 merged;  // of the lane's query
#pragma unroll
    for (int columns = 0; columns < D; columns += 128) {
      const int column = columns + 4 * lane;
      float4 values[kTaken][kAtOnce];
#pragma unroll
      for (int n = 0; n < kAtOnce; ++n) {
        const int64_t query = part.place(group.first + n * group.stride) + first;
        const float* from = pieces.values + query * D + column;
#pragma unroll
        for (int i = 0; i < kTaken; ++i) {
          const bool there = n < group.count && first + i < part.queries && column < D;
          values[i][n] = there ? __ldcg(reinterpret_cast<const float4*>(from + i * D)) : float4{};
        }
      }
      const float2* from =
          pieces.stats + part.place(group.first + own_piece * group.stride) + first + own_query;
      const float2 piece = has_piece ? __ldcg(from) : float2{-INFINITY, 0};
      float reference = piece.x;
#pragma unroll
      for (int distance = 1; distance < kAtOnce; distance *= 2) {
        reference = fmaxf(reference, __shfl_xor_sync(~0U, reference, distance));
      }
      const float weight = piece_weight(piece, reference);
      float sum = weight * piece.y;
#pragma unroll
      for (int distance = 1; distance < kAtOnce; distance *= 2) {
        sum += __shfl_xor_sync(~0U, sum, distance);
      }
      merged = {reference, sum};
#pragma unroll
      for (int i = 0; i < kTaken; ++i) {
        float4 of_query{};
#pragma unroll
        for (int n = 0; n < kAtOnce; ++n) {
          add_weighed(of_query, __shfl_sync(~0U, weight, i * kAtOnce + n), values[i][n]);
        }
        const float2 stats{__shfl_sync(~0U, reference, i * kAtOnce),
                           __shfl_sync(~0U, sum, i * kAtOnce)};
        if (first + i >= part.queries || column >= D) continue;
        if (group.all) {
          write_out(problem, at, first + i, column, stats, of_query);
        } else {
          float* to = pieces.values + (part.place(group.first) + first + i) * D + column;
          *reinterpret_cast<float4*>(to) = of_query;
        }
      }
    }
    __syncwarp();  // all lanes have read the statistics
    if (has_piece && own_piece == 0 && !group.all) {
      pieces.stats[part.place(group.first) + first + own_query] = merged;
    }
  }
}

// Counts one up and answers what was there. Whoever counts later and sees it sees what this thread
// has written, and others of its team before they met.
__device__ inline uint32_t count_up(uint32_t* counter) {
  uint32_t before;
  asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
               : "=r"(before)
               : "l"(counter)
               : "memory");
  return before;
}

// Brings a part to its end: the results of the team's warps lie in `used`, which release() gives
// back.
template <class Team, class Release>
__device__ void finish_part(const AttentionProblem& problem, const Pieces<Team>& pieces,
                            uint32_t* counters, const Walk<Team>& at, const PartEnd<Team>& part,
                            typename Team::Queries::Tile* used, const float2* left_stats,
                            const Release& release) {
  Team::sync();  // all warps have left their rows
  merge_warps(problem, pieces, at, part, used, left_stats);
  Team::sync();  // `used` may be loaded again, and the piece has been left
  release();
  if (part.whole()) return;

  const int own = static_cast<int>(blockIdx.x) - part.first_block;
  const int last = part.last_block - part.first_block;
  PieceGroup group{.stride = 1, .all = false};
  for (int level = 0; !group.all; ++level, group.stride *= kMergedAtOnce) {
    const int span = group.stride * kMergedAtOnce, begin = own / span * span;
    group.first = part.first_block + begin;
    group.count = min((last - begin) / group.stride + 1, kMergedAtOnce);
    group.all = last < span;
    if (group.count == 1) continue;
    // That of a block with no other part behind this one, and with no group of another level.
    uint32_t* counter = counters + part.team_of(group.first + level);
    const uint32_t arrived = Team::of_first(Team::thread() == 0 ? count_up(counter) : 0);
    if (arrived + 1 != static_cast<uint32_t>(group.count)) return;
    if (Team::thread() == 0) *counter = 0;
    merge_pieces(problem, pieces, at, part, group);
    Team::sync();
  }
}

}  // namespace spate::cuda
