// A chunk of 64 tokens of one head on Hopper's matrix products, for the `chunked` kernels. With w =
// e^-slope, S the state before the chunk and i, j tokens of it:
//
//   out[i] = scale * (w^(i + 1) * q[i] S + sum over j <= i of w^(i - j) * (q[i] . k[j]) * v[j])
//   S' = w^n * S + sum over j of w^(n - 1 - j) * k[j]^T v[j]        n: its tokens
//
// No power of w is larger than 1. Products are of bf16 with sums in f32. States, and values times a
// power of w, are multiplied as two bf16 each, high and low, that hold 16 bits together; scores
// times a power of w are rounded to one.
//
// A block is a warpgroup and has 64 of a head's columns of values. Its part of the state stays in
// registers, turned: [64 columns, keys], so that it is the left side of products as it is.
#pragma once

#include "backend/cuda/linear_attention/problem.h"
#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {

constexpr int kChunk = 64;
constexpr int kChunkThreads = 128;
constexpr int kChunkColumns = kSlabColumns;  // of a block
constexpr int kTileSlab = kChunk * kSlabRowBytes;
template <int D>
constexpr int kTile = D / kSlabColumns* kTileSlab;  // of tokens

// Sums of a block's products: [64 columns, N], N / 8 tiles of a thread.
template <int N>
using ChunkSums = float[N / 8][4];

// Where in results of products a thread is.
struct Spot {
  int warp, lane, row;  // of the first of its two rows; the other is 8 further on
  __device__ Spot()
      : warp(static_cast<int>(threadIdx.x) / 32),
        lane(static_cast<int>(threadIdx.x) % 32),
        row(warp * 16 + lane / 4) {}
};

// Vector `vector` of 16 bytes in a row of a slab.
__device__ inline int slab_place(int row, int vector) {
  return row * kSlabRowBytes + (vector ^ row % 8) * 16;
}

// Two floats as two pairs of bf16.
struct SplitPair {
  uint32_t high, low;
  __device__ SplitPair(float first, float second) : high(pack<bf16>(first, second)) {
    const float2 rounded = unpack(high);
    low = pack<bf16>(first - rounded.x, second - rounded.y);
  }
};

// Powers of w in shared memory: what would be w^n for n < 0 is 0.
class Powers {
 public:
  // For a whole block; a barrier must follow. `slope` is log2(1 / w).
  __device__ void fill(float slope) {
    const int thread = static_cast<int>(threadIdx.x);
    of_[thread] = thread < kChunk ? 0 : exp2_fast(-slope * static_cast<float>(thread - kChunk));
    if (thread == 0) of_[2 * kChunk] = exp2_fast(-slope * static_cast<float>(kChunk));
  }
  // -kChunk <= n <= kChunk
  __device__ float operator[](int n) const { return of_[kChunk + n]; }

 private:
  static_assert(kChunkThreads == 2 * kChunk);
  float of_[2 * kChunk + 1];
};

// Starts to copy kColumns elements of `count` tokens from `from` on to slabs, zeros behind them.
template <int kColumns>
__device__ void copy_tile(unsigned char* tile, const bf16* from, int64_t stride, int count) {
  constexpr int kVectors = kColumns / 8, kRows = kChunkThreads / kVectors;  // of a step
  static_assert(kRows % 8 == 0);
  const int row = static_cast<int>(threadIdx.x) / kVectors;
  const int vector = static_cast<int>(threadIdx.x) % kVectors;
  tile += vector / 8 * kTileSlab + slab_place(row, vector % 8);
  from += row * stride + 8 * vector;
#pragma unroll
  for (int i = 0; i < kChunk / kRows; ++i) {
    copy_16_async<false>(tile + i * kRows * kSlabRowBytes, from, row + i * kRows < count);
    from += kRows * stride;
  }
}

// The block's values as the left side of products: [64 columns, tokens], 16 tokens a step.
using TurnedValues = uint32_t[kChunk / 16][4];

__device__ inline void load_values(TurnedValues& to, const unsigned char* v) {
  const Spot spot;
  // Matrices of 8 tokens x 8 columns, transposed: tokens lane % 8 and 8 on for the upper half of
  // lanes, columns of the warp and 8 on.
  const int token = spot.lane / 16 * 8 + spot.lane % 8, vector = 2 * spot.warp + spot.lane / 8 % 2;
#pragma unroll
  for (int step = 0; step < kChunk / 16; ++step) {
    load_matrices_transposed(to[step], v + slab_place(16 * step + token, vector));
  }
}

// state = w^count * state + sum of w^(count - 1 - j) * v[j]^T k[j], without the first where the
// state is to begin: starts the products as a group.
template <int D>
__device__ void add_chunk(ChunkSums<D>& state, const TurnedValues& values, const unsigned char* k,
                          int count, const Powers& powers, bool begins) {
  const int last = count - 1 - 2 * (Spot().lane % 4);
  uint32_t high[kChunk / 16][4], low[kChunk / 16][4];
#pragma unroll
  for (int step = 0; step < kChunk / 16; ++step) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // of the tokens of the step
      const int after = last - (16 * step + 8 * half);
      const float weight[2] = {powers[after], powers[after - 1]};
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        const float2 pair = unpack(values[step][i]);
        const SplitPair split(pair.x * weight[0], pair.y * weight[1]);
        high[step][i] = split.high;
        low[step][i] = split.low;
      }
    }
  }
  if (!begins) {
    const float decay = powers[count];
#pragma unroll
    for (auto& tile : state) {
#pragma unroll
      for (float& element : tile) element *= decay;
    }
  }
  const uint64_t keys = operand_at(shared_address(k), kTileSlab);
  begin_products();
