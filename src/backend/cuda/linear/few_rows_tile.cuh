// What a block of `few_rows` has, and how it ends a tile of outputs: alone, with its peer, or,
// where other blocks have pieces of the tile, by leaving its sums, which the last one to arrive
// adds up.
#pragma once

#include "backend/cuda/linear/few_rows_load.cuh"
#include "backend/cuda/linear/few_rows_products.cuh"
#include "backend/cuda/shares.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {

constexpr int kMultiplyingThreads = 128;  // a warpgroup
constexpr int kLeastTileOutputs = 32, kMostTileOutputs = 64;

template <Element kElement_, int kRows_>
struct FewRowsLayout {
  static constexpr Element kElement = kElement_;
  static constexpr int kRows = kRows_;
  static constexpr int kSlabs = kRows <= 16 ? 4 : 2;  // of a piece: 128 bytes of each output
  static constexpr int kXSlab = kRows * kSlabRowBytes;
  static constexpr int kThreads = kMultiplyingThreads + 64;
  static constexpr int kTiles = kRows / 8;                             // of 8 rows
  static constexpr int kRingBytes = (kRows <= 32 ? 216 : 208) * 1024;  // sums of a peer want some
  static constexpr int stage_bytes(int weight_slab) { return kSlabs * (weight_slab + kXSlab); }
  static constexpr int kMostStages = kRingBytes / stage_bytes(kLeastTileOutputs * kSlabRowBytes);
};

template <class Layout>
struct FewRowsShared : FewRowsRing<Layout> {
  float2 of_peer[Layout::kTiles][kMultiplyingThreads];
  Barrier peer_sent;
  uint32_t arrived;
};

template <class Layout>
using FewRowsSums = float[Layout::kTiles][4];

// Turns a thread's sums into results. It asks for scales and biases long before.
template <class Layout>
class SumWriter {
 public:
  // Behind wait_for_kernel_before().
  __device__ SumWriter(const FewRowsProblem& p, const FewRowsWork& work)
      : p_(p), of_tile_(work.outputs) {
    if constexpr (kScaled) {
#pragma unroll
      for (int i = 0; i < 2 * Layout::kTiles; ++i) {
        x_scales_[i] = row_of(i) < p.rows ? p.x_scales[row_of(i)] : 0;
      }
    }
  }

  __device__ void begin(int tile) {
    begin_ = int64_t{tile} * of_tile_;
    end_ = min(begin_ + of_tile_, p_.out);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t output = output_of(half);
      const bool there = output < end_;
      bias_[half] = there && p_.bias != nullptr ? p_.bias[output] : 0;
      if constexpr (kScaled) scales_[half] = there ? p_.weight_scales[output] : 0;
    }
  }

  __device__ void write(const FewRowsSums<Layout>& sums) const {
    write_half(sums, 0);
    write_half(sums, 1);
  }
  // The first 8 of each 16 outputs, or the others.
  __device__ void write_half(const FewRowsSums<Layout>& sums, int half) const {
    const int64_t output = output_of(half);
    if (output >= end_) return;
#pragma unroll
    for (int i = 0; i < 2 * Layout::kTiles; ++i) {
      const int row = row_of(i);
      if (row >= p_.rows) continue;
      float sum = sums[i / 2][2 * half + i % 2];
      if constexpr (kScaled) sum *= scales_[half] * x_scales_[i];
      sum += bias_[half];
      if (p_.to_f32) {
        static_cast<float*>(p_.to)[row * p_.to_stride + output] = sum;
      } else {
        static_cast<bf16*>(p_.to)[row * p_.to_stride + output] = from_float<bf16>(sum);
      }
    }
  }

 private:
  static constexpr bool kScaled = Layout::kElement == Element::e4m3;
  __device__ static int row_of(int i) {
    return i / 2 * 8 + static_cast<int>(threadIdx.x) % 4 * 2 + i % 2;
  }
  __device__ int64_t output_of(int half) const {
    const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
    return begin_ + 16 * warp + 8 * half + lane / 4;
  }

  const FewRowsProblem& p_;
  int of_tile_;
  int64_t begin_ = 0, end_ = 0;  // outputs of the tile
  float bias_[2], scales_[2];
  float x_scales_[2 * Layout::kTiles];
};

