// A chunk of 64 tokens of one head on Hopper's matrix products, for the `chunked` kernels. With w =
// e^-slope, S the state before the chunk and i, j tokens of it:
//
//   out[i] = scale * (w^(i + 1) * q[i] S + sum over j <= i of w^(i - j) * (q[i] . k[j]) * v[j])
//   S' = w^n * S + sum over j of w^(n - 1 - j) * k[j]^T v[j]        n: its tokens
//
// No power of w is larger than 1. Products are of bf16 with sums in f32. States, and keys times a
// power of w, are two bf16 each, high and low, that hold 16 bits together; scores times a power of
// w are rounded to one.
//
// A block has a warpgroup for each 64 columns of a head. It has 64 tokens and its columns of the
// results, and 64 rows and all columns of what is added to the state.
#pragma once

#include "backend/cuda/hopper.cuh"
#include "backend/cuda/linear_attention/problem.h"

namespace spate::cuda {

constexpr int kChunk = 64;

// Tiles of tokens, and states [D, D], lie in shared memory as slabs of 64 columns.
template <int D>
struct ChunkLayout {
  static constexpr int kSlabs = D / kSlabColumns, kThreads = 128 * kSlabs;
  static constexpr int kTileSlab = kChunk * kSlabRowBytes, kTile = kSlabs * kTileSlab;
  static constexpr int kStateSlab = D * kSlabRowBytes, kState = kSlabs * kStateSlab;
};

// Where in a warpgroup, and in results of its products, a thread is.
struct Spot {
  int group, lane, row;  // of the first of its two rows; the other is 8 further on
  __device__ Spot()
      : group(static_cast<int>(threadIdx.x) / 128),
        lane(static_cast<int>(threadIdx.x) % 32),
        row(static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4) {}
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
  __device__ SplitPair(uint32_t high, uint32_t low) : high(high), low(low) {}
  __device__ float2 floats() const {
    const float2 a = unpack(high);
    const float2 b = unpack(low);
    return {a.x + b.x, a.y + b.y};
  }
};

// Starts to copy the head's elements of `count` tokens from `token` on to a tile, zeros behind
// them.
template <int D>
__device__ void copy_tile(unsigned char* tile, const void* from, int64_t stride, int64_t token,
                          int count, int head) {
  using Layout = ChunkLayout<D>;
  const auto* first = static_cast<const bf16*>(from) + token * stride + head * D;
#pragma unroll
  for (int i = 0; i < kChunk * D / 8 / Layout::kThreads; ++i) {
    const int vector = static_cast<int>(threadIdx.x) + i * Layout::kThreads;
    const int row = vector / (D / 8), of_row = vector % (D / 8);
    const bool there = row < count;
    copy_16_async<false>(tile + of_row / 8 * Layout::kTileSlab + slab_place(row, of_row % 8),
                         there ? first + row * stride + 8 * of_row : first, there);
  }
}

// sums[D / 8] = sum of w^(count - 1 - j) * k[j]^T v[j], or += where `add`: the group's 64 rows of
// the state. `slope` is log2(1 / w).
template <int D>
__device__ void multiply_keys(float (&sums)[D / 8][4], const unsigned char* k,
                              const unsigned char* v, int count, float slope, bool add) {
  using Layout = ChunkLayout<D>;
  const Spot spot;
  // Matrices of 8 tokens x 8 columns, transposed: tokens lane % 8 and 8 on for the upper half of
  // lanes, columns of the warp and 8 on.
  const int warp = static_cast<int>(threadIdx.x) % 128 / 32;
  const int token = spot.lane / 16 * 8 + spot.lane % 8, vector = 2 * warp + spot.lane / 8 % 2;
  const unsigned char* at = k + spot.group * Layout::kTileSlab;
  const uint64_t values = operand_at(shared_address(v), Layout::kTileSlab);
  uint32_t high[kChunk / 16][4], low[kChunk / 16][4];
#pragma unroll
  for (int step = 0; step < kChunk / 16; ++step) {
    uint32_t keys[4];
    load_matrices_transposed(keys, at + slab_place(16 * step + token, vector));
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // of the tokens of the step
      float weight[2];
#pragma unroll
      for (int i = 0; i < 2; ++i) {
        const int after = count - 1 - (16 * step + 8 * half + 2 * (spot.lane % 4) + i);
        weight[i] = exp2_fast(-slope * static_cast<float>(max(after, 0)));
      }
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        const float2 pair = unpack(keys[i]);
        const SplitPair split(pair.x * weight[0], pair.y * weight[1]);
        high[step][i] = split.high;
        low[step][i] = split.low;
      }
    }
  }
  begin_products();
