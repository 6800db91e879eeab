// Bytes without intrinsics; see bytes.h.
#pragma once

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {

struct Bytes {
  uint8_t v __attribute__((vector_size(16)));
};
using ByteVector = decltype(Bytes::v);

inline Bytes load_bytes(const uint8_t* from) {
  Bytes out;
  std::memcpy(&out, from, sizeof out);
  return out;
}
inline Bytes repeat_four(const int8_t* from) {
  uint32_t four;
  std::memcpy(&four, from, sizeof four);
  return {(ByteVector)Unsigned{four, four, four, four}};
}
inline Bytes operator&(Bytes x, uint8_t mask) { return {x.v & mask}; }
inline Bytes operator|(Bytes x, Bytes y) { return {x.v | y.v}; }
inline Bytes operator>>(Bytes x, int bits) { return {x.v >> static_cast<uint8_t>(bits)}; }
inline Bytes operator<<(Bytes x, int bits) { return {x.v << static_cast<uint8_t>(bits)}; }
inline Bytes lookup(const uint8_t* table, Bytes x) {
  Bytes out;
  for (int i = 0; i < 16; ++i) out.v[i] = table[x.v[i]];
  return out;
}

// The four inputs of each output one by one: the bytes of a word, shifted down and extended.
inline Words add_dot(Words sum, Bytes codes, Bytes x) {
  const auto words = (Unsigned)codes.v;
  const auto others = (Integers)x.v;
  auto total = (Integers)sum.v;
  for (int i = 0; i < 4; ++i) {
    const auto code = (Integers)(words >> 8 * i & 0xFFU);
    total += code * (others << (24 - 8 * i) >> 24);
  }
  return {(Unsigned)total};
}

}  // namespace spate::cpu::SPATE_ISA
