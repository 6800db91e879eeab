// Attention of rows with few queries on tensor cores, bound by reading keys. All tiles of 64 keys
// (128 in eight bits) of all such rows and key/value heads form one sequence, row after row and
// head after head, which is cut into equal shares, one a block: so every multiprocessor reads the
// same number of keys, however ragged the rows are. The queries of the heads that share a key/value
// head are the 16 rows of the products. A block's warps take a quarter of each tile, each with a
// ring of tiles under way (decode_tile.cuh) and a softmax of its own; they are merged where the
// keys of a head end. Where a head's keys were cut between blocks, each leaves its piece in the
// workspace and the last one to arrive merges them.
#pragma once

#include "backend/cuda/attention/decode_tile.cuh"
#include "backend/cuda/attention/pieces.cuh"
#include "backend/cuda/attention/tile.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/shares.cuh"

namespace spate::cuda {

template <class C>
constexpr int kDecodeKeys = kTileWarps* kWarpKeys<C>;  // of a tile

// What a row adds to the sequence: `parts` (heads, times groups of 16 queries) of `tiles` tiles.
struct RowWork {
  RowShape shape;
  int first_tile, tiles, parts;
};

template <class C>
__device__ RowWork row_work(const AttentionProblem& problem, int row) {
  const RowShape shape = row_shape(problem, row);
  const int queries = shape.tokens * problem.group;
  const bool few = shape.tokens == 1 || (shape.tokens > 1 && queries <= kFewQueries);
  constexpr int kKeys = kDecodeKeys<C>;
  const int first_tile =
      max(first_seen(problem, shape.position(0)), own_begin(problem, row)) / kKeys;
  return {.shape = shape,
          .first_tile = first_tile,
          .tiles = (shape.length + kKeys - 1) / kKeys - first_tile,
          .parts = few ? problem.kv_heads * ((queries + kPartQueries - 1) / kPartQueries) : 0};
}

// A place in the sequence.
template <class C>
struct Walk {
  int row, part, tile;  // part and tile count from the row's first
  RowWork work;

  __device__ Walk(const AttentionProblem& problem, int row, int place)
      : row(row), work(row_work<C>(problem, row)) {
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
      work = row_work<C>(problem, ++row);
    } while (work.parts * work.tiles == 0);
  }
  __device__ int kv_head(const AttentionProblem& problem) const { return part % problem.kv_heads; }
  __device__ int first_query(const AttentionProblem& problem) const {
    return part / problem.kv_heads * kPartQueries;
  }
};

// Pieces of heads that were cut between blocks: of each block the first, which began in another
// one, and the last, which goes on in another one.
template <int D>
struct Pieces {
  float* values;  // [blocks, 2, kPartQueries, D]
  float2* stats;  // [blocks, 2, kPartQueries]: reference, sum of weights

