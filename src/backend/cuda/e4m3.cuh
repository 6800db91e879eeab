// Floats of eight bits on tensor cores, and the scales of a cache of them: powers of two, see
// KvView.
#pragma once

#include "backend/cuda/types.cuh"

namespace spate::cuda {

// The least power of two, from 2^-15 to 2^7, by which `largest` >= 0 is divided to 448 or less, if
// one does: 448 = 1.75 * 2^8.
__device__ inline float e4m3_scale(float largest) {
  const uint32_t bits = __float_as_uint(largest);
  const int exponent = static_cast<int>(bits >> 23) - 8 + ((bits & 0x7FFFFF) > 0x600000 ? 1 : 0);
  return __uint_as_float(static_cast<uint32_t>(min(max(exponent, 127 - 15), 127 + 7)) << 23);
}

// One over a scale.
__device__ inline float inverse_of_scale(float scale) {
  return __uint_as_float((uint32_t{254} << 23) - __float_as_uint(scale));
}

// The codes of four neighbouring elements; what is larger than 448 becomes that.
__device__ inline uint32_t four_codes(const float* values) {
  const auto pair = [&](int i) -> uint32_t {
    return __nv_cvt_float2_to_fp8x2({values[i], values[i + 1]}, __NV_SATFINITE, __NV_E4M3);
  };
  return pair(0) | pair(2) << 16;
}

// The scales of a token's head, as they lie side by side.
struct KvScales {
  uint32_t pair;

  __device__ float of_key() const { return __uint_as_float(pair << 16); }
  __device__ float of_value() const { return __uint_as_float(pair & 0xFFFF0000); }
  __device__ float log2_of_value() const {
    return static_cast<float>(static_cast<int>(pair >> 23) - 127);
  }
};

// Two codes, in the low or in the high half, as f16, which holds all of e4m3.
__device__ inline uint32_t low_as_f16(uint32_t codes) {
  uint32_t pair;
  asm("{ .reg .b16 low, high; mov.b32 {low, high}, %1; cvt.rn.f16x2.e4m3x2 %0, low; }"
      : "=r"(pair)
      : "r"(codes));
  return pair;
}
__device__ inline uint32_t high_as_f16(uint32_t codes) {
  uint32_t pair;
  asm("{ .reg .b16 low, high; mov.b32 {low, high}, %1; cvt.rn.f16x2.e4m3x2 %0, high; }"
      : "=r"(pair)
      : "r"(codes));
  return pair;
}

// From the codes of two neighbouring columns and two rows, row by row, to those of the first column
// in the low half and those of the second in the high half.
__device__ inline uint32_t columns_apart(uint32_t codes) { return __byte_perm(codes, 0, 0x3120); }

}  // namespace spate::cuda
