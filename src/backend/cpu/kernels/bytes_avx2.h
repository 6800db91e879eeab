// Bytes on AVX2, with AVX-VNNI where the set has it; see bytes.h.
#pragma once

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {

struct Bytes {
  __m256i v;
};

inline Bytes load_bytes(const uint8_t* from) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(from))};
}
inline Bytes repeat_bytes(uint8_t x) { return {_mm256_set1_epi8(static_cast<char>(x))}; }
inline Bytes repeat_four(const int8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return {_mm256_set1_epi32(four)};
}
inline Bytes operator&(Bytes x, uint8_t mask) {
  return {_mm256_and_si256(x.v, repeat_bytes(mask).v)};
}
inline Bytes operator|(Bytes x, Bytes y) { return {_mm256_or_si256(x.v, y.v)}; }
inline Bytes operator>>(Bytes x, int bits) { return {_mm256_srli_epi16(x.v, bits)}; }
inline Bytes operator<<(Bytes x, int bits) { return {_mm256_slli_epi16(x.v, bits)}; }
inline Bytes lookup(const uint8_t* table, Bytes x) {
  const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), x.v)};
}

#if defined(__AVXVNNI__)
inline Words add_dot(Words sum, Bytes codes, Bytes x) {
  return {_mm256_dpbusd_avx_epi32(sum.v, codes.v, x.v)};
}
#else
struct Pairs {
  __m256i v;
};
inline Pairs multiply_pairs(Bytes codes, Bytes x) { return {_mm256_maddubs_epi16(codes.v, x.v)}; }
inline Pairs operator+(Pairs a, Pairs b) { return {_mm256_add_epi16(a.v, b.v)}; }
inline Words add_pairs(Pairs x, int16_t factor) {
  return {_mm256_madd_epi16(x.v, _mm256_set1_epi16(factor))};
}
#endif

}  // namespace spate::cpu::SPATE_ISA
