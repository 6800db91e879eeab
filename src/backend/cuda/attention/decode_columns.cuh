// The queries of a part of the `decode` kernel where up to eight heads share a key/value head: the
// columns of products, whose rows are keys, and then values: half of the products and registers
// that rows would take. Of one warp.
//
// A thread has of scores the keys lane / 4, and every 8 further on, for the queries 2 * (lane % 4)
// and the next.
#pragma once

#include "backend/cuda/attention/decode_tile.cuh"

namespace spate::cuda {

template <class C, int D>
class QueriesInColumns {
  using T = ProductType<C>;

 public:
  using Cached = C;
  using Tile = WarpTile<C, D>;
  static constexpr int kQueries = 8, kWidth = D;

  // Begins with those from `first_query` of the row on.
  __device__ void begin(const AttentionProblem& problem, const RowShape& shape, int kv_head,
                        int first_query) {
    load_query<C, D>(problem, shape, kv_head, first_query + lane() / 4,
                     [&](int step, int n, uint32_t pair) { queries_[step][n] = pair; });
#pragma unroll
    for (int column = 0; column < 2; ++column) {
      seen_[column] = seen_by(problem, shape, first_query + query(column));
      reference_[column] = -INFINITY;
      sum_[column] = 0;
    }
#pragma unroll
    for (auto& tile : values_) {
#pragma unroll
      for (float& value : tile) value = 0;
    }
  }

  // Adds a tile of keys; where it `hides`, queries do not see all of them.
  __device__ void add(const Tile& tile, const uint32_t* scales, const Scoring& scoring,
                      const AttentionProblem& problem, const RowShape& shape, int first_query,
                      int first_key, bool hides) {
    Scores scores = {};
    multiply_keys(scores, tile);
    float inverse[kEighths];  // of the scales of values
    score(scores, inverse, scales, scoring);
    if (hides) {
      hide_unseen(scores, first_key);
      if (problem.tree != nullptr) {
        hide_other_paths(scores, problem, shape, first_query, first_key);
      }
    }
    weigh(scores, inverse);
#pragma unroll
    for (int m = 0; m < Tile::kKeys / 16; ++m) add_values(scores[m], tile, 16 * m);
  }

  // Leaves sums in the memory of the tile, and references and sums of weights.
  __device__ void leave(Tile& tile, float2* stats) const {
#pragma unroll
    for (int column = 0; column < 2; ++column) {
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        const float first = values_[step][column], second = values_[step][2 + column];
        if constexpr (sizeof(C) == 2) {
          *left_place(tile, query(column), 16 * step + lane() / 4) = first;
          *left_place(tile, query(column), 16 * step + 8 + lane() / 4) = second;
        } else {
          *reinterpret_cast<float2*>(
              left_place(tile, query(column), 16 * step + lane() / 4 * 2)) = {first, second};
        }
      }
      const float sum = over_keys(sum_[column], [](float a, float b) { return a + b; });
      if (lane() < 4) stats[query(column)] = {reference_[column], sum};
    }
  }

 private:
  static constexpr int kEighths = Tile::kKeys / 8;  // of which a thread has a key each
  using Scores = float[Tile::kKeys / 16][4];

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int query(int column) { return 2 * (lane() % 4) + column; }  // of the part
  // Of the keys of a tile.
  __device__ static int key(int eighth) { return 8 * eighth + lane() / 4; }
  // What the eight threads of a query have.
  template <class Join>
  __device__ static float over_keys(float x, const Join& join) {
#pragma unroll
    for (int distance = 4; distance < 32; distance *= 2) {
      x = join(x, __shfl_xor_sync(~0U, x, distance));
    }
    return x;
  }

  __device__ void multiply_keys(Scores& scores, const Tile& tile) const {
    const int row = lane() % 16;
#pragma unroll
    for (int m = 0; m < Tile::kKeys / 16; ++m) {
      if constexpr (sizeof(C) == 2) {
        float of_odd[4] = {};  // steps: neighbours do not wait for each other
#pragma unroll
        for (int step = 0; step < D / 16; ++step) {
          uint32_t keys[4];
          load_matrices(keys, Tile::vector(tile.keys, 16 * m + row, 2 * step + lane() / 16));
          mma<T>(step % 2 == 0 ? scores[m] : of_odd, keys, queries_[step][0], queries_[step][1]);
        }
#pragma unroll
        for (int i = 0; i < 4; ++i) scores[m][i] += of_odd[i];
      } else {
        // Codes of keys 0 to 7: [0], of the others: [1]; of the next step: [2], [3].
#pragma unroll
        for (int step = 0; step < D / 16; step += 2) {
          uint32_t codes[4];
          load_matrices(codes, Tile::vector(tile.keys, 16 * m + row, step + lane() / 16));
#pragma unroll
          for (int next = 0; next < 2 && step + next < D / 16; ++next) {
            const uint32_t top = codes[2 * next], bottom = codes[2 * next + 1];
            const uint32_t keys[4] = {low_as_f16(top), low_as_f16(bottom), high_as_f16(top),
                                      high_as_f16(bottom)};
            mma<T>(scores[m], keys, queries_[step + next][0], queries_[step + next][1]);
          }
        }
      }
    }
  }

