// What the tensor core kernels share: how keys are cut into tiles, scores, the running softmax of
// 16 queries, and what brings sums to the output. Scores count in powers of two here.
//
// The weight of a key that a query does not see is zero, but zero times a value: values that are
// infinite or NaN spread to the queries of the tile that do not see them. Slots behind a row's last
// key are never read.
#pragma once

#include <cmath>

#include "backend/cuda/attention/rows.cuh"
#include "backend/cuda/e4m3.cuh"
#include "backend/cuda/mma.cuh"

namespace spate::cuda {

constexpr int kTileKeys = 64;
constexpr int kTileWarps = 4;
constexpr int kTileThreads = 32 * kTileWarps;

// What products with elements of a cache are made in. Of e4m3 that is exact, as weights of 16 bits
// are in all types.
template <class C>
using ProductType = std::conditional_t<sizeof(C) == 1, f16, C>;

// From products to scores: the scale and the soft cap.
class Scoring {
 public:
  __device__ explicit Scoring(const AttentionProblem& problem)
      : cap_(problem.soft_cap * kLog2E),
        factor_(problem.soft_cap > 0 ? 2 * kLog2E * problem.scale / problem.soft_cap
                                     : kLog2E * problem.scale) {}

  __device__ float factor() const { return factor_; }
  __device__ bool capped() const { return cap_ != 0; }
  // Of a product times the factor. tanh(x) = 1 - 2 / (exp(2 x) + 1)
  __device__ float capped(float score) const {
    return cap_ - cap_ * __fdividef(2, exp2_fast(score) + 1);
  }

 private:
  float cap_, factor_;
};

// Positions [first, last] that a query sees (in a tree, with gaps); none for one that does not
// exist.
struct Seen {
  int first = 0, last = -1;
};

// Queries of a row: the heads of a group are together, token after token.
__device__ inline Seen seen_by(const AttentionProblem& problem, const RowShape& shape, int query) {
  if (query >= shape.tokens * problem.group) return {};
  const int token = query / problem.group;
  return {first_seen_by(problem, shape, token), shape.position(token)};
}

// All positions that one of the queries [begin, end) of a row sees, and those that all of them see.
__device__ inline Seen seen_by_any(const AttentionProblem& problem, const RowShape& shape,
                                   int begin, int end) {
  const int first = problem.tree == nullptr ? begin / problem.group : 0;
  return {first_seen(problem, shape.position(first)), shape.position((end - 1) / problem.group)};
}
__device__ inline Seen seen_by_all(const AttentionProblem& problem, const RowShape& shape,
                                   int begin, int end) {
  const int last =
      problem.tree == nullptr ? shape.position(begin / problem.group) : shape.position(0) - 1;
  return {first_seen(problem, shape.position((end - 1) / problem.group)), last};
}

// The softmax of an m16 tile of queries, as far as its keys have come. A thread has parts of the
// rows lane / 4 and lane / 4 + 8.
template <int D>
struct QueryRows {
  float reference[2] = {-INFINITY, -INFINITY};  // weights are 2^(score - reference)
  float sum[2] = {};                            // of the weights of this thread's columns
  float values[D / 8][4] = {};
};

// The columns that a thread has of a row (the first or second half of a tile) and of the columns
// from 16 * step on: 2 * (lane % 4) and the next, and the same 8 columns further on; with e4m3,
// whose products have even and odd columns apart, 4 * (lane % 4) and the three behind it.
template <class C, int D>
__device__ float4 four_columns(const QueryRows<D>& rows, int step, int half) {
  const float* first = rows.values[2 * step] + 2 * half;
  const float* second = rows.values[2 * step + 1] + 2 * half;
  if constexpr (sizeof(C) == 2) return {first[0], first[1], second[0], second[1]};
  return {first[0], second[0], first[1], second[1]};
}

// Hides the keys from `first_key` on that a row does not see.
template <int kTiles>
__device__ void hide_unseen(float (&scores)[kTiles][4], const Seen (&seen)[2], int first_key) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int key = first_key + 8 * tile + 2 * (lane % 4) + i % 2;
      const Seen& row = seen[i / 2];
      if (key < row.first || key > row.last) scores[tile][i] = -INFINITY;
    }
  }
}

// Hides the keys from `first_key` on that are not in a query's path of the tree. `first_query`: of
// the tile, in its row.
template <int kTiles>
__device__ void hide_other_paths(float (&scores)[kTiles][4], const AttentionProblem& problem,
                                 const RowShape& shape, int first_query, int first_key) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int before = shape.position(0);  // keys before the step
  if (first_key + 8 * kTiles <= before) return;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int query = first_query + lane / 4 + 8 * half;
    if (query >= shape.tokens * problem.group) continue;
    const uint64_t path = seen_in_tree(problem, shape.first_token + query / problem.group);
#pragma unroll
    for (int i = 0; i < 2 * kTiles; ++i) {
      const int node = first_key + i / 2 * 8 + 2 * (lane % 4) + i % 2 - before;
      if (node >= 0 && (node >= 64 || (path >> node & 1) == 0)) {
        scores[i / 2][2 * half + i % 2] = -INFINITY;
      }
    }
  }
}

