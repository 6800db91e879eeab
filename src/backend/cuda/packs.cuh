// Neighbouring elements that a thread reads and writes together, in accesses of up to 16 bytes
// where the memory is aligned, one by one elsewhere. Which thread holds which element is the same
// in both cases, so that sums do not depend on where a tensor lies.
#pragma once

#include <cstring>

#include "backend/cuda/types.cuh"

namespace spate::cuda {

constexpr int kWarp = 32;

// The widest access to a pack of kSize elements.
template <int kSize>
constexpr size_t access_bytes(DType type) {
  return kSize * size_of(type) < 16 ? kSize * size_of(type) : 16;
}

// Whether packs can be read from the tensor's first element on.
template <int kSize>
bool starts_at_pack(const Tensor& tensor) {
  return reinterpret_cast<uintptr_t>(tensor.data) % access_bytes<kSize>(tensor.dtype) == 0;
}

// Whether all rows of all the tensors, or their heads of `width` elements, consist of whole packs.
template <int kSize, class... Tensors>
bool packs_fit(int64_t width, const Tensors&... tensors) {
  const auto fits = [](const Tensor& tensor) {
    return starts_at_pack<kSize>(tensor) && static_cast<size_t>(tensor.row_stride) *
                                                    size_of(tensor.dtype) %
                                                    access_bytes<kSize>(tensor.dtype) ==
                                                0;
  };
  return width % kSize == 0 && (fits(tensors) && ...);
}

template <int kBytes>
struct Bits;
template <>
struct Bits<2> {
  using type = uint16_t;
};
template <>
struct Bits<4> {
  using type = uint32_t;
};
template <>
struct Bits<8> {
  using type = uint2;
};
template <>
struct Bits<16> {
  using type = uint4;
};

// `count` > 0 elements of the row lie in the pack, the others are read as 0. Aligned packs are
// full.
template <int kSize, class T>
__device__ inline void load_pack(const T* from, bool aligned, int64_t count,
                                 float (&values)[kSize]) {
  constexpr int kBytes = kSize * sizeof(T) < 16 ? kSize * sizeof(T) : 16;
  constexpr int kPart = kBytes / sizeof(T);
  T part[kPart];
  if (aligned) {
#pragma unroll
    for (int i = 0; i < kSize; i += kPart) {
      const auto bits = *reinterpret_cast<const typename Bits<kBytes>::type*>(from + i);
      memcpy(part, &bits, kBytes);
#pragma unroll
      for (int j = 0; j < kPart; ++j) values[i + j] = to_float(part[j]);
    }
  } else {
#pragma unroll
    for (int i = 0; i < kSize; ++i) values[i] = i < count ? to_float(from[i]) : 0;
  }
}

template <int kSize, class T>
__device__ inline void store_pack(T* to, bool aligned, int64_t count,
                                  const float (&values)[kSize]) {
  constexpr int kBytes = kSize * sizeof(T) < 16 ? kSize * sizeof(T) : 16;
  constexpr int kPart = kBytes / sizeof(T);
  T part[kPart];
  if (aligned) {
#pragma unroll
    for (int i = 0; i < kSize; i += kPart) {
#pragma unroll
      for (int j = 0; j < kPart; ++j) part[j] = from_float<T>(values[i + j]);
      typename Bits<kBytes>::type bits;
      memcpy(&bits, part, kBytes);
      *reinterpret_cast<typename Bits<kBytes>::type*>(to + i) = bits;
    }
  } else {
#pragma unroll
    for (int i = 0; i < kSize; ++i) {
      if (i < count) to[i] = from_float<T>(values[i]);
    }
  }
}

// The same bits, elsewhere.
template <int kSize, class Word>
__device__ inline void copy_pack(const Word* from, Word* to, bool aligned, int64_t count) {
  constexpr int kBytes = kSize * sizeof(Word) < 16 ? kSize * sizeof(Word) : 16;
  using Access = typename Bits<kBytes>::type;
  if (aligned) {
#pragma unroll
    for (int i = 0; i < kSize; i += kBytes / sizeof(Word)) {
      *reinterpret_cast<Access*>(to + i) = *reinterpret_cast<const Access*>(from + i);
    }
  } else {
    for (int i = 0; i < kSize && i < count; ++i) to[i] = from[i];
  }
}

// The sum over the lanes of a warp, the same bits in each.
__device__ inline float warp_sum(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value += __shfl_xor_sync(~0U, value, distance);
  }
  return value;
}

__device__ inline float warp_max(float value) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    value = fmaxf(value, __shfl_xor_sync(~0U, value, distance));
  }
  return value;
}

}  // namespace spate::cuda
