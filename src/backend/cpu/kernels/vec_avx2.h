// Vec on AVX2 with FMA and F16C; see vec.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace spate::cpu::SPATE_ISA {

constexpr int kLanes = 8;

struct Vec {
  __m256 v;
};

inline __m256i first_lanes(int count) {
  return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

inline Vec broadcast(float x) { return {_mm256_set1_ps(x)}; }
inline Vec load(const float* from) { return {_mm256_loadu_ps(from)}; }
inline Vec load_part(const float* from, int count) {
  return {_mm256_maskload_ps(from, first_lanes(count))};
}
inline void store(float* to, Vec x) { _mm256_storeu_ps(to, x.v); }
inline void store_part(float* to, Vec x, int count) {
  _mm256_maskstore_ps(to, first_lanes(count), x.v);
}

inline Vec load_f16(const uint16_t* from) {
  return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(from)))};
}
inline Vec load_bf16(const uint16_t* from) {
  const __m128i half = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(half), 16))};
}
inline void store_f16(uint16_t* to, Vec x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                   _mm256_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_bf16(uint16_t* to, Vec x) {
  const __m256i bits = _mm256_castps_si256(x.v);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
  const __m256i quiet = _mm256_or_si256(bits, _mm256_set1_epi32(0x400000));  // a NaN stays one
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(x.v, x.v, _CMP_UNORD_Q));
  const __m256i top = _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
  const __m256i packed = _mm256_permute4x64_epi64(_mm256_packus_epi32(top, top), 0xD8);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm256_castsi256_si128(packed));
}

inline Vec operator+(Vec a, Vec b) { return {_mm256_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm256_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm256_max_ps(a.v, b.v)}; }  // b when either is a NaN
inline Vec min(Vec a, Vec b) { return {_mm256_min_ps(a.v, b.v)}; }
inline Vec where_less(Vec x, Vec limit, Vec yes, Vec no) {
  return {_mm256_blendv_ps(no.v, yes.v, _mm256_cmp_ps(x.v, limit.v, _CMP_LT_OQ))};
}
// x * 2^n for whole n in [-126, 127].
inline Vec scale_by_power_of_two(Vec x, Vec n) {
  const __m256i exponent =
      _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127)), 23);
  return {_mm256_mul_ps(x.v, _mm256_castsi256_ps(exponent))};
}

inline float sum(Vec x) {
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float max_lane(Vec x) {
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(x.v), _mm256_extractf128_ps(x.v, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

struct Words {
  __m256i v;
};

inline Words broadcast_word(int32_t x) { return {_mm256_set1_epi32(x)}; }
inline Words load_i8(const void* from) { return {_mm256_cvtepi8_epi32(_mm_loadu_si64(from))}; }
inline Words load_u8(const void* from) { return {_mm256_cvtepu8_epi32(_mm_loadu_si64(from))}; }
inline Words operator>>(Words x, int bits) { return {_mm256_srli_epi32(x.v, bits)}; }
inline Words operator&(Words x, uint32_t mask) {
  return {_mm256_and_si256(x.v, _mm256_set1_epi32(static_cast<int>(mask)))};
}
inline Vec to_float(Words x) { return {_mm256_cvtepi32_ps(x.v)}; }
inline Vec power_of_two(Words x) { return {_mm256_castsi256_ps(_mm256_slli_epi32(x.v, 23))}; }
inline Words bits_of(Vec x) { return {_mm256_castps_si256(x.v)}; }
inline Words operator+(Words a, Words b) { return {_mm256_add_epi32(a.v, b.v)}; }
inline void store_low_bytes(int8_t* to, Words x) {
  const __m256i order = _mm256_set1_epi32(0x0C080400);  // within each half, to its first word
  const __m256i halves = _mm256_shuffle_epi8(x.v, order);
  _mm_storeu_si64(
      to, _mm_unpacklo_epi32(_mm256_castsi256_si128(halves), _mm256_extracti128_si256(halves, 1)));
}

}  // namespace spate::cpu::SPATE_ISA
