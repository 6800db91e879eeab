// What the blocks of the `decode` kernel work on.
//
// A part is the keys of a row with some queries (of the heads that share a key/value head, or
// tokens with these): up to 8, or 16 where more heads share one. All tiles of all parts form one
// sequence, row after row and part after part, which is cut into equal shares, one a block: so
// every multiprocessor reads the same number of keys, however ragged the rows are.
//
// A block's warps are one team, each of which takes a quarter of a tile, with a softmax of its own
// until the part ends. Or they are four teams of a warp, where parts are many: then a part is four
// neighbouring heads, one a team, which nothing holds up where it ends, and which read neighbouring
// bytes of the cache.
#pragma once

#include "backend/cuda/attention/decode_tile.cuh"
#include "backend/cuda/attention/pieces.cuh"
#include "backend/cuda/attention/tile.cuh"
#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {

// The team of a thread, whose parts' queries are Queries_ (decode_columns.cuh, decode_rows.cuh).
template <class Queries_, int kOfBlock>
struct Team {
  using Queries = Queries_;
  using Cached = typename Queries::Cached;
  static constexpr int kQueries = Queries::kQueries;  // of a part
  static constexpr int kTeams = kOfBlock;
  static constexpr int kWarps = kTileWarps / kTeams, kThreads = 32 * kWarps;
  static constexpr int kKeys = kWarps * kWarpKeys<Cached>;  // of a tile

  __device__ static int number() { return static_cast<int>(threadIdx.x) / kThreads; }
  __device__ static int thread() { return static_cast<int>(threadIdx.x) % kThreads; }
  __device__ static int warp() { return thread() / 32; }
  __device__ static void sync() {
    if constexpr (kWarps == 1) {
      __syncwarp();
    } else {
      sync_warpgroup(1);
    }
  }
  // What the team's first thread has.
  __device__ static uint32_t of_first(uint32_t word) {
    if constexpr (kWarps == 1) {
      word = __shfl_sync(~0U, word, 0);
      __syncwarp();
      return word;
    } else {
      __shared__ uint32_t first;
      if (threadIdx.x == 0) first = word;
      sync_warpgroup(1);
      return first;
    }
  }
};

// What a row adds to the sequence: `parts` of `tiles` tiles.
struct RowWork {
  RowShape shape;
  int first_tile, tiles, parts;
};

template <class Team>
__device__ RowWork row_work(const AttentionProblem& problem, int row) {
  const RowShape shape = row_shape(problem, row);
  const int queries = shape.tokens * problem.group;
  const bool few = shape.tokens == 1 || (shape.tokens > 1 && queries <= kFewQueries);
  constexpr int kKeys = Team::kKeys;
  const int first_tile =
      max(first_seen(problem, shape.position(0)), own_begin(problem, row)) / kKeys;
  return {.shape = shape,
          .first_tile = first_tile,
          .tiles = (shape.length + kKeys - 1) / kKeys - first_tile,
          .parts = few ? problem.kv_heads / Team::kTeams *
                             ((queries + Team::kQueries - 1) / Team::kQueries)
                       : 0};
}

// A place in the sequence.
template <class Team>
struct Walk {
  int row, part, tile;  // part and tile count from the row's first
  RowWork work;

  __device__ Walk(const AttentionProblem& problem, int row, int place)
      : row(row), work(row_work<Team>(problem, row)) {
    part = place / work.tiles;
    tile = place % work.tiles;
  }
  // To the next tile; there must be one.
  __device__ void advance(const AttentionProblem& problem) {
    if (++tile < work.tiles) return;
    tile = 0;
    if (++part < work.parts) return;
    part = 0;
    do {
      work = row_work<Team>(problem, ++row);
    } while (work.parts * work.tiles == 0);
  }
  // Of the block.
  __device__ int first_kv_head(const AttentionProblem& problem) const {
    return part % (problem.kv_heads / Team::kTeams) * Team::kTeams;
  }
  // Of the team.
  __device__ int kv_head(const AttentionProblem& problem) const {
    return first_kv_head(problem) + Team::number();
  }
  __device__ int first_query(const AttentionProblem& problem) const {
    return part / (problem.kv_heads / Team::kTeams) * Team::kQueries;
  }
  // Of the part.
  __device__ int queries(const AttentionProblem& problem) const {
    return min(Team::kQueries, work.shape.tokens * problem.group - first_query(problem));
  }
  // Of the tile.
  __device__ int first_key() const { return (work.first_tile + tile) * Team::kKeys; }
};

// Pieces of parts that were cut between blocks: of each team the first, which began in another
// block, and the last, which goes on in another one.
template <class Team>
struct Pieces {
  static constexpr int kQueries = Team::kQueries, kWidth = Team::Queries::kWidth;
  float* values;  // [teams, 2, kQueries, kWidth]
  float2* stats;  // [teams, 2, kQueries]: reference, sum of weights

  static size_t bytes(int teams) {
    return static_cast<size_t>(teams) * 2 * kQueries * (kWidth * sizeof(float) + sizeof(float2));
  }
  static Pieces in(void* workspace, int teams) {
    float* values = static_cast<float*>(workspace);
    return {values, reinterpret_cast<float2*>(values + size_t{2} * teams * kQueries * kWidth)};
  }
};

// `total` tiles cut into shares of `each`, one a block; the last has what is left.
struct TileShares {
  int total, each;

  __device__ static TileShares of(int total) {
    const int blocks = static_cast<int>(gridDim.x);
    return {total, max((total + blocks - 1) / blocks, kLeastShare)};
  }
  __device__ int begin(int block) const { return min(block * each, total); }
  __device__ int block_of(int place) const { return place / each; }
};

// What merging a part needs to know.
template <class Team>
struct PartEnd {
  int queries;                  // of the part
  int first_block, last_block;  // that have tiles of it

  __device__ PartEnd(const AttentionProblem& problem, const TileShares& shares,
                     const Walk<Team>& at, int begin)
      : queries(at.queries(problem)),
        first_block(shares.block_of(begin)),
        last_block(shares.block_of(begin + at.work.tiles - 1)) {}

  __device__ bool whole() const { return first_block == last_block; }
  // Where this team of a block leaves its piece, counted in queries.
  __device__ int64_t place(int block) const {
    return (2 * int64_t{team_of(block)} + (block == first_block ? 1 : 0)) * Team::kQueries;
  }
  __device__ static int team_of(int block) { return block * Team::kTeams + Team::number(); }
};

}  // namespace spate::cuda
