// Bytes on AVX-512; see bytes.h.
#pragma once

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {

struct Bytes {
  __m512i v;
};

inline Bytes load_bytes(const uint8_t* from) { return {_mm512_loadu_si512(from)}; }
inline Bytes repeat_bytes(uint8_t x) { return {_mm512_set1_epi8(static_cast<char>(x))}; }
inline Bytes repeat_four(const int8_t* from) {
  int32_t four;
  __builtin_memcpy(&four, from, sizeof four);
  return {_mm512_set1_epi32(four)};
}
inline Bytes operator&(Bytes x, uint8_t mask) {
  return {_mm512_and_si512(x.v, repeat_bytes(mask).v)};
}
inline Bytes operator|(Bytes x, Bytes y) { return {_mm512_or_si512(x.v, y.v)}; }
inline Bytes operator>>(Bytes x, int bits) {
  return {_mm512_srli_epi16(x.v, static_cast<unsigned>(bits))};
}
inline Bytes operator<<(Bytes x, int bits) {
  return {_mm512_slli_epi16(x.v, static_cast<unsigned>(bits))};
}
inline Bytes lookup(const uint8_t* table, Bytes x) {
  const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
  return {_mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), x.v)};
}

#if defined(__AVX512VNNI__)
inline Words add_dot(Words sum, Bytes codes, Bytes x) {
  return {_mm512_dpbusd_epi32(sum.v, codes.v, x.v)};
}
#else
struct Pairs {
  __m512i v;
};
inline Pairs multiply_pairs(Bytes codes, Bytes x) { return {_mm512_maddubs_epi16(codes.v, x.v)}; }
inline Pairs operator+(Pairs a, Pairs b) { return {_mm512_add_epi16(a.v, b.v)}; }
inline Words add_pairs(Pairs x, int16_t factor) {
  return {_mm512_madd_epi16(x.v, _mm512_set1_epi16(factor))};
}
#endif

}  // namespace spate::cpu::SPATE_ISA
