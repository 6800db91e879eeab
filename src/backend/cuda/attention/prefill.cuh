// Attention of many queries on tensor cores, after FlashAttention-2: a block takes 128 (or 64)
// queries of one row and key/value head, the heads of the group and token after token, and passes
// over the tiles of 64 keys that they see, two of which are in shared memory. Each warp has its own
// queries and takes a strip of keys at a time, so that scores stay in registers.
//
// Tiles and strips begin at multiples of their size counted from position 0, and a query's result
// takes nothing from others, so that a token's bits depend on its own keys alone.
#pragma once

#include "backend/cuda/attention/prefill_tile.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

template <class C, int D>
struct PrefillLayout {
  static constexpr int kRowTiles = D <= 128 ? 2 : 1;  // m16 tiles of a warp
  static constexpr int kQueries = 16 * kRowTiles * kTileWarps;
  static constexpr int kStrip = kTileKeys / kRowTiles;            // keys
  static constexpr int kPitch = D + 8;                            // of a query: odd, as a key's
  static constexpr int kScales = sizeof(C) == 1 ? kTileKeys : 0;  // of a tile of keys
  static constexpr int kBytes =
      2 * kPitch * kQueries + 2 * (kTileWarps * static_cast<int>(sizeof(WarpKeys<C, D>)) +
                                   kScales * static_cast<int>(sizeof(uint32_t)));
  static constexpr int kBlocks = D <= 128 ? 2 : 1;  // of a multiprocessor, at least
};

// A block's share: queries [first_query, first_query + queries) of a row and key/value head.
struct QueryTile {
  RowShape shape;
  int row, kv_head, first_query, queries;
};

// Tiles of a row, when it is one of `rows`.
__device__ inline int query_tiles(const AttentionProblem& problem, TiledRows rows,
                                  const RowShape& shape, int tile_queries) {
  if (!takes_row(problem, rows, shape)) return 0;
  return (shape.tokens * problem.group + tile_queries - 1) / tile_queries;
}

// The block's tile; row -1 when there are fewer. A row's tile that sees most keys comes first,
// key/value heads beside each other.
__device__ inline QueryTile find_tile(const AttentionProblem& problem, TiledRows rows,
                                      int tile_queries) {
  const auto count = [&](int row) {
    return query_tiles(problem, rows, row_shape(problem, row), tile_queries);
  };
  const int block = static_cast<int>(blockIdx.x);
  const FoundRow found = find_row<kTileThreads>(
      problem.rows, count, [&](int /*total*/) { return block / problem.kv_heads; });
  if (found.row < 0) return {.row = -1};
  const RowShape shape = row_shape(problem, found.row);
  const int tiles = query_tiles(problem, rows, shape, tile_queries);
  const int first = (tiles - 1 - (found.place - found.before)) * tile_queries;
  return {shape, found.row, block % problem.kv_heads, first,
          min(tile_queries, shape.tokens * problem.group - first)};
}

// Brings a tile's queries to shared memory; zeros behind the last. With e4m3 the pairs of columns
// of 16 lie in the order in which products take them (pair_of_columns).
template <class C, int D>
__device__ void load_query_tile(ProductType<C>* to, const AttentionProblem& problem,
                                const QueryTile& tile) {
  using T = ProductType<C>;
  using Layout = PrefillLayout<C, D>;
  constexpr int kVectors = D / 8;
  for (int i = static_cast<int>(threadIdx.x); i < Layout::kQueries * kVectors; i += kTileThreads) {
    const int query = i / kVectors, column = i % kVectors * 8;
    uint4 vector{};
    if (query < tile.queries) {
      const int of_row = tile.first_query + query;
      const int64_t token = tile.shape.first_token + of_row / problem.group;
      const int64_t head = tile.kv_head * problem.group + of_row % problem.group;
      vector = *reinterpret_cast<const uint4*>(static_cast<const bf16*>(problem.q) +
                                               token * problem.q_stride + head * D + column);
      vector = {convert_pair<T>(vector.x), convert_pair<T>(vector.y), convert_pair<T>(vector.z),
                convert_pair<T>(vector.w)};
    }
    T* row = to + query * Layout::kPitch;
    if constexpr (sizeof(C) == 2) {
      *reinterpret_cast<uint4*>(row + column) = vector;
    } else {
      T* half = row + column / 16 * 16 + column % 16 / 2;
      *reinterpret_cast<uint2*>(half) = {vector.x, vector.z};
      *reinterpret_cast<uint2*>(half + 8) = {vector.y, vector.w};
    }
  }
}

