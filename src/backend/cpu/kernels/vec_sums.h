// Sums over lanes, of four vectors at once or of many columns, always in one order; and turning a
// square of lanes, which makes columns of rows.
#pragma once

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {

// to[i] = the sum over the lanes of the i-th vector, each in the same fixed order.
#if defined(__AVX2__)
inline void store_sums(float* to, __m256 a, __m256 b, __m256 c, __m256 d) {
  const __m256 ab = _mm256_add_ps(_mm256_unpacklo_ps(a, b), _mm256_unpackhi_ps(a, b));
  const __m256 cd = _mm256_add_ps(_mm256_unpacklo_ps(c, d), _mm256_unpackhi_ps(c, d));
  const __m256 abcd =
      _mm256_add_ps(_mm256_shuffle_ps(ab, cd, 0x44), _mm256_shuffle_ps(ab, cd, 0xEE));
  _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(abcd), _mm256_extractf128_ps(abcd, 1)));
}
#endif

#if defined(__AVX512F__)
inline __m256 fold_halves(__m512 x) {
  return _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
}
inline void store_sums(float* to, Vec a, Vec b, Vec c, Vec d) {
  store_sums(to, fold_halves(a.v), fold_halves(b.v), fold_halves(c.v), fold_halves(d.v));
}
#elif defined(__AVX2__)
inline void store_sums(float* to, Vec a, Vec b, Vec c, Vec d) {
  store_sums(to, a.v, b.v, c.v, d.v);
}
#else
inline void store_sums(float* to, Vec a, Vec b, Vec c, Vec d) {
  to[0] = sum(a);
  to[1] = sum(b);
  to[2] = sum(c);
  to[3] = sum(d);
}
#endif

// The same order for columns: column(i) is what stands in lane i of all vectors, as a Sums, which
// has an addition. The result's lanes are the vectors' sums.
template <class Sums, class Column>
inline Sums sum_columns(const Column& column) {
  const auto folded = [&](int i) __attribute__((always_inline)) {
    if constexpr (kLanes == 16) return Sums(column(i) + column(i + 8));
    return Sums(column(i));
  };
  const auto four = [&](int i) __attribute__((always_inline)) {
    const Sums even = folded(i) + folded(i + 2);
    return Sums(even + (folded(i + 1) + folded(i + 3)));
  };
  if constexpr (kLanes == 4) return four(0);
  const Sums low = four(0);
  return low + four(4);
}

// to[i * stride] becomes lane i of all rows.
#if defined(__AVX512F__)
inline void store_turned(const Vec (&rows)[16], float* to, int64_t stride) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xEE);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {  // columns i, i + 4, i + 8, i + 12
    const __m512 low = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
    const __m512 low2 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
    const __m512 high = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xDD);
    const __m512 high2 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xDD);
    _mm512_storeu_ps(to + i * stride, _mm512_shuffle_f32x4(low, low2, 0x88));
    _mm512_storeu_ps(to + (i + 4) * stride, _mm512_shuffle_f32x4(high, high2, 0x88));
    _mm512_storeu_ps(to + (i + 8) * stride, _mm512_shuffle_f32x4(low, low2, 0xDD));
    _mm512_storeu_ps(to + (i + 12) * stride, _mm512_shuffle_f32x4(high, high2, 0xDD));
  }
}
#elif defined(__AVX2__)
inline void store_turned(const Vec (&rows)[8], float* to, int64_t stride) {
  __m256 a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 2) {
    a[i] = _mm256_unpacklo_ps(rows[i].v, rows[i + 1].v);
    a[i + 1] = _mm256_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; i += 4) {
    b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xEE);
    b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * stride, _mm256_permute2f128_ps(b[i], b[i + 4], 0x31));
  }
}
#else
inline void store_turned(const Vec (&rows)[kLanes], float* to, int64_t stride) {
  for (int i = 0; i < kLanes; ++i) {
    for (int k = 0; k < kLanes; ++k) to[i * stride + k] = rows[k].v[i];
  }
}
#endif

}  // namespace spate::cpu::SPATE_ISA
