// Rounding a row to e4m3: what the kernels share that end with it.
#pragma once

#include <algorithm>

#include "backend/cuda/e4m3.cuh"
#include "backend/cuda/kept_pack.cuh"
#include "backend/cuda/linear/f8.h"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {

constexpr int kRoundedPack = 8;  // elements of a thread that lie together
constexpr int kRoundedKept = 2;  // packs that a thread keeps in registers
constexpr int kMostRoundingThreads = 1024;

// Threads of a block that rounds a row, and whether they keep the whole row.
inline unsigned rounding_threads(int64_t width) {
  const int64_t packs = f8_stride(width) / (kRoundedPack * kRoundedKept);
  return static_cast<unsigned>(
      std::clamp<int64_t>((packs + kWarp - 1) / kWarp * kWarp, kWarp, kMostRoundingThreads));
}
inline bool rounding_keeps(int64_t width) {
  return f8_stride(width) <= kRoundedPack * kRoundedKept * kMostRoundingThreads;
}

using RoundedPack = float[kRoundedPack];

// The largest of all threads' values; a block calls it once.
__device__ inline float block_max(float value) {
  __shared__ float of_warp[kMostRoundingThreads / kWarp];
  const unsigned lane = threadIdx.x % kWarp;
  value = warp_max(value);
  if (lane == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  return warp_max(lane < blockDim.x / kWarp ? of_warp[lane] : 0);
}

// The row's scale from its largest element; and the row's codes.
class RowRounder {
 public:
  __device__ RowRounder(const F8Rows& to, int64_t row, float largest)
      : codes_(to.codes + row * to.row_bytes), stride_(f8_stride(to.width)) {
    constexpr float kLargest = 448;  // of e4m3
    const float scale = largest > 0 ? largest / kLargest : 1;
    factor_ = 1 / scale;
    if (threadIdx.x == 0) to.scales[row] = scale;
  }
  // Elements from `begin` on, with zeros behind the row.
  __device__ void store(int64_t begin, const RoundedPack& values) const {
    if (begin >= stride_) return;
    RoundedPack scaled;
#pragma unroll
    for (int i = 0; i < kRoundedPack; ++i) scaled[i] = values[i] * factor_;
    *reinterpret_cast<uint2*>(codes_ + begin) = {four_codes(scaled), four_codes(scaled + 4)};
  }

 private:
  uint8_t* codes_;
  int64_t stride_;
  float factor_;
};

// Rounds a row of which the block's threads keep packs: pack k of a thread begins at element
// (k * blockDim.x + threadIdx.x) * kRoundedPack. Behind the row are zeros. `largest`: of what a
// thread has besides, which the rounder that comes back then rounds.
template <class T>
__device__ RowRounder round_kept(const F8Rows& to, int64_t row,
                                 const KeptPack<T, kRoundedPack> (&kept)[kRoundedKept],
                                 float largest = 0) {
#pragma unroll
  for (const auto& pack : kept) largest = fmaxf(largest, pack.largest());
  const RowRounder rounder(to, row, block_max(largest));
#pragma unroll
  for (int k = 0; k < kRoundedKept; ++k) {
    RoundedPack values;
    kept[k].take(values);
    rounder.store((int64_t{k} * blockDim.x + threadIdx.x) * kRoundedPack, values);
  }
  return rounder;
}

}  // namespace spate::cuda