// What the scales of keys and values change, for the scores that a thread has: nothing, but in a
// cache of eight bits. There a value's scale goes into its score, so that weights are those of
// codes and keep to the range of f16 however small or large values are; in the sum of the weights
// it must not count.
template <class C, int kTiles>
struct ColumnScales {
  __device__ explicit ColumnScales(const uint32_t*) {}
  __device__ float of_key(int, int) const { return 1; }
  __device__ float in_score(int, int) const { return 0; }
  __device__ float in_sum(float weight, int, int) const { return weight; }
};

template <int kTiles>
struct ColumnScales<e4m3, kTiles> {
  KvScales columns[kTiles][2];

  // `scales`: of the keys of the first tile and on, in shared memory.
  __device__ explicit ColumnScales(const uint32_t* scales) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
      const uint2 two = *reinterpret_cast<const uint2*>(scales + 8 * tile + 2 * (lane % 4));
      columns[tile][0].pair = two.x;
      columns[tile][1].pair = two.y;
    }
  }
  __device__ float of_key(int tile, int column) const { return columns[tile][column].of_key(); }
  __device__ float in_score(int tile, int column) const {
    return columns[tile][column].log2_of_value();
  }
  __device__ float in_sum(float weight, int tile, int column) const {
    return weight * inverse_of_scale(columns[tile][column].of_value());
  }
};

// Turns products into scores.
template <class C, int kTiles>
__device__ void score(float (&products)[kTiles][4], const Scoring& scoring,
                      const ColumnScales<C, kTiles>& scales) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int column = 0; column < 2; ++column) {
      const float factor = scales.of_key(tile, column) * scoring.factor();
      const float of_value = scales.in_score(tile, column);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        float& value = products[tile][2 * half + column];
        value = scoring.capped() ? scoring.capped(value * factor) + of_value
                                 : fmaf(value, factor, of_value);
      }
    }
  }
}

// A row's reference moves only when a score passes it by more than this, which is rare after the
// first keys; f16 holds weights up to 2^15.
constexpr float kReferenceSlack = 8;

// Turns scores into weights. Each row decides for itself, so its bits do not depend on the others.
template <class C, int kTiles, int D>
__device__ void weigh(float (&scores)[kTiles][4], QueryRows<D>& rows,
                      const ColumnScales<C, kTiles>& scales) {
  float largest[2] = {-INFINITY, -INFINITY};
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) largest[i / 2] = fmaxf(largest[i / 2], scores[tile][i]);
  }
  bool moves[2] = {};
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    largest[half] = fmaxf(largest[half], __shfl_xor_sync(~0U, largest[half], 1));
    largest[half] = fmaxf(largest[half], __shfl_xor_sync(~0U, largest[half], 2));
    moves[half] = largest[half] > rows.reference[half] + kReferenceSlack;
  }
  if (__any_sync(~0U, moves[0] || moves[1])) {
    float factor[2] = {1, 1};
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      if (!moves[half]) continue;
      factor[half] = exp2_fast(rows.reference[half] - largest[half]);
      rows.reference[half] = largest[half];
      rows.sum[half] *= factor[half];
    }
#pragma unroll
    for (int tile = 0; tile < D / 8; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) rows.values[tile][i] *= factor[i / 2];
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    // A row that has seen no keys yet has only hidden ones here: 2^(-infinity - 0) is zero.
    const float reference = rows.reference[half] == -INFINITY ? 0 : rows.reference[half];
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int column = 0; column < 2; ++column) {
        float& weight = scores[tile][2 * half + column];
        weight = exp2_fast(weight - reference);
        rows.sum[half] += scales.in_sum(weight, tile, column);
      }
    }
  }
}

// The weights of 16 keys as the left side of a product.
template <class T>
__device__ void pack_weights(uint32_t (&to)[4], const float (&first)[4], const float (&second)[4]) {
  to[0] = pack<T>(first[0], first[1]);
  to[1] = pack<T>(first[2], first[3]);
  to[2] = pack<T>(second[0], second[1]);
  to[3] = pack<T>(second[2], second[3]);
}

// The sum of what the four threads of a row have.
__device__ inline float row_sum(float x) {
  x += __shfl_xor_sync(~0U, x, 1);
  return x + __shfl_xor_sync(~0U, x, 2);
}

// What brings a head's sum of weighed values to its output: one over the sum of the weights, a sink
// among them. Weights are relative to `reference`.
__device__ inline float output_factor(const AttentionProblem& problem, int head, float reference,
                                      float sum) {
  if (problem.sinks == nullptr) return 1 / sum;
  const float sink = problem.sinks[head] * kLog2E;
  const float common = fmaxf(reference, sink);
  const float factor = exp2_fast(reference - common);
  return factor / fmaf(sum, factor, exp2_fast(sink - common));
}

}  // namespace spate::cuda
