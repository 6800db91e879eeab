// What the sampling kernels share: reading a row of logits, an order of floats as integers, and
// results of a whole block.
#pragma once

#include <cmath>

#include "backend/cuda/packs.cuh"

namespace spate::cuda {

constexpr int kQuad = 4;  // neighbouring tokens that a thread reads at once

// kQuad logits from `token` on; a NaN, and what lies beyond the end, is -infinity.
__device__ inline void load_quad(const float* row, int token, int size, bool aligned,
                                 float (&values)[kQuad]) {
  load_pack(row + token, aligned, size - token, values);
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    values[j] = token + j < size ? fmaxf(values[j], -INFINITY) : -INFINITY;
  }
}

__device__ inline float largest_of(const float (&values)[kQuad]) {
  return fmaxf(fmaxf(values[0], values[1]), fmaxf(values[2], values[3]));
}

// Keys order like the floats that they stand for; 0 and -0 have the same one.
__device__ inline uint32_t key_of(float value) {
  const uint32_t bits = __float_as_uint(value + 0.0F);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000U;
}
__device__ inline float value_of(uint32_t key) {
  return __uint_as_float(key >> 31 != 0 ? key & 0x7FFFFFFFU : ~key);
}
constexpr uint32_t kKeyOfMinusInfinity = 0x007FFFFF;
constexpr uint32_t kLowestKey = 0x00800000;  // of the lowest finite float

// All threads' values combined, in one order; every thread gets the result. kThreads in a block.
template <int kThreads, class T, class Combine>
__device__ T of_block(T value, Combine combine) {
  constexpr int kWarps = kThreads / kWarp;
  static_assert(kWarps <= kWarp && (kWarps & (kWarps - 1)) == 0);
  __shared__ T of_warp[kWarps];
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(~0U, value, distance));
  }
  __syncthreads();  // of_warp may still be read from the last time
  if (threadIdx.x % kWarp == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  value = of_warp[threadIdx.x % kWarps];
#pragma unroll
  for (int distance = kWarps / 2; distance > 0; distance /= 2) {
    value = combine(value, __shfl_xor_sync(~0U, value, distance));
  }
  return value;
}

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};
struct Larger {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a > b ? a : b;
  }
};

}  // namespace spate::cuda
