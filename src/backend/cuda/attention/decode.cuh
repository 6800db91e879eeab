// Attention of rows with few queries on tensor cores, bound by reading keys. All tiles of 64 keys
// of all such rows and key/value heads form one sequence, row after row and head after head, which
// is cut into equal shares, one a block: so every multiprocessor reads the same number of keys,
// however ragged the rows are. The queries of the heads that share a key/value head are the 16 rows
// of the products. A block's warps take 16 keys of each tile, each with a ring of tiles under way
// and a softmax of its own; they are merged where the keys of a head end. Where a head's keys were
// cut between blocks, each leaves its piece in the workspace and the last one to arrive merges
// them.
#pragma once

#include "backend/cuda/attention/softmax.cuh"
#include "backend/cuda/attention/tile.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

constexpr int kPartQueries = 16;
constexpr int kLeastShare = 2;  // tiles; fewer are not worth a merge

// What a row adds to the sequence: `parts` (heads, times groups of 16 queries) of `tiles` tiles.
struct RowWork {
  RowShape shape;
  int first_tile, tiles, parts;
};

__device__ inline RowWork row_work(const AttentionProblem& problem, int row) {
  const RowShape shape = row_shape(problem, row);
  const int queries = shape.tokens * problem.group;
  const bool few = shape.tokens == 1 || (shape.tokens > 1 && queries <= kFewQueries);
  const int first_tile = first_seen(problem, shape.position(0)) / kTileKeys;
  return {.shape = shape,
          .first_tile = first_tile,
          .tiles = (shape.length + kTileKeys - 1) / kTileKeys - first_tile,
          .parts = few ? problem.kv_heads * ((queries + kPartQueries - 1) / kPartQueries) : 0};
}

// A place in the sequence.
struct Walk {
  int row, part, tile;  // part and tile count from the row's first
  RowWork work;

  __device__ Walk(const AttentionProblem& problem, int row, int place)
      : row(row), work(row_work(problem, row)) {
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
      work = row_work(problem, ++row);
    } while (work.parts * work.tiles == 0);
  }
  __device__ int kv_head(const AttentionProblem& problem) const { return part % problem.kv_heads; }
  __device__ int first_query(const AttentionProblem& problem) const {
    return part / problem.kv_heads * kPartQueries;
  }
};

// `total` places of the sequence, cut into `blocks` shares.
struct Shares {
  int total, blocks;
  __device__ int begin(int block) const {
    return static_cast<int>(int64_t{block} * total / blocks);
  }
  __device__ int block_of(int place) const {
    return static_cast<int>((int64_t{place + 1} * blocks - 1) / total);
  }
};

// Pieces of heads that were cut between blocks: of each block the first, which began in another
// one, and the last, which goes on in another one.
template <int D>
struct Pieces {
  float* values;  // [blocks, 2, kPartQueries, D]
  float2* stats;  // [blocks, 2, kPartQueries]: largest score, sum of weights

  static size_t bytes(int blocks) {
    return static_cast<size_t>(blocks) * 2 * kPartQueries * (D * sizeof(float) + sizeof(float2));
  }
  static Pieces in(void* workspace, int blocks) {
    float* values = static_cast<float*>(workspace);
    return {values, reinterpret_cast<float2*>(values + size_t{2} * blocks * kPartQueries * D)};
  }
};

template <class T, int D>
struct DecodeLayout {
  static constexpr int kStages = D <= 96 ? 4 : 3;
  static constexpr int kBytes = kStages * kTileWarps * static_cast<int>(sizeof(WarpKeys<T, D>));
  static constexpr int kBlocks = 227 * 1024 / (kBytes + 1280);  // of a multiprocessor
};

// Queries of a part, as they lie in registers: pairs of columns of two rows.
template <class T, int D>
__device__ void load_queries(uint32_t (&to)[D / 16][4], const AttentionProblem& problem,
                             const Walk& at) {
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
      to[step][half] = there ? convert_pair<T>(row[8 * step + lane % 4]) : 0;
      to[step][half + 2] = there ? convert_pair<T>(row[8 * step + 4 + lane % 4]) : 0;
    }
  }
}

// Leaves a warp's softmax in the memory of keys that it has used: rows of D values, the largest
// score (a natural logarithm) and the sum.
template <class T, int D>
__device__ void leave_rows(WarpKeys<T, D>& in, const QueryRows<D>& rows) {
  static_assert(sizeof in == kPartQueries * (D + 8) * sizeof(float));
  const int lane = static_cast<int>(threadIdx.x) % 32;
  float* to = reinterpret_cast<float*>(&in);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float* row = to + (lane / 4 + 8 * half) * (D + 8);
#pragma unroll
    for (int tile = 0; tile < D / 8; ++tile) {
      *reinterpret_cast<float2*>(row + 8 * tile + 2 * (lane % 4)) = {
          rows.values[tile][2 * half], rows.values[tile][2 * half + 1]};
    }
    const float sum = row_sum(rows.sum[half]);
    if (lane % 4 == 0) {
      row[D] = rows.reference[half] * kLn2;
      row[D + 1] = sum;
    }
  }
}

