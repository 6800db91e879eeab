// The sums over lanes of four vectors at once.
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

}  // namespace spate::cpu::SPATE_ISA
