// Packs in registers, between being read and being written.
#pragma once

#include "backend/cuda/mma.cuh"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {

// A pack as T holds it: bf16 takes half the registers of floats.
template <class T, int kSize>
struct KeptPack {
  static constexpr int kWords = kSize * sizeof(T) / 4;
  uint32_t words[kWords];

  __device__ void keep(const float (&values)[kSize]) {
    if constexpr (std::is_same_v<T, bf16>) {
#pragma unroll
      for (int i = 0; i < kWords; ++i) words[i] = pack<bf16>(values[2 * i], values[2 * i + 1]);
    } else {
      memcpy(words, values, sizeof words);
    }
  }
  __device__ void take(float (&values)[kSize]) const {
    if constexpr (std::is_same_v<T, bf16>) {
#pragma unroll
      for (int i = 0; i < kWords; ++i) {  // an instruction each; unpack() takes two for the second
        values[2 * i] = __uint_as_float(words[i] << 16);
        values[2 * i + 1] = __uint_as_float(words[i] & 0xFFFF0000);
      }
    } else {
      memcpy(values, words, sizeof words);
    }
  }
  // The largest magnitude; NaNs do not count.
  __device__ float largest() const {
    if constexpr (std::is_same_v<T, bf16>) {
      uint32_t most = 0;
#pragma unroll
      for (const uint32_t pair : words) {
        asm("max.bf16x2 %0, %0, %1;" : "+r"(most) : "r"(pair & 0x7FFF7FFF));
      }
      return fmaxf(__uint_as_float(most << 16), __uint_as_float(most & 0xFFFF0000));
    } else {
      float values[kSize], most = 0;
      take(values);
#pragma unroll
      for (const float value : values) most = fmaxf(most, fabsf(value));
      return most;
    }
  }
  __device__ void load(const T* from, bool aligned, int64_t count) {
    if (aligned) {
#pragma unroll
      for (int i = 0; i < kWords; i += 4) {
        const uint4 bits = reinterpret_cast<const uint4*>(from)[i / 4];
        memcpy(words + i, &bits, sizeof bits);
      }
    } else {
      float values[kSize];
      load_pack(from, false, count, values);
      keep(values);
    }
  }
  __device__ void store(T* to, bool aligned, int64_t count) const {
    if (aligned) {
#pragma unroll
      for (int i = 0; i < kWords; i += 4) {
        uint4 bits;
        memcpy(&bits, words + i, sizeof bits);
        reinterpret_cast<uint4*>(to)[i / 4] = bits;
      }
    } else {
      float values[kSize];
      take(values);
      store_pack(to, false, count, values);
    }
  }
};

}  // namespace spate::cuda