// Four columns of a query's result.
__device__ inline void write_out(const AttentionProblem& problem, const Walk& at, int query,
                                 int column, Merged<4>& merged) {
  query += at.first_query(problem);
  const int token = at.work.shape.first_token + query / problem.group;
  const int head = at.kv_head(problem) * problem.group + query % problem.group;
  if (problem.sinks != nullptr) merged.add_sink(problem.sinks[head]);
  const float factor = 1 / merged.sum;
  bf16* out = static_cast<bf16*>(problem.out) + token * problem.out_stride +
              int64_t{head} * problem.width + column;
  *reinterpret_cast<uint2*>(out) = {
      pack<bf16>(merged.values[0] * factor, merged.values[1] * factor),
      pack<bf16>(merged.values[2] * factor, merged.values[3] * factor)};
}

// Merges the results of the block's warps, which lie in `used`; writes the output, or, when other
// blocks have tiles of the part, a piece. The part begins at place `part_begin` of the sequence.
template <class T, int D>
__device__ void finish_part(const AttentionProblem& problem, const Pieces<D>& pieces,
                            uint32_t* counters, const Shares& shares, const Walk& at,
                            int part_begin, const WarpKeys<T, D>* used) {
  __shared__ uint32_t arrived;
  const int thread = static_cast<int>(threadIdx.x), block = static_cast<int>(blockIdx.x);
  const int queries =
      min(kPartQueries, at.work.shape.tokens * problem.group - at.first_query(problem));
  const int first_block = shares.block_of(part_begin);
  const int last_block = shares.block_of(part_begin + at.work.tiles - 1);
  const bool whole = first_block == last_block;
  __syncthreads();  // all warps have left their rows
  const int64_t own = (2 * int64_t{block} + (block == first_block ? 1 : 0)) * kPartQueries;
  for (int i = thread; i < queries * (D / 4); i += kTileThreads) {
    const int query = i / (D / 4), column = i % (D / 4) * 4;
    Merged<4> merged;
    for (int warp = 0; warp < kTileWarps; ++warp) {
      const float* row = reinterpret_cast<const float*>(used + warp) + query * (D + 8);
      merged.add(row[D], row[D + 1], row + column);
    }
    if (whole) {
      write_out(problem, at, query, column, merged);
    } else {
      *reinterpret_cast<float4*>(pieces.values + (own + query) * D + column) = {
          merged.values[0], merged.values[1], merged.values[2], merged.values[3]};
      if (column == 0) pieces.stats[own + query] = {merged.largest, merged.sum};
    }
  }
  if (!whole) __threadfence();
  __syncthreads();  // `used` may be loaded again
  if (whole) return;

  if (thread == 0) arrived = atomicAdd(counters + first_block, 1);
  __syncthreads();
  if (arrived != static_cast<uint32_t>(last_block - first_block)) return;
  __threadfence();
  if (thread == 0) counters[first_block] = 0;
  for (int i = thread; i < queries * (D / 4); i += kTileThreads) {
    const int query = i / (D / 4), column = i % (D / 4) * 4;
    Merged<4> merged;
#pragma unroll 4
    for (int other = first_block; other <= last_block; ++other) {
      const int64_t row =
          (2 * int64_t{other} + (other == first_block ? 1 : 0)) * kPartQueries + query;
      const float2 stats = __ldcg(pieces.stats + row);
      const float4 values =
          __ldcg(reinterpret_cast<const float4*>(pieces.values + row * D + column));
      const float piece[4] = {values.x, values.y, values.z, values.w};
      merged.add(stats.x, stats.y, piece);
    }
    write_out(problem, at, query, column, merged);
  }
}

