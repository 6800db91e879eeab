// The keys that a warp of the `prefill` kernel brings to shared memory, with their values, and how
// they are multiplied with from there. C is the type of the cache.
#pragma once

#include "backend/cuda/attention/tile.cuh"

namespace spate::cuda {

// The 16 keys of a tile that one warp loads, with their values. Rows are an odd number of 16-byte
// vectors apart, so that eight of them meet all banks.
template <class C, int D>
struct WarpKeys {
  static constexpr int kKeys = kTileKeys / kTileWarps;
  static constexpr int kVectorColumns = 16 / static_cast<int>(sizeof(C));
  static constexpr int kVectors = D / kVectorColumns;  // of a row
  static constexpr int kPitch = (kVectors / 2 * 2 + 1) * kVectorColumns;
  alignas(16) C keys[kKeys * kPitch];
  alignas(16) C values[kKeys * kPitch];
};

// One key/value head.
template <class C>
struct KvHead {
  const C *keys, *values;
  int64_t key_stride, value_stride;
  const uint32_t* scales;

  __device__ KvHead(const AttentionProblem& problem, int head)
      : keys(static_cast<const C*>(problem.keys) + int64_t{head} * problem.width),
        values(static_cast<const C*>(problem.values) + int64_t{head} * problem.width),
        key_stride(problem.key_stride),
        value_stride(problem.value_stride),
        scales(problem.scales + int64_t{head} * problem.slots) {}
};

// Starts to copy the keys of a warp, with their scales where the cache has them: lane n (and n +
// 16) knows the slot of the n-th, or -1 for one that is to be zeros.
template <class C, int D>
__device__ void load_keys(WarpKeys<C, D>& to, uint32_t* scales, const KvHead<C>& from, int slot) {
  using Keys = WarpKeys<C, D>;
  constexpr bool kWholeLines = D * sizeof(C) % 256 == 0;
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int i = 0; i < (Keys::kKeys * Keys::kVectors + 31) / 32; ++i) {
    const int key = (32 * i + lane) / Keys::kVectors;
    const int column = (32 * i + lane) % Keys::kVectors * Keys::kVectorColumns;
    const int of_key = __shfl_sync(~0U, slot, key);
    if (key >= Keys::kKeys) continue;
    const int64_t row = max(of_key, 0);
    const int place = key * Keys::kPitch + column;
    copy_16_async<kWholeLines>(to.keys + place, from.keys + row * from.key_stride + column,
                               of_key >= 0);
    copy_16_async<kWholeLines>(to.values + place, from.values + row * from.value_stride + column,
                               of_key >= 0);
  }
  if constexpr (sizeof(C) == 1) {
    if (lane < Keys::kKeys) copy_4_async(scales + lane, from.scales + max(slot, 0), slot >= 0);
  }
}

// What products of 16-bit elements need of 16 columns of 16 keys: the pairs (b0, b1) of keys 0 to 7
// in [0], [1], those of the others in [2], [3].
template <class C, int D>
__device__ void load_key_matrices(uint32_t (&to)[4], const WarpKeys<C, D>& from, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (sizeof(C) == 2) {
    const int key = lane / 16 * 8 + lane % 8;
    load_matrices(to, from.keys + key * WarpKeys<C, D>::kPitch + column + lane / 8 % 2 * 8);
  } else {
    uint32_t codes[2];
    load_two_matrices(codes, from.keys + lane % 16 * WarpKeys<C, D>::kPitch + column);
    to[0] = low_as_f16(codes[0]);
    to[1] = high_as_f16(codes[0]);
    to[2] = low_as_f16(codes[1]);
    to[3] = high_as_f16(codes[1]);
  }
}

// The same of their values: [0], [1] for the first 8 columns; of e4m3 for the even columns.
template <class C, int D>
__device__ void load_value_matrices(uint32_t (&to)[4], const WarpKeys<C, D>& from, int column) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const C* row = from.values + lane % 16 * WarpKeys<C, D>::kPitch + column;
  if constexpr (sizeof(C) == 2) {
    load_matrices_transposed(to, row + lane / 16 * 8);
  } else {
    uint32_t codes[2];
    load_two_matrices_transposed(codes, row);
    const uint32_t low = columns_apart(codes[0]), high = columns_apart(codes[1]);
    to[0] = low_as_f16(low);
    to[1] = low_as_f16(high);
    to[2] = high_as_f16(low);
    to[3] = high_as_f16(high);
  }
}

}  // namespace spate::cuda