  static size_t bytes(int blocks) {
    return static_cast<size_t>(blocks) * 2 * kPartQueries * (D * sizeof(float) + sizeof(float2));
  }
  static Pieces in(void* workspace, int blocks) {
    float* values = static_cast<float*>(workspace);
    return {values, reinterpret_cast<float2*>(values + size_t{2} * blocks * kPartQueries * D)};
  }
};

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
template <class C, int D>
__device__ void load_queries(uint32_t (&to)[D / 16][4], const AttentionProblem& problem,
                             const Walk<C>& at) {
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

// The softmax of a warp where other warps find it: sums of values in the memory of keys that it has
// used, and the references and sums of its weights.
template <class C, int D>
struct LeftRows {
  static constexpr int kPitch = (D + 31) / 32 * 32;
  static_assert(sizeof(WarpTile<C, D>) >= kPartQueries * kPitch * sizeof(float));

  // Neighbouring rows lie in other banks.
  __device__ static float* place(WarpTile<C, D>& tile, int row, int column) {
    return reinterpret_cast<float*>(&tile) + row * kPitch + (column ^ row % 4 * 8);
  }

  __device__ static void leave(WarpTile<C, D>& tile, float2* stats, const QueryRows<D>& rows) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = lane / 4 + 8 * half;
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        const float4 four = four_columns<C>(rows, step, half);
        if constexpr (sizeof(C) == 2) {
          const int column = 16 * step + 2 * (lane % 4);
          *reinterpret_cast<float2*>(place(tile, row, column)) = {four.x, four.y};
          *reinterpret_cast<float2*>(place(tile, row, column + 8)) = {four.z, four.w};
        } else {
          *reinterpret_cast<float4*>(place(tile, row, 16 * step + 4 * (lane % 4))) = four;
        }
      }
      const float sum = row_sum(rows.sum[half]);
      if (lane % 4 == 0) stats[row] = {rows.reference[half], sum};
    }
    publish_writes();  // the copy engine writes here next
  }
};

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
template <class C>
__device__ void write_out(const AttentionProblem& problem, const Walk<C>& at, int query, int column,
                          float2 stats, float4 values) {
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

// What merging a part needs to know.
struct PartEnd {
  int queries;                  // of the part
  int first_block, last_block;  // that have tiles of it

  template <class C>
  __device__ PartEnd(const AttentionProblem& problem, const Shares& shares, const Walk<C>& at,
                     int begin)
      : queries(min(kPartQueries, at.work.shape.tokens * problem.group - at.first_query(problem))),
        first_block(shares.block_of(begin)),
        last_block(shares.block_of(begin + at.work.tiles - 1)) {}

  __device__ bool whole() const { return first_block == last_block; }
  // Where a block leaves its piece, counted in queries.
  __device__ int64_t place(int block) const {
    return (2 * int64_t{block} + (block == first_block ? 1 : 0)) * kPartQueries;
  }
};

// Merges the results of the block's warps, which lie in `used`, with `left_stats` [kTileWarps,
// kPartQueries]; writes the output, or, when other blocks have tiles of the part, a piece.
template <class C, int D>
__device__ void merge_warps(const AttentionProblem& problem, const Pieces<D>& pieces,
                            const Walk<C>& at, const PartEnd& part, WarpTile<C, D>* used,
                            const float2* left_stats) {
  const int64_t own = part.place(static_cast<int>(blockIdx.x));
  for (int i = static_cast<int>(threadIdx.x); i < part.queries * (D / 4); i += kTileThreads) {
    const int query = i / (D / 4), column = i % (D / 4) * 4;
    float2 stats[kTileWarps], merged{-INFINITY, 0};
#pragma unroll
    for (int warp = 0; warp < kTileWarps; ++warp) {
      stats[warp] = left_stats[warp * kPartQueries + query];
      merged.x = fmaxf(merged.x, stats[warp].x);
    }
    float4 values{};
#pragma unroll
    for (int warp = 0; warp < kTileWarps; ++warp) {
      const float weight = piece_weight(stats[warp], merged.x);
      merged.y = fmaf(weight, stats[warp].y, merged.y);
      const float* left = LeftRows<C, D>::place(used[warp], query, column);
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
template <class C, int D>
__device__ void merge_pieces(const AttentionProblem& problem, const Pieces<D>& pieces,
                             const Walk<C>& at, const PartEnd& part) {
  constexpr int kAtOnce = 12;
  for (int i = static_cast<int>(threadIdx.x); i < part.queries * (D / 4); i += kTileThreads) {
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

// Brings a part to its end, which begins at place `begin` of the sequence: the warps' results lie
// in `used`.
template <class C, int D>
__device__ void finish_part(const AttentionProblem& problem, const Pieces<D>& pieces,
                            uint32_t* counters, const Shares& shares, const Walk<C>& at, int begin,
                            WarpTile<C, D>* used, const float2* left_stats) {
  __shared__ uint32_t arrived;
  const PartEnd part(problem, shares, at, begin);
  __syncthreads();  // all warps have left their rows
  merge_warps(problem, pieces, at, part, used, left_stats);
  __syncthreads();  // `used` may be loaded again, and the piece has been left
  if (part.whole()) return;

  if (threadIdx.x == 0) {
    __threadfence();
    arrived = atomicAdd(counters + part.first_block, 1);
  }
  __syncthreads();
  if (arrived != static_cast<uint32_t>(part.last_block - part.first_block)) return;
  __threadfence();
  if (threadIdx.x == 0) counters[part.first_block] = 0;
  merge_pieces(problem, pieces, at, part);
}

// May start while the kernel in front still runs, and waits for it before it reads anything.
template <class C, int D>
__global__ void __launch_bounds__(kTileThreads, DecodeLayout<C, D>::kBlocks)
    decode(const __grid_constant__ AttentionProblem problem, const __grid_constant__ TileMaps maps,
           Pieces<D> pieces, uint32_t* counters) {
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
  wait_for_kernel_before();

  const auto count = [&](int row) {
    const RowWork work = row_work<C>(problem, row);
    return work.parts * work.tiles;
  };
  Shares shares{};
  const FoundRow found = find_row<kTileThreads>(problem.rows, count, [&](int total) {
    shares = {total, min(max(total / kLeastShare, 1), static_cast<int>(gridDim.x))};
    return block < shares.blocks ? shares.begin(block) : total;
  });
  if (found.row < 0) return;
  const int begin = found.place, end = shares.begin(block + 1);

  Walk<C> loading(problem, found.row, begin - found.before);
  SlotCursor cursor(problem, loading.row);
  const auto load = [&](int place, int stage) {
    if (place >= end) return;
    const RowWork& work = loading.work;
    const int key = (work.first_tile + loading.tile) * kDecodeKeys<C> + warp * Tile::kKeys;
    const int in_ring = stage * kTileWarps + warp;
    load_tile(ring[in_ring], ring_scales + in_ring * Layout::kScales, problem, maps, cursor, key,
              work.shape.length, loading.kv_head(problem), full + in_ring);
    if (place + 1 < end) {
      loading.advance(problem);
      if (loading.tile == 0) cursor = SlotCursor(problem, loading.row);
    }
  };

  Walk<C> at = loading;
  for (int stage = 0; stage < kStages - 1; ++stage) load(begin + stage, stage);
  const Scoring scoring(problem);
  uint32_t queries[D / 16][4];
  Seen seen[2];
  QueryRows<D> rows;
  RingPlace<kStages> used;
  for (int place = begin; place < end; ++place) {
    if (place == begin || at.tile == 0) {
      load_queries<C, D>(queries, problem, at);
      for (int half = 0; half < 2; ++half) {
        const int query = at.first_query(problem) + lane / 4 + 8 * half;
        seen[half] = seen_by(problem, at.work.shape, query);
      }
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
    scales.of_keys(scores);
    scoring.apply(scores);
    scales.into_scores(scores);
    const int first_key = (at.work.first_tile + at.tile) * kDecodeKeys<C> + warp * Tile::kKeys;
    hide_unseen(scores, seen, first_key);
    if (problem.tree != nullptr) {
      hide_other_paths(scores, problem, at.work.shape, at.first_query(problem), first_key);
    }
    weigh(scores, rows, scales);
#pragma unroll
    for (int first = 0; first < Tile::kKeys; first += 16) {
      uint32_t weights[4];
      pack_weights<ProductType<C>>(weights, scores[first / 8], scores[first / 8 + 1]);
      add_values(rows, weights, tile, first);
    }

    if (at.tile + 1 == at.work.tiles || place + 1 == end) {
      __syncwarp();  // all lanes have read these keys
      LeftRows<C, D>::leave(tile, left_stats + warp * kPartQueries, rows);
      finish_part(problem, pieces, counters, shares, at, place - at.tile, ring + stage * kTileWarps,
                  left_stats);
    }
    if (place + 1 < end) at.advance(problem);
  }
}

template <class C, int D>
void launch_decode(const Context& context, const AttentionProblem& problem) {
  using Layout = DecodeLayout<C, D>;
  const int blocks = context.multiprocessors() * Layout::kBlocks;
  check(blocks <= Context::kCounters, "attention wants ", blocks, " counters, there are ",
        Context::kCounters);
  void* workspace = context.workspace(problem.shared.bytes + Pieces<D>::bytes(blocks));
  const Pieces<D> pieces =
      Pieces<D>::in(static_cast<char*>(workspace) + problem.shared.bytes, blocks);
  allow_shared_bytes(decode<C, D>, Layout::kBytes);
  launch_early(context,
               {.blocks = static_cast<unsigned>(blocks),
                .threads = kTileThreads,
                .shared_bytes = Layout::kBytes},
               decode<C, D>, problem, tile_maps<C>(context, problem), pieces, context.counters());
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