template <class T, int D>
__global__ void __launch_bounds__(kTileThreads, DecodeLayout<T, D>::kBlocks)
    decode(const __grid_constant__ AttentionProblem problem, Pieces<D> pieces, uint32_t* counters) {
  constexpr int kStages = DecodeLayout<T, D>::kStages;
  using Keys = WarpKeys<T, D>;
  extern __shared__ __align__(16) unsigned char shared[];
  Keys* ring = reinterpret_cast<Keys*>(shared);  // [kStages, kTileWarps]
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const int block = static_cast<int>(blockIdx.x);

  const auto count = [&](int row) {
    const RowWork work = row_work(problem, row);
    return work.parts * work.tiles;
  };
  const int total = find_row<kTileThreads>(problem.rows, -1, count).total;
  const Shares shares{total, min(max(total / kLeastShare, 1), static_cast<int>(gridDim.x))};
  if (total == 0 || block >= shares.blocks) return;
  const int begin = shares.begin(block), end = shares.begin(block + 1);
  const FoundRow found = find_row<kTileThreads>(problem.rows, begin, count);

  Walk loading(problem, found.row, begin - found.before);
  SlotCursor cursor(problem, loading.row);
  const auto load = [&](int place, int stage) {
    if (place < end) {
      const RowWork& work = loading.work;
      const int key =
          (work.first_tile + loading.tile) * kTileKeys + warp * Keys::kKeys + lane % Keys::kKeys;
      const bool seen =
          first_seen(problem, work.shape.position(0)) <= key && key < work.shape.length;
      load_keys(ring[stage * kTileWarps + warp], KvHead<T>(problem, loading.kv_head(problem)),
                seen ? cursor.slot(key) : -1);
      if (place + 1 < end) {
        loading.advance(problem);
        if (loading.tile == 0) cursor = SlotCursor(problem, loading.row);
      }
    }
    end_copy_group();
  };

  Walk at = loading;
  for (int stage = 0; stage < kStages - 1; ++stage) load(begin + stage, stage);
  const Scoring scoring(problem);
  uint32_t queries[D / 16][4];
  Seen seen[2];
  QueryRows<D> rows;
  int stage = 0;
  for (int place = begin; place < end; ++place) {
    if (place == begin || at.tile == 0) {
      load_queries<T, D>(queries, problem, at);
      for (int half = 0; half < 2; ++half) {
        const int query = at.first_query(problem) + lane / 4 + 8 * half;
        seen[half] = seen_by(problem, at.work.shape, query);
      }
      rows = {};
    }
    wait_for_copies<kStages - 2>();
    __syncwarp();  // all lanes' copies have come, and the oldest keys have been read
    load(place + kStages - 1, stage == 0 ? kStages - 1 : stage - 1);

    Keys& keys = ring[stage * kTileWarps + warp];
    float scores[2][4] = {};
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      uint32_t b[4];
      load_key_matrices(b, keys, 16 * step);
      mma<T>(scores[0], queries[step], b[0], b[1]);
      mma<T>(scores[1], queries[step], b[2], b[3]);
    }
    scoring.apply(scores);
    hide_unseen(scores, seen, (at.work.first_tile + at.tile) * kTileKeys + warp * Keys::kKeys);
    weigh(scores, rows);
    uint32_t weights[4];
    pack_weights<T>(weights, scores[0], scores[1]);
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      uint32_t b[4];
      load_value_matrices(b, keys, 16 * step);
      mma<T>(rows.values[2 * step], weights, b[0], b[1]);
      mma<T>(rows.values[2 * step + 1], weights, b[2], b[3]);
    }

    if (at.tile + 1 == at.work.tiles || place + 1 == end) {
      __syncwarp();  // all lanes have read these keys
      leave_rows(keys, rows);
      finish_part(problem, pieces, counters, shares, at, place - at.tile,
                  ring + stage * kTileWarps);
    }
    if (place + 1 < end) at.advance(problem);
    stage = stage + 1 == kStages ? 0 : stage + 1;
  }
}

template <class T, int D>
void launch_decode(const Context& context, const AttentionProblem& problem) {
  using Layout = DecodeLayout<T, D>;
  const int blocks = context.multiprocessors() * Layout::kBlocks;
  check(blocks <= Context::kCounters, "attention wants ", blocks, " counters, there are ",
        Context::kCounters);
  const Pieces<D> pieces = Pieces<D>::in(context.workspace(Pieces<D>::bytes(blocks)), blocks);
  allow_shared_bytes(decode<T, D>, Layout::kBytes);
  launch(context,
         {.blocks = static_cast<unsigned>(blocks),
          .threads = kTileThreads,
          .shared_bytes = Layout::kBytes},
         decode<T, D>, problem, pieces, context.counters());
}

template <class T>
void attend_few(const Context& context, const AttentionProblem& problem) {
  switch (problem.width) {
    case 64: return launch_decode<T, 64>(context, problem);
    case 80: return launch_decode<T, 80>(context, problem);
    case 96: return launch_decode<T, 96>(context, problem);
    case 128: return launch_decode<T, 128>(context, problem);
    default: return launch_decode<T, 256>(context, problem);
  }
}

}  // namespace spate::cuda
