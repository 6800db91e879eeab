// The queries of a part of the `decode` kernel where many heads share a key/value head: up to 16,
// the rows of products, whose columns are keys, and then values. Of one warp.
#pragma once

#include "backend/cuda/attention/decode_tile.cuh"

namespace spate::cuda {

template <class C, int D>
class QueriesInRows {
  using T = ProductType<C>;

 public:
  using Cached = C;
  using Tile = WarpTile<C, D>;
  static constexpr int kQueries = 16, kWidth = D;

  // Begins with those from `first_query` of the row on.
  __device__ void begin(const AttentionProblem& problem, const RowShape& shape, int kv_head,
                        int first_query) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = first_query + lane() / 4 + 8 * half;
      load_query<C, D>(problem, shape, kv_head, query, [&](int step, int n, uint32_t pair) {
        queries_[step][half + 2 * n] = pair;
      });
      seen_[half] = seen_by(problem, shape, query);
    }
    rows_ = {};
  }

  // Adds a tile of keys; where it `hides`, queries do not see all of them.
  __device__ void add(const Tile& tile, const uint32_t* scales_of_tile, const Scoring& scoring,
                      const AttentionProblem& problem, const RowShape& shape, int first_query,
                      int first_key, bool hides) {
    float scores[Tile::kKeys / 8][4] = {};
    multiply_keys(scores, tile);
    const ColumnScales<C, Tile::kKeys / 8> scales(scales_of_tile);
    score(scores, scoring, scales);
    if (hides) {
      hide_unseen(scores, seen_, first_key);
      if (problem.tree != nullptr) {
        hide_other_paths(scores, problem, shape, first_query, first_key);
      }
    }
    weigh(scores, rows_, scales);
#pragma unroll
    for (int first = 0; first < Tile::kKeys; first += 16) {
      uint32_t weights[4];
      pack_weights<T>(weights, scores[first / 8], scores[first / 8 + 1]);
      add_values(weights, tile, first);
    }
  }

  // Leaves sums in the memory of the tile, and references and sums of weights.
  __device__ void leave(Tile& tile, float2* stats) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = lane() / 4 + 8 * half;
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        const float4 four = four_columns<C>(rows_, step, half);
        if constexpr (sizeof(C) == 2) {
          const int column = 16 * step + 2 * (lane() % 4);
          *reinterpret_cast<float2*>(left_place(tile, row, column)) = {four.x, four.y};
          *reinterpret_cast<float2*>(left_place(tile, row, column + 8)) = {four.z, four.w};
        } else {
          *reinterpret_cast<float4*>(left_place(tile, row, 16 * step + 4 * (lane() % 4))) = four;
        }
      }
      const float sum = row_sum(rows_.sum[half]);
      if (lane() % 4 == 0) stats[row] = {rows_.reference[half], sum};
    }
  }

 private:
  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  __device__ void multiply_keys(float (&scores)[Tile::kKeys / 8][4], const Tile& tile) const {
    const int lane = QueriesInRows::lane();
#pragma unroll
    for (int first = 0; first < Tile::kKeys; first += 16) {
      float(*of_keys)[4] = scores + first / 8;
      if constexpr (sizeof(C) == 2) {
        // Pairs of keys 0 to 7: [0], [1], of the others: [2], [3].
#pragma unroll
        for (int step = 0; step < D / 16; ++step) {
          uint32_t b[4];
          load_matrices(b, Tile::vector(tile.keys, first + lane / 16 * 8 + lane % 8,
                                        2 * step + lane / 8 % 2));
          mma<T>(of_keys[0], queries_[step], b[0], b[1]);
          mma<T>(of_keys[1], queries_[step], b[2], b[3]);
        }
      } else {
        // Codes of keys 0 to 7: [0], [1] for the step and the next, of the others: [2], [3].
#pragma unroll
        for (int step = 0; step < D / 16; step += 2) {
          uint32_t codes[4];
          load_matrices(codes, Tile::vector(tile.keys, first + lane / 16 * 8 + lane % 8,
                                            step + lane / 8 % 2));
#pragma unroll
          for (int next = 0; next < 2 && step + next < D / 16; ++next) {
            const uint32_t low = codes[next], high = codes[2 + next];
            mma<T>(of_keys[0], queries_[step + next], low_as_f16(low), high_as_f16(low));
            mma<T>(of_keys[1], queries_[step + next], low_as_f16(high), high_as_f16(high));
          }
        }
      }
    }
  }

  // Adds the values of keys [first, first + 16), weighed.
  __device__ void add_values(const uint32_t (&weights)[4], const Tile& tile, int first) {
    const int lane = QueriesInRows::lane();
    const int key = first + lane / 8 % 2 * 8 + lane % 8;
    if constexpr (sizeof(C) == 2) {
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        uint32_t b[4];
        load_matrices_transposed(b, Tile::vector(tile.values, key, 2 * step + lane / 16));
        mma<T>(rows_.values[2 * step], weights, b[0], b[1]);
        mma<T>(rows_.values[2 * step + 1], weights, b[2], b[3]);
      }
    } else {
#pragma unroll
      for (int step = 0; step < D / 16; step += 2) {
        uint32_t codes[4];  // pairs of columns of two keys
        load_matrices_transposed(codes, Tile::vector(tile.values, key, step + lane / 16));
#pragma unroll
        for (int next = 0; next < 2 && step + next < D / 16; ++next) {
          const uint32_t low = columns_apart(codes[2 * next]);
          const uint32_t high = columns_apart(codes[2 * next + 1]);
          mma<T>(rows_.values[2 * (step + next)], weights, low_as_f16(low), low_as_f16(high));
          mma<T>(rows_.values[2 * (step + next) + 1], weights, high_as_f16(low), high_as_f16(high));
        }
      }
    }
  }

  uint32_t queries_[D / 16][4];  // as the left side of products
  Seen seen_[2];
  QueryRows<D> rows_;
};

}  // namespace spate::cuda