#pragma unroll
  for (int step = 0; step < kChunk / 16; ++step) {
    const uint64_t of_step = operand_behind(values, 16 * step * kSlabRowBytes);
    multiply_registers<Along::columns, D>(sums, high[step], of_step, add || step > 0);
    multiply_registers<Along::columns, D>(sums, low[step], of_step, true);
  }
  end_product_group();
  wait_for_products<0>(sums);
}

// The group's columns of the results, [kChunk, 64], without `scale`. `state` has the high parts and
// behind them the low ones.
template <int D>
__device__ void attend_chunk(float (&sums)[8][4], const unsigned char* q, const unsigned char* k,
                             const unsigned char* v, const unsigned char* state, float slope) {
  using Layout = ChunkLayout<D>;
  const Spot spot;
  const uint64_t queries = operand_at(shared_address(q), 0),
                 keys = operand_at(shared_address(k), 0);
  const uint64_t before =
      operand_at(shared_address(state) + spot.group * Layout::kStateSlab, Layout::kStateSlab);
  const uint64_t values =
      operand_at(shared_address(v) + spot.group * Layout::kTileSlab, Layout::kTileSlab);
  float scores[kChunk / 8][4];
  const auto along = [](int step) { return step / 4 * Layout::kTileSlab + step % 4 * 32; };
  begin_products();
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    multiply_shared<kChunk>(scores, operand_behind(queries, along(step)),
                            operand_behind(keys, along(step)), step > 0);
  }
  end_product_group();
#pragma unroll
  for (int step = 0; step < D / 16; ++step) {
    const uint64_t high = operand_behind(before, 16 * step * kSlabRowBytes);
    multiply_shared_down(sums, operand_behind(queries, along(step)), high, step > 0);
    multiply_shared_down(sums, operand_behind(queries, along(step)),
                         operand_behind(high, Layout::kState), true);
  }
  end_product_group();
  wait_for_products<1>(scores);
  uint32_t weights[kChunk / 16][4];
#pragma unroll
  for (int tile = 0; tile < kChunk / 8; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int distance = spot.row + i / 2 * 8 - (8 * tile + 2 * (spot.lane % 4) + i % 2);
      const float weight = exp2_fast(-slope * static_cast<float>(max(distance, 0)));
      scores[tile][i] = distance < 0 ? 0 : scores[tile][i] * weight;
    }
    weights[tile / 2][tile % 2 * 2] = pack<bf16>(scores[tile][0], scores[tile][1]);
    weights[tile / 2][tile % 2 * 2 + 1] = pack<bf16>(scores[tile][2], scores[tile][3]);
  }
  wait_for_products<0>(sums);
  const float decay[2] = {exp2_fast(-slope * static_cast<float>(spot.row + 1)),
                          exp2_fast(-slope * static_cast<float>(spot.row + 9))};
#pragma unroll
  for (auto& tile : sums) {
#pragma unroll
    for (int i = 0; i < 4; ++i) tile[i] *= decay[i / 2];
  }
  begin_products();
#pragma unroll
  for (int step = 0; step < kChunk / 16; ++step) {
    multiply_registers<Along::columns, 64>(sums, weights[step],
                                           operand_behind(values, 16 * step * kSlabRowBytes), true);
  }
  end_product_group();
  wait_for_products<0>(sums);
}

// state = w^kChunk * state + sums: the group's 64 rows.
template <int D>
__device__ void add_to_state(unsigned char* state, const float (&sums)[D / 8][4], float slope) {
  using Layout = ChunkLayout<D>;
  const Spot spot;
  const float decay = exp2_fast(-slope * kChunk);
#pragma unroll
  for (int tile = 0; tile < D / 8; ++tile) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      unsigned char* place = state + tile / 8 * Layout::kStateSlab +
                             slab_place(64 * spot.group + spot.row + 8 * half, tile % 8) +
                             spot.lane % 4 * 4;
      auto* high = reinterpret_cast<uint32_t*>(place);
      auto* low = reinterpret_cast<uint32_t*>(place + Layout::kState);
      const float2 before = SplitPair(*high, *low).floats();
      const SplitPair after(fmaf(decay, before.x, sums[tile][2 * half]),
                            fmaf(decay, before.y, sums[tile][2 * half + 1]));
      *high = after.high;
      *low = after.low;
    }
  }
}

}  // namespace spate::cuda
