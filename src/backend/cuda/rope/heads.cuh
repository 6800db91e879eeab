// What norms of heads, rotary positions and the writing of keys and values have in common.
#pragma once

#include "backend/cuda/e4m3.cuh"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {

// Where heads go in the cache.
template <class C>
struct CachedHeads {
  Rows<C> rows{};      // written at the token's slot
  int64_t slots = 0;   // of the cache
  uint16_t* scales{};  // of e4m3: every second one of [heads, slots, 2], as bf16
};

// What happens to heads of one kind: queries, keys or values.
template <class T, class C>
struct Heads {
  Rows<T> x;
  int heads = 0;                  // of a token
  const float* weight = nullptr;  // [D], norms by it
  bool turn = false;              // by the token's position
  bool keep = false;              // the result, in place
  CachedHeads<C> cache{};
};

struct Turn {
  const int32_t* positions;
  const float* frequencies;
  int pairs;
  float magnitude;
  bool neighbours;
  int begin;  // the first element of a head that turns
};

constexpr int kKinds = 3;

template <class T, class C>
struct HeadWork {
  Heads<T, C> kinds[kKinds];
  int64_t width;
  float eps;
  Turn turn;
  const int32_t* slot;
  bool aligned;  // to packs of kVector

  int heads() const { return kinds[0].heads + kinds[1].heads + kinds[2].heads; }
  // The kind of a token's head, kKinds behind all of them; then `h` counts within its kind.
  __device__ int kind_of(int& h) const {
    int kind = 0;
    while (kind < kKinds && h >= kinds[kind].heads) h -= kinds[kind++].heads;
    return kind;
  }
};

// Cosine and sine of position * frequency. The angle is exact in f64: 31 bits of position, 24 of
// frequency; what is left of it after whole quarter turns, at most pi / 4, goes to f32 polynomials
// (Cephes' sinf and cosf).
__device__ inline float2 cosine_sine(int32_t position, float frequency) {
  const double angle = static_cast<double>(position) * static_cast<double>(frequency);
  const double turns = rint(angle * 0.63661977236758134);  // 2 / pi
  // pi / 2 in two parts.
  const auto rest = static_cast<float>(
      fma(-turns, 6.0771005065061922e-11, fma(-turns, 1.5707963267341256, angle)));
  const auto quarter = static_cast<int>(static_cast<long long>(turns) & 3);
  const float square = rest * rest;
  const float s = ((-1.9515295891e-4F * square + 8.3321608736e-3F) * square - 1.6666654611e-1F) *
                      square * rest +
                  rest;
  const float c =
      ((2.443315711809948e-5F * square - 1.388731625493765e-3F) * square + 4.166664568298827e-2F) *
          square * square -
      0.5F * square + 1;
  switch (quarter) {
    case 0: return {c, s};
    case 1: return {-s, c};
    case 2: return {-c, -s};
    default: return {s, -c};
  }
}

// One element of a turned pair; `sine` is that of the angle for the second element, of the opposite
// angle for the first.
__device__ inline float turned(float x, float other, float cosine, float sine) {
  return fmaf(other, sine, x * cosine);
}

__device__ inline float norm_factor(float sum_of_squares, int64_t width, float eps) {
  return 1 / sqrtf(sum_of_squares / static_cast<float>(width) + eps);
}

// Answers what brings the elements of a head, of which the largest is `largest`, to codes; one of
// its threads writes the scale.
template <class C>
__device__ float scale_head(const CachedHeads<C>& cache, int head, int64_t slot, float largest,
                            bool writes) {
  const float scale = e4m3_scale(largest);
  if (writes) {
    cache.scales[2 * (head * cache.slots + slot)] =
        static_cast<uint16_t>(__float_as_uint(scale) >> 16);
  }
  return inverse_of_scale(scale);
}

}  // namespace spate::cuda