// Products of a warp's queries with a strip of keys.
template <class C, int D, int kRowTiles, int kTiles>
__device__ void multiply_keys(float (&scores)[kRowTiles][kTiles][4], const ProductType<C>* queries,
                              const WarpKeys<C, D>* strip) {
  using T = ProductType<C>;
  constexpr int kPitch = PrefillLayout<C, D>::kPitch;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const T* of_lane = queries + lane % 16 * kPitch + lane / 16 * 8;
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    uint32_t a[kRowTiles][4];
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      load_matrices(a[tile], of_lane + tile * 16 * kPitch + 16 * step);
    }
#pragma unroll
    for (int part = 0; part < kTiles / 2; ++part) {
      uint32_t b[4];
      load_key_matrices(b, strip[part], 16 * step);
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
        mma<T>(scores[tile][2 * part], a[tile], b[0], b[1]);
        mma<T>(scores[tile][2 * part + 1], a[tile], b[2], b[3]);
      }
    }
  }
}

// Adds the values of a strip, weighed.
template <class C, int D, int kRowTiles, int kTiles>
__device__ void add_values(QueryRows<D> (&rows)[kRowTiles],
                           const float (&weights)[kRowTiles][kTiles][4],
                           const WarpKeys<C, D>* strip) {
  using T = ProductType<C>;
#pragma unroll
  for (int part = 0; part < kTiles / 2; ++part) {
    uint32_t a[kRowTiles][4];
#pragma unroll
    for (int tile = 0; tile < kRowTiles; ++tile) {
      pack_weights<T>(a[tile], weights[tile][2 * part], weights[tile][2 * part + 1]);
    }
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      uint32_t b[4];
      load_value_matrices(b, strip[part], 16 * step);
#pragma unroll
      for (int tile = 0; tile < kRowTiles; ++tile) {
        mma<T>(rows[tile].values[2 * step], a[tile], b[0], b[1]);
        mma<T>(rows[tile].values[2 * step + 1], a[tile], b[2], b[3]);
      }
    }
  }
}

// Writes the results of an m16 tile, whose first query is the `first`-th of the block's.
template <class C, int D>
__device__ void write_rows(const AttentionProblem& problem, const QueryTile& tile, int first,
                           const QueryRows<D>& rows) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float sum = row_sum(rows.sum[half]);
    const int query = first + lane / 4 + 8 * half;
    if (query >= tile.queries) continue;
    const int of_row = tile.first_query + query;
    const int64_t token = tile.shape.first_token + of_row / problem.group;
    const int head = tile.kv_head * problem.group + of_row % problem.group;
    const float factor = output_factor(problem, head, rows.reference[half], sum);
    bf16* out = static_cast<bf16*>(problem.out) + token * problem.out_stride + int64_t{head} * D;
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      const float4 four = four_columns<C>(rows, step, half);
      const uint32_t first = pack<bf16>(four.x * factor, four.y * factor);
      const uint32_t second = pack<bf16>(four.z * factor, four.w * factor);
      if constexpr (sizeof(C) == 2) {
        bf16* pairs = out + 16 * step + 2 * (lane % 4);
        *reinterpret_cast<uint32_t*>(pairs) = first;
        *reinterpret_cast<uint32_t*>(pairs + 8) = second;
      } else {
        *reinterpret_cast<uint2*>(out + 16 * step + 4 * (lane % 4)) = {first, second};
      }
    }
  }
}

