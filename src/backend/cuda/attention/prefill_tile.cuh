// The keys that a warp of the `prefill` kernel brings to shared memory, with their values, and how
// they are read there.
#pragma once

#include "backend/cuda/attention/tile.cuh"

namespace spate::cuda {

// The 16 keys of a tile that one warp loads, with their values. Rows are an odd number of 16-byte
// vectors apart, so that eight of them meet all banks.
template <class T, int D>
struct WarpKeys {
  static constexpr int kKeys = kTileKeys / kTileWarps;
  static constexpr int kPitch = D + 8;
  alignas(16) T keys[kKeys * kPitch];
  alignas(16) T values[kKeys * kPitch];
};

// One key/value head.
template <class T>
struct KvHead {
  const T *keys, *values;
  int64_t key_stride, value_stride;

  __device__ KvHead(const AttentionProblem& problem, int head)
      : keys(static_cast<const T*>(problem.keys) + int64_t{head} * problem.width),
        values(static_cast<const T*>(problem.values) + int64_t{head} * problem.width),
        key_stride(problem.key_stride),
        value_stride(problem.value_stride) {}
};

// Starts to copy the keys of a warp: lane n (and n + 16) knows the slot of the n-th, or -1 for one
// that is to be zeros.
template <class T, int D>
__device__ void load_keys(WarpKeys<T, D>& to, const KvHead<T>& from, int slot) {
  constexpr int kVectors = D / 8;  // of a row
  constexpr bool kWholeLines = D * sizeof(T) % 256 == 0;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < WarpKeys<T, D>::kKeys * kVectors / 32; ++i) {
    const int key = (32 * i + lane) / kVectors, column = (32 * i + lane) % kVectors * 8;
    const int of_key = __shfl_sync(~0U, slot, key);
    const int64_t row = max(of_key, 0);
    const int place = key * WarpKeys<T, D>::kPitch + column;
    copy_16_async<kWholeLines>(to.keys + place, from.keys + row * from.key_stride + column,
                               of_key >= 0);
    copy_16_async<kWholeLines>(to.values + place, from.values + row * from.value_stride + column,
                               of_key >= 0);
  }
}

// The pairs (b0, b1) of 16 keys and 16 of their columns: [0], [1] for keys 0 to 7, [2], [3] for the
// others.
template <class T, int D>
__device__ void load_key_matrices(uint32_t (&to)[4], const WarpKeys<T, D>& from, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int key = lane / 16 * 8 + lane % 8;
  load_matrices(to, from.keys + key * WarpKeys<T, D>::kPitch + column + lane / 8 % 2 * 8);
}

// The pairs of 16 keys and 16 columns of their values: [0], [1] for columns 0 to 7.
template <class T, int D>
__device__ void load_value_matrices(uint32_t (&to)[4], const WarpKeys<T, D>& from, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int key = lane / 8 % 2 * 8 + lane % 8;
  load_matrices_transposed(to, from.values + key * WarpKeys<T, D>::kPitch + column + lane / 16 * 8);
}

}  // namespace spate::cuda
