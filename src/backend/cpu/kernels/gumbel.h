// Gumbel noise for a block of tokens, as plain loops over lanes that the compiler turns into
// vectors. Sums and products only, never fused, so that every instruction set gives the same bits.
// Only for files in this folder (see isa.h).
#pragma once

#include <cstdint>

namespace spate::cpu::SPATE_ISA {
namespace {

constexpr int kNoiseTokens = 64;
constexpr int kCounters = kNoiseTokens / 4;  // one philox gives four words

inline float as_float(uint32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

inline uint32_t as_bits(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, sizeof bits);
  return bits;
}

// The rounds of Philox 4x32, unrolled so that the loop over counters is the one to vectorise.
template <int kRounds>
inline void philox_rounds(uint32_t& c0, uint32_t& c1, uint32_t& c2, uint32_t& c3, uint32_t k0,
                          uint32_t k1) {
  if constexpr (kRounds > 0) {
    const uint64_t p0 = uint64_t{0xD2511F53U} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57U} * c2;
    c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    philox_rounds<kRounds - 1>(c0, c1, c2, c3, k0 + 0x9E3779B9U, k1 + 0xBB67AE85U);
  }
}

// base/random.h's philox(key, position, first_counter + i).word[w] as words[w][i].
inline void philox_block(uint64_t key, uint64_t position, uint32_t first_counter,
                         uint32_t (&words)[4][kCounters]) {
  const uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  const uint32_t low = static_cast<uint32_t>(position),
                 high = static_cast<uint32_t>(position >> 32);
  for (int i = 0; i < kCounters; ++i) {
    uint32_t c0 = low, c1 = high, c2 = first_counter + static_cast<uint32_t>(i), c3 = 0;
    philox_rounds<10>(c0, c1, c2, c3, k0, k1);
    words[0][i] = c0;
    words[1][i] = c1;
    words[2][i] = c2;
    words[3][i] = c3;
  }
}

// log(1 + f) + exponent * ln 2 for 1 + f in [sqrt(1/2), sqrt(2)]; the polynomial is Cephes' logf.
inline float log_of_parts(float f, float exponent) {
  const float square = f * f;
  float p = 7.0376836292e-2F;
  p = p * f - 1.1514610310e-1F;
  p = p * f + 1.1676998740e-1F;
  p = p * f - 1.2420140846e-1F;
  p = p * f + 1.4249322787e-1F;
  p = p * f - 1.6668057665e-1F;
  p = p * f + 2.0000714765e-1F;
  p = p * f - 2.4999993993e-1F;
  p = p * f + 3.3333331174e-1F;
  // ln 2 in two parts: the first has so few bits that its product is exact.
  const float small = p * f * square - 2.12194440e-4F * exponent - 0.5F * square;
  return f + small + 0.693359375F * exponent;
}

// A positive normal number as (1 + f) * 2^exponent with 1 + f in [sqrt(1/2), sqrt(2)).
struct Parts {
  float f;
  int32_t exponent;
};
inline Parts split(float x) {
  const int32_t bits = static_cast<int32_t>(as_bits(x));
  const int32_t exponent = (bits - 0x3F3504F3) >> 23;  // 0x3F3504F3: sqrt(1/2)
  return {as_float(static_cast<uint32_t>(bits) - (static_cast<uint32_t>(exponent) << 23)) - 1.0F,
          exponent};
}

// All ones when the top bit is set, else zero. Choices are made with such masks: a branch would
// keep the loop from being vectorised.
inline uint32_t mask_of_sign(uint32_t bits) {
  return static_cast<uint32_t>(static_cast<int32_t>(bits) >> 31);
}
inline float select(uint32_t mask, float yes, float no) {
  return as_float((as_bits(yes) & mask) | (as_bits(no) & ~mask));
}

// -log(-log(u)) for u spread evenly over (0, 1) by a random word. Both ends are fine: the half of
// the words near u = 0 stands for a = u, the other half for a = 1 - u, and a is as small as 2^-33.
// (24 bits of u would be too coarse: with 200,000 tokens of equal logits, many would tie.)
inline float gumbel_of_word(uint32_t word) {
  const uint32_t far = mask_of_sign(word);  // u is near 0
  const float a = (static_cast<float>(static_cast<int32_t>(word ^ far)) + 0.5F) * 0x1p-32F;
  const Parts u = split(select(far, a, 1.0F - a));
  // 1 - a has lost the last bits of a small a: take log(1 - a) from a itself.
  const uint32_t exact = ~far & ~mask_of_sign(static_cast<uint32_t>(u.exponent));
  const float exponential = -log_of_parts(select(exact, -a, u.f), static_cast<float>(u.exponent));
  const Parts e = split(exponential);
  return -log_of_parts(e.f, static_cast<float>(e.exponent));
}

inline void gumbel_block(uint64_t key, uint64_t position, int64_t first, float* out) {
  uint32_t words[4][kCounters];
  philox_block(key, position, static_cast<uint32_t>(first / 4), words);
  float noise[4][kCounters];
  for (int w = 0; w < 4; ++w) {
    for (int i = 0; i < kCounters; ++i) noise[w][i] = gumbel_of_word(words[w][i]);
  }
  for (int i = 0; i < kCounters; ++i) {
    for (int w = 0; w < 4; ++w) out[4 * i + w] = noise[w][i];
  }
}

}  // namespace
}  // namespace spate::cpu::SPATE_ISA