  // Turns products into scores. A value's scale goes into its score, as ColumnScales says.
  __device__ static void score(Scores& scores, float (&inverse)[kEighths], const uint32_t* scales,
                               const Scoring& scoring) {
#pragma unroll
    for (int eighth = 0; eighth < kEighths; ++eighth) {
      float factor = scoring.factor(), of_value = 0;
      if constexpr (sizeof(C) == 1) {
        const KvScales pair{scales[key(eighth)]};
        factor *= pair.of_key();
        of_value = pair.log2_of_value();
        inverse[eighth] = inverse_of_scale(pair.of_value());
      }
#pragma unroll
      for (int column = 0; column < 2; ++column) {
        float& value = at(scores, eighth, column);
        value = scoring.capped() ? scoring.capped(value * factor) + of_value
                                 : fmaf(value, factor, of_value);
      }
    }
  }

  __device__ void hide_unseen(Scores& scores, int first_key) const {
#pragma unroll
    for (int eighth = 0; eighth < kEighths; ++eighth) {
#pragma unroll
      for (int column = 0; column < 2; ++column) {
        const int position = first_key + key(eighth);
        if (position < seen_[column].first || position > seen_[column].last) {
          at(scores, eighth, column) = -INFINITY;
        }
      }
    }
  }

  __device__ static void hide_other_paths(Scores& scores, const AttentionProblem& problem,
                                          const RowShape& shape, int first_query, int first_key) {
    const int before = shape.position(0);  // keys before the step
    if (first_key + Tile::kKeys <= before) return;
#pragma unroll
    for (int column = 0; column < 2; ++column) {
      const int of_row = first_query + query(column);
      if (of_row >= shape.tokens * problem.group) continue;
      const uint64_t path = seen_in_tree(problem, shape.first_token + of_row / problem.group);
#pragma unroll
      for (int eighth = 0; eighth < kEighths; ++eighth) {
        const int node = first_key + key(eighth) - before;
        if (node >= 0 && (node >= 64 || (path >> node & 1) == 0)) {
          at(scores, eighth, column) = -INFINITY;
        }
      }
    }
  }

  // Turns scores into weights, as weigh() in tile.cuh does.
  __device__ void weigh(Scores& scores, const float (&inverse)[kEighths]) {
    bool moves[2];
    float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
    for (int column = 0; column < 2; ++column) {
#pragma unroll
      for (int eighth = 0; eighth < kEighths; ++eighth) {
        largest[column] = fmaxf(largest[column], at(scores, eighth, column));
      }
      largest[column] = over_keys(largest[column], [](float a, float b) { return fmaxf(a, b); });
      moves[column] = largest[column] > reference_[column] + kReferenceSlack;
    }
    if (__any_sync(~0U, moves[0] || moves[1])) {
      float factor[2] = {1, 1};
#pragma unroll
      for (int column = 0; column < 2; ++column) {
        if (!moves[column]) continue;
        factor[column] = exp2_fast(reference_[column] - largest[column]);
        reference_[column] = largest[column];
        sum_[column] *= factor[column];
      }
#pragma unroll
      for (auto& tile : values_) {
#pragma unroll
        for (int i = 0; i < 4; ++i) tile[i] *= factor[i % 2];
      }
    }
#pragma unroll
    for (int column = 0; column < 2; ++column) {
      // One that has seen no keys yet has only hidden ones here: 2^(-infinity - 0) is zero.
      const float reference = reference_[column] == -INFINITY ? 0 : reference_[column];
#pragma unroll
      for (int eighth = 0; eighth < kEighths; ++eighth) {
        float& weight = at(scores, eighth, column);
        weight = exp2_fast(weight - reference);
        sum_[column] += sizeof(C) == 1 ? weight * inverse[eighth] : weight;
      }
    }
  }

  // Adds the values of keys [first, first + 16), weighed.
  __device__ void add_values(const float (&weights)[4], const Tile& tile, int first) {
    const uint32_t top = transposed_matrix(pack<T>(weights[0], weights[1]));
    const uint32_t bottom = transposed_matrix(pack<T>(weights[2], weights[3]));
    if constexpr (sizeof(C) == 2) {
      const int row = first + lane() / 16 * 8 + lane() % 8;
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        uint32_t values[4];
        load_matrices_transposed(values, Tile::vector(tile.values, row, 2 * step + lane() / 8 % 2));
        mma<T>(values_[step], values, top, bottom);
      }
    } else {
      // Codes of keys 0 to 7: [0], of the others: [1], two columns each; of the next step: [2],
      // [3].
#pragma unroll
      for (int step = 0; step < D / 16; step += 2) {
        uint32_t codes[4];
        load_matrices_transposed(
            codes, Tile::vector(tile.values, first + lane() % 16, step + lane() / 16));
#pragma unroll
        for (int next = 0; next < 2 && step + next < D / 16; ++next) {
          const uint32_t left = columns_apart(codes[2 * next]);
          const uint32_t right = columns_apart(codes[2 * next + 1]);
          const uint32_t values[4] = {low_as_f16(left), high_as_f16(left), low_as_f16(right),
                                      high_as_f16(right)};
          mma<T>(values_[step + next], values, top, bottom);
        }
      }
    }
  }

  __device__ static float& at(Scores& scores, int eighth, int column) {
    return scores[eighth / 2][eighth % 2 * 2 + column];
  }

  uint32_t queries_[D / 16][2];  // as the right side of products
  Seen seen_[2];
  float reference_[2], sum_[2];  // weights are 2^(score - reference); the sum of the thread's keys
  float values_[D / 16][4];      // of 16 columns; with e4m3 the even ones are the first 8 rows
};

}  // namespace spate::cuda
