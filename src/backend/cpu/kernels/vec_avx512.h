// Vec on AVX-512; see vec.h.
#pragma once

#include <immintrin.h>

#include <cstdint>

namespace spate::cpu::SPATE_ISA {

constexpr int kLanes = 16;

struct Vec {
  __m512 v;
};

inline __mmask16 first_lanes(int count) { return static_cast<__mmask16>((1U << count) - 1); }

inline Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
inline Vec load(const float* from) { return {_mm512_loadu_ps(from)}; }
inline Vec load_part(const float* from, int count) {
  return {_mm512_maskz_loadu_ps(first_lanes(count), from)};
}
inline void store(float* to, Vec x) { _mm512_storeu_ps(to, x.v); }
inline void store_part(float* to, Vec x, int count) {
  _mm512_mask_storeu_ps(to, first_lanes(count), x.v);
}

inline Vec load_f16(const uint16_t* from) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)))};
}
inline Vec load_bf16(const uint16_t* from) {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16))};
}
inline void store_f16(uint16_t* to, Vec x) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                      _mm512_cvtps_ph(x.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline void store_bf16(uint16_t* to, Vec x) {
  const __m512i bits = _mm512_castps_si512(x.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
  const __m512i quiet = _mm512_or_si512(bits, _mm512_set1_epi32(0x400000));  // a NaN stays one
  const __mmask16 nan = _mm512_cmp_ps_mask(x.v, x.v, _CMP_UNORD_Q);
  const __m512i top = _mm512_srli_epi32(_mm512_mask_mov_epi32(rounded, nan, quiet), 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi32_epi16(top));
}

inline Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
inline Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
inline Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }  // b when either is a NaN
inline Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
inline Vec where_less(Vec x, Vec limit, Vec yes, Vec no) {
  return {_mm512_mask_mov_ps(no.v, _mm512_cmp_ps_mask(x.v, limit.v, _CMP_LT_OQ), yes.v)};
}
inline Vec scale_by_power_of_two(Vec x, Vec n) { return {_mm512_scalef_ps(x.v, n.v)}; }

inline float sum(Vec x) {
  const __m256 a = _mm256_add_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
  const __m128 b = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_add_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_add_ss(c, _mm_movehdup_ps(c)));
}
inline float max_lane(Vec x) {
  const __m256 a = _mm256_max_ps(_mm512_castps512_ps256(x.v), _mm512_extractf32x8_ps(x.v, 1));
  const __m128 b = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
  const __m128 c = _mm_max_ps(b, _mm_movehl_ps(b, b));
  return _mm_cvtss_f32(_mm_max_ss(c, _mm_movehdup_ps(c)));
}

struct Words {
  __m512i v;
};

inline Words broadcast_word(int32_t x) { return {_mm512_set1_epi32(x)}; }
inline Words load_i8(const void* from) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)))};
}
inline Words load_u8(const void* from) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(static_cast<const __m128i*>(from)))};
}
inline Words operator>>(Words x, int bits) {
  return {_mm512_srli_epi32(x.v, static_cast<unsigned>(bits))};
}
inline Words operator&(Words x, uint32_t mask) {
  return {_mm512_and_si512(x.v, _mm512_set1_epi32(static_cast<int>(mask)))};
}
inline Vec to_float(Words x) { return {_mm512_cvtepi32_ps(x.v)}; }
inline Vec power_of_two(Words x) { return {_mm512_castsi512_ps(_mm512_slli_epi32(x.v, 23))}; }
inline Words bits_of(Vec x) { return {_mm512_castps_si512(x.v)}; }
inline Words operator+(Words a, Words b) { return {_mm512_add_epi32(a.v, b.v)}; }
inline void store_low_bytes(int8_t* to, Words x) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm512_cvtepi32_epi8(x.v));
}

}  // namespace spate::cpu::SPATE_ISA