#pragma unroll
  for (int step = 0; step < kChunk / 16; ++step) {
    const uint64_t of_step = operand_behind(keys, 16 * step * kSlabRowBytes);
    multiply_registers<Along::columns, D>(state, high[step], of_step, !begins || step > 0);
    multiply_registers<Along::columns, D>(state, low[step], of_step, true);
  }
  end_product_group();
}

// Where 16 of the inner dimension of a tile begin.
__device__ inline uint64_t tile_step(uint64_t tile, int step) {
  return operand_behind(tile, step / 4 * kTileSlab + step % 4 * 32);
}

// A block's part of the state as the left side of products.
template <int D>
struct SplitState {
  uint32_t high[D / 16][4], low[D / 16][4];

  __device__ explicit SplitState(const ChunkSums<D>& state) {
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const auto& tile = state[2 * step + i / 2];
        const SplitPair split(tile[i % 2 * 2], tile[i % 2 * 2 + 1]);
        high[step][i] = split.high;
        low[step][i] = split.low;
      }
    }
  }
};

// Starts results = q state, turned, as a group.
template <int D>
__device__ void multiply_state(ChunkSums<kChunk>& results, const SplitState<D>& state,
                               const unsigned char* q) {
  const uint64_t queries = operand_at(shared_address(q), 0);
  begin_products();
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    const uint64_t of_step = tile_step(queries, step);
    multiply_registers<Along::rows, kChunk>(results, state.high[step], of_step, step > 0);
    multiply_registers<Along::rows, kChunk>(results, state.low[step], of_step, true);
  }
  end_product_group();
}

// Starts scores = q k^T as a group: [tokens, tokens].
template <int D>
__device__ void multiply_queries(ChunkSums<kChunk>& scores, const unsigned char* q,
                                 const unsigned char* k) {
  const uint64_t queries = operand_at(shared_address(q), 0),
                 keys = operand_at(shared_address(k), 0);
  begin_products();
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    multiply_shared<kChunk>(scores, tile_step(queries, step), tile_step(keys, step), step > 0);
  }
  end_product_group();
}

// Stores scores[i, j] * w^(i - j) as a slab of rows i, zeros where j is behind i.
__device__ inline void store_scores(unsigned char* slab, const ChunkSums<kChunk>& scores,
                                    const Powers& powers) {
  const Spot spot;
  const int first = spot.row - 2 * (spot.lane % 4);
#pragma unroll
  for (int pair = 0; pair < kChunk / 16; ++pair) {  // of tiles
    uint32_t weighted[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int distance = first + i % 2 * 8 - 8 * (2 * pair + i / 2);
      const auto& tile = scores[2 * pair + i / 2];
      weighted[i] = pack<bf16>(tile[i % 2 * 2] * powers[distance],
                               tile[i % 2 * 2 + 1] * powers[distance - 1]);
    }
    const int row = 16 * spot.warp + spot.lane / 8 % 2 * 8 + spot.lane % 8;
    store_matrices(slab + slab_place(row, 2 * pair + spot.lane / 16), weighted);
  }
}

// Starts results = w^(i + 1) * results + values * scores, as a group.
__device__ inline void multiply_values(ChunkSums<kChunk>& results, const TurnedValues& values,
                                       const unsigned char* scores, const Powers& powers) {
  const int first = 2 * (Spot().lane % 4) + 1;
#pragma unroll
  for (int tile = 0; tile < kChunk / 8; ++tile) {
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float decay = powers[first + 8 * tile + i];
      results[tile][i] *= decay;
      results[tile][2 + i] *= decay;
    }
  }
  const uint64_t weights = operand_at(shared_address(scores), 0);
  begin_products();
#pragma unroll
  for (int step = 0; step < kChunk / 16; ++step) {
    multiply_registers<Along::rows, kChunk>(results, values[step],
                                            operand_behind(weights, 32 * step), true);
  }
  end_product_group();
}

// Stores results times `scale` as a slab of tokens.
__device__ inline void store_results(unsigned char* slab, const ChunkSums<kChunk>& results,
                                     float scale) {
  const Spot spot;
#pragma unroll
  for (int pair = 0; pair < kChunk / 16; ++pair) {  // of tiles
    uint32_t packed[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const auto& tile = results[2 * pair + i / 2];
      packed[i] = pack<bf16>(tile[i % 2 * 2] * scale, tile[i % 2 * 2 + 1] * scale);
    }
    const int token = 16 * pair + spot.lane / 16 * 8 + spot.lane % 8;
    store_matrices_transposed(slab + slab_place(token, 2 * spot.warp + spot.lane / 8 % 2), packed);
  }
}

}  // namespace spate::cuda