// Of the threads that multiply, without the loading warp.
constexpr int kMultiplyingBarrier = 1;

// Brings a tile to its end that two peers have, half of the inputs each: one writes the first 8 of
// each 16 outputs, the other those behind. Once a kernel.
template <class Layout>
__device__ void finish_with_peer(FewRowsShared<Layout>& shared, const SumWriter<Layout>& writer,
                                 FewRowsSums<Layout>& sums) {
  const int thread = static_cast<int>(threadIdx.x), rank = cluster_rank();
  if (thread == 0) arrive_announcing(&shared.peer_sent, sizeof(shared.of_peer));
  wait_for_cluster();  // the peer's barriers are there
#pragma unroll
  for (int i = 0; i < Layout::kTiles; ++i) {
    const float2 sent = rank == 0 ? float2{sums[i][2], sums[i][3]} : float2{sums[i][0], sums[i][1]};
    store_in_block(&shared.of_peer[i][thread], sent, &shared.peer_sent, 1 - rank);
  }
  wait_for_phase(&shared.peer_sent, 0);
#pragma unroll
  for (int i = 0; i < Layout::kTiles; ++i) {
    const float2 received = shared.of_peer[i][thread];
#pragma unroll
    for (int half = 0; half < 2; ++half) {  // of which one is written
      sums[i][2 * half] += received.x;
      sums[i][2 * half + 1] += received.y;
    }
  }
  if (rank == 0) {
    writer.write_half(sums, 0);
  } else {
    writer.write_half(sums, 1);
  }
}

// Brings the block's part of a tile to its end.
template <class Layout>
__device__ void finish_tile(FewRowsShared<Layout>& shared, const SumWriter<Layout>& writer,
                            const FewRowsWork& work, const Shares& shares, int tile,
                            FewRowsSums<Layout>& sums) {
  const int thread = static_cast<int>(threadIdx.x);
  const int first = shares.block_of(tile * work.pieces);
  const int last = shares.block_of((tile + 1) * work.pieces - 1);
  if (first == last) return writer.write(sums);

  // Of a block, the first tile may have begun in another one, and the last may go on in another.
  const auto left = [&](int block) {
    return work.left +
           (2 * int64_t{block} + (block == first ? 1 : 0)) * Layout::kTiles * kMultiplyingThreads +
           thread;
  };
  float4* own = left(static_cast<int>(blockIdx.x));
#pragma unroll
  for (int i = 0; i < Layout::kTiles; ++i) {
    __stcg(own + i * kMultiplyingThreads,
           make_float4(sums[i][0], sums[i][1], sums[i][2], sums[i][3]));
  }
  __threadfence();
  sync_warpgroup(kMultiplyingBarrier);
  if (thread == 0) shared.arrived = atomicAdd(work.counters + tile, 1);
  sync_warpgroup(kMultiplyingBarrier);
  if (shared.arrived != static_cast<uint32_t>(last - first)) return;
  __threadfence();
  if (thread == 0) work.counters[tile] = 0;
  FewRowsSums<Layout> all{};
  constexpr int kAtOnce = Layout::kTiles <= 2 ? 4 : 2;
  for (int begin = first; begin <= last; begin += kAtOnce) {
    float4 parts[kAtOnce][Layout::kTiles];
#pragma unroll
    for (int part = 0; part < kAtOnce; ++part) {
      const bool there = begin + part <= last;
#pragma unroll
      for (int i = 0; i < Layout::kTiles; ++i) {
        parts[part][i] =
            there ? __ldcg(left(begin + part) + i * kMultiplyingThreads) : float4{0, 0, 0, 0};
      }
    }
#pragma unroll
    for (int part = 0; part < kAtOnce; ++part) {
#pragma unroll
      for (int i = 0; i < Layout::kTiles; ++i) {
        all[i][0] += parts[part][i].x;
        all[i][1] += parts[part][i].y;
        all[i][2] += parts[part][i].z;
        all[i][3] += parts[part][i].w;
      }
    }
  }
  writer.write(all);
}

}  // namespace spate::cuda
