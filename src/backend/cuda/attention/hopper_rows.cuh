// The softmax of the `hopper` kernel, for the two rows of a product's result that a thread has
// parts of: from products with the keys of a tile to weights.
#pragma once

#include "backend/cuda/attention/hopper_load.cuh"
#include "backend/cuda/attention/tile.cuh"

namespace spate::cuda {

// What brings a product to a score, in powers of two: factor * product, or with a soft cap factor *
// capped(product).
struct HopperScale {
  float factor;
  float cap, of_cap;  // capped(x) = cap - 2 * cap / (2^(of_cap * x) + 1); cap 0: none

  __device__ explicit HopperScale(const AttentionProblem& problem)
      : factor(problem.soft_cap > 0 ? kLog2E : kLog2E * problem.scale),
        cap(problem.soft_cap),
        of_cap(problem.soft_cap > 0 ? 2 * kLog2E * problem.scale / problem.soft_cap : 0) {}
};

// The softmax of a thread's two rows of a warpgroup's queries, as far as keys have come.
struct HopperRows {
  int first[2], last[2];                        // positions that are seen
  float reference[2] = {-INFINITY, -INFINITY};  // weights are 2^(score - reference)
  float sum[2] = {};                            // of the weights of this thread's columns

  // `query` is the one of the first row in the item.
  __device__ HopperRows(const AttentionProblem& problem, const HopperItem& item, int query) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      last[half] = item.position + item.step * ((query + 8 * half) / problem.group);
      first[half] = first_seen(problem, last[half]);
    }
  }

  // Hides what the rows do not see of the keys from `first_key` on.
  template <int kTiles>
  __device__ void hide(float (&scores)[kTiles][4], int first_key, bool windowed) const {
    const int key = first_key + 2 * (static_cast<int>(threadIdx.x) % 4);  // of the first column
    const int end[2] = {last[0] - key, last[1] - key};
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (8 * tile + i % 2 > end[i / 2]) scores[tile][i] = -INFINITY;
      }
    }
    if (!windowed) return;
    const int begin[2] = {first[0] - key, first[1] - key};
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (8 * tile + i % 2 < begin[i / 2]) scores[tile][i] = -INFINITY;
      }
    }
  }

  // Turns products into weights. A row's reference moves only when a score passes it by more than
  // 2^kSlack, which is rare after the first keys. Answers whether one of the warp's rows moved;
  // `correction` is what then brings the sums of weighed values to the new references.
  template <int kTiles>
  __device__ bool weigh(float (&scores)[kTiles][4], float factor, float (&correction)[2]) {
    constexpr float kSlack = 8;
    float largest[4] = {scores[0][0], scores[0][1], scores[0][2], scores[0][3]};
#pragma unroll
    for (int tile = 1; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) largest[i] = fmaxf(largest[i], scores[tile][i]);
    }
    bool moves[2];
    float shift[2];
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float most = fmaxf(largest[2 * half], largest[2 * half + 1]);
      most = fmaxf(most, __shfl_xor_sync(~0U, most, 1));
      most = fmaxf(most, __shfl_xor_sync(~0U, most, 2)) * factor;
      moves[half] = most > reference[half] + kSlack;
      correction[half] = moves[half] ? exp2_fast(reference[half] - most) : 1;
      reference[half] = moves[half] ? most : reference[half];
      sum[half] *= correction[half];
      // A row that has seen no keys yet has only hidden ones here: 2^(-infinity - 0) is zero.
      shift[half] = reference[half] == -INFINITY ? 0 : reference[half];
    }
    float sums[4] = {};
#pragma unroll
    for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        scores[tile][i] = exp2_fast(fmaf(scores[tile][i], factor, -shift[i / 2]));
        sums[i] += scores[tile][i];
      }
    }
    sum[0] += sums[0] + sums[1];
    sum[1] += sums[2] + sums[3];
    return __any_sync(~0U, moves[0] || moves[1]);
  }
};

template <int kTiles>
__device__ void cap_scores(float (&scores)[kTiles][4], const HopperScale& scale) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {  // tanh(x) = 1 - 2 / (exp(2 x) + 1)
      scores[tile][i] =
          scale.cap - 2 * scale.cap * __fdividef(1, exp2_fast(scores[tile][i] * scale.of_cap) + 1);
    }
  }
}

// Of tiles n to n + 3 of a row the thread has two neighbouring columns, as have the three others of
// the row; afterwards it has the eight of tile n + lane % 4.
__device__ inline void gather_columns(uint32_t (&pairs)[4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int distance = 1; distance <= 2; distance *= 2) {
    const bool upper = (lane & distance) != 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if ((i & distance) != 0) continue;
      const uint32_t sent = upper ? pairs[i] : pairs[i + distance];
      const uint32_t theirs = __shfl_xor_sync(~0U, sent, distance);
      pairs[i] = upper ? theirs : pairs[i];
      pairs[i + distance] = upper ? pairs[i + distance] : theirs;
    }
  }
}

// Brings the sums of the thread's two rows to other references.
template <int kParts, int kTiles>
__device__ void rescale(float (&sums)[kParts][kTiles][4], const float (&correction)[2]) {
#pragma unroll
  for (auto& part : sums) {
#pragma unroll
    for (auto& tile : part) {
#pragma unroll
      for (int i = 0; i < 4; ++i) tile[i] *= correction[i / 2];
    }
  }
}

// Writes the columns of one of the thread's two rows, times a factor, where the row exists.
template <int kTiles>
__device__ void write_columns(bf16* out, const float (&tiles)[kTiles][4], int half, float factor,
                              bool there) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int tile = 0; tile + 4 <= kTiles; tile += 4) {
    uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float* pair = tiles[tile + i] + 2 * half;
      pairs[i] = pack<bf16>(pair[0] * factor, pair[1] * factor);
    }
    gather_columns(pairs);
    if (there) {
      *reinterpret_cast<uint4*>(out + 8 * (tile + lane % 4)) = {pairs[0], pairs[1], pairs[2],
                                                                pairs[3]};
    }
  }
#pragma unroll
  for (int tile = kTiles / 4 * 4; tile < kTiles; ++tile) {
    const float* pair = tiles[tile] + 2 * half;
    if (there) {
      *reinterpret_cast<uint32_t*>(out + 8 * tile + 2 * (lane % 4)) =
          pack<bf16>(pair[0] * factor, pair[1] * factor);
    }
  }
}

}  // namespace spate::cuda