// Grid: query tiles times G; blocks behind the last tile have nothing to do.
template <class C, int D>
__global__ void __launch_bounds__(kTileThreads, PrefillLayout<C, D>::kBlocks)
    prefill(const __grid_constant__ AttentionProblem problem, TiledRows rows_taken) {
  using Layout = PrefillLayout<C, D>;
  using Keys = WarpKeys<C, D>;
  using T = ProductType<C>;
  constexpr int kRowTiles = Layout::kRowTiles, kStrip = Layout::kStrip;
  extern __shared__ __align__(16) unsigned char shared[];
  let_next_kernel_begin();
  Keys* ring = reinterpret_cast<Keys*>(shared);              // [2, kTileWarps]
  T* queries = reinterpret_cast<T*>(ring + 2 * kTileWarps);  // [kQueries, kPitch]
  auto* ring_scales = reinterpret_cast<uint32_t*>(queries + Layout::kQueries * Layout::kPitch);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  const QueryTile tile = find_tile(problem, rows_taken, Layout::kQueries);
  if (tile.row < 0) return;
  const Seen by_block =
      seen_by_any(problem, tile.shape, tile.first_query, tile.first_query + tile.queries);
  const KvHead<C> head(problem, tile.kv_head);
  SlotCursor cursor(problem, tile.row);
  const auto load = [&](int key_tile) {
    const int key = key_tile * kTileKeys + warp * Keys::kKeys + lane % Keys::kKeys;
    const bool seen = by_block.first <= key && key <= by_block.last;
    load_keys(ring[key_tile % 2 * kTileWarps + warp],
              ring_scales + key_tile % 2 * Layout::kScales + warp * Keys::kKeys, head,
              seen ? cursor.slot(key) : -1);
    end_copy_group();
  };
  const int first_tile = by_block.first / kTileKeys;
  const int end_tile = by_block.last / kTileKeys + 1;
  load(first_tile);
  load_query_tile<C, D>(queries, problem, tile);

  const int first_query = warp * 16 * kRowTiles;  // of the warp
  const bool active = first_query < tile.queries;
  // Keys that every query of the warp sees, and that any sees.
  Seen seen[kRowTiles][2], all, any;
  if (active) {
    const int begin = tile.first_query + first_query;
    const int end = tile.first_query + min(first_query + 16 * kRowTiles, tile.queries);
    all = seen_by_all(problem, tile.shape, begin, end);
    any = seen_by_any(problem, tile.shape, begin, end);
  }
  for (int i = 0; i < 2 * kRowTiles; ++i) {
    seen[i / 2][i % 2] =
        seen_by(problem, tile.shape, tile.first_query + first_query + 8 * i + lane / 4);
  }
  const Scoring scoring(problem);
  QueryRows<D> rows[kRowTiles];
  for (int key_tile = first_tile; key_tile < end_tile; ++key_tile) {
    wait_for_copies<0>();
    __syncthreads();  // all copies of this tile have come, and the one before has been read
    if (key_tile + 1 < end_tile) load(key_tile + 1);
    if (!active) continue;
#pragma unroll 1
    for (int begin = 0; begin < kTileKeys; begin += kStrip) {
      const int first_key = key_tile * kTileKeys + begin, last_key = first_key + kStrip - 1;
      if (last_key < any.first || first_key > any.last) continue;
      const Keys* strip = ring + key_tile % 2 * kTileWarps + begin / Keys::kKeys;
      float scores[kRowTiles][kStrip / 8][4] = {};
      multiply_keys<C, D>(scores, queries + first_query * Layout::kPitch, strip);
      const ColumnScales<C, kStrip / 8> scales(ring_scales + key_tile % 2 * Layout::kScales +
                                               begin);
      const bool hides = first_key < all.first || last_key > all.last;
#pragma unroll
      for (int i = 0; i < kRowTiles; ++i) {
        score(scores[i], scoring, scales);
        if (hides) {
          hide_unseen(scores[i], seen[i], first_key);
          if (problem.tree != nullptr) {
            hide_other_paths(scores[i], problem, tile.shape,
                             tile.first_query + first_query + 16 * i, first_key);
          }
        }
        weigh(scores[i], rows[i], scales);
      }
      add_values<C, D>(rows, scores, strip);
    }
  }
  if (!active) return;
#pragma unroll
  for (int i = 0; i < kRowTiles; ++i) {
    write_rows<C>(problem, tile, first_query + 16 * i, rows[i]);
  }
}

// The most tiles that rows of the step can have.
inline int64_t most_tiles(const AttentionProblem& problem, TiledRows rows, int tile_queries) {
  const int64_t most_rows = most_tiled_rows(problem, rows);
  // Each of these rows has a last tile; all others are full.
  return most_rows == 0 ? 0 : most_rows + int64_t{problem.tokens} * problem.group / tile_queries;
}

template <class C, int D>
void launch_prefill(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  using Layout = PrefillLayout<C, D>;
  const int64_t blocks = most_tiles(problem, rows, Layout::kQueries) * problem.kv_heads;
  allow_shared_bytes(prefill<C, D>, Layout::kBytes);
  launch(context,
         {.blocks = static_cast<unsigned>(blocks),
          .threads = kTileThreads,
          .shared_bytes = Layout::kBytes},
         prefill<C, D>, problem, rows);
}

template <class C>
void attend_tiles(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  switch (problem.width) {
    case 64: return launch_prefill<C, 64>(context, problem, rows);
    case 80: return launch_prefill<C, 80>(context, problem, rows);
    case 96: return launch_prefill<C, 96>(context, problem, rows);
    case 128: return launch_prefill<C, 128>(context, problem, rows);
    default: return launch_prefill<C, 256>(context, problem, rows);
  }
}

}  // namespace spate::cuda
