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

// base/random.h's philox(key, position, first_counter + i).word[w] as words[4 * i + w].
inline void philox_block(uint64_t key, uint64_t position, uint64_t first_counter, uint32_t* words) {
  uint32_t c0[kCounters], c1[kCounters], c2[kCounters], c3[kCounters];
  for (int i = 0; i < kCounters; ++i) {
    const uint64_t counter = first_counter + static_cast<uint64_t>(i);
    c0[i] = static_cast<uint32_t>(position);
    c1[i] = static_cast<uint32_t>(position >> 32);
    c2[i] = static_cast<uint32_t>(counter);
    c3[i] = static_cast<uint32_t>(counter >> 32);
  }
  uint32_t k0 = static_cast<uint32_t>(key), k1 = static_cast<uint32_t>(key >> 32);
  for (int round = 0; round < 10; ++round) {
    for (int i = 0; i < kCounters; ++i) {
      const uint64_t p0 = uint64_t{0xD2511F53U} * c0[i];
      const uint64_t p1 = uint64_t{0xCD9E8D57U} * c2[i];
      const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1[i] ^ k0;
      const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3[i] ^ k1;
      c1[i] = static_cast<uint32_t>(p1);
      c3[i] = static_cast<uint32_t>(p0);
      c0[i] = n0;
      c2[i] = n2;
    }
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  for (int i = 0; i < kCounters; ++i) {
    words[4 * i] = c0[i];
    words[4 * i + 1] = c1[i];
    words[4 * i + 2] = c2[i];
    words[4 * i + 3] = c3[i];
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

// -log(-log(u)) for u spread evenly over (0, 1) by a random word. Both ends are fine: the half of
// the words near u = 0 stands for a = u, the other half for a = 1 - u, and a is as small as 2^-33.
// (24 bits of u would be too coarse: with 200,000 tokens of equal logits, many would tie.)
inline float gumbel_of_word(uint32_t word) {
  const bool near_one = word < 0x80000000U;
  const uint32_t half = near_one ? word : ~word;
  const float a = (static_cast<float>(static_cast<int32_t>(half)) + 0.5F) * 0x1p-32F;
  const Parts u = split(near_one ? 1.0F - a : a);
  // 1 - a has lost the last bits of a small a: take log(1 - a) from a itself.
  const float f = near_one && u.exponent == 0 ? -a : u.f;
  const float exponential = -log_of_parts(f, static_cast<float>(u.exponent));
  const Parts e = split(exponential);
  return -log_of_parts(e.f, static_cast<float>(e.exponent));
}

inline void gumbel_block(uint64_t key, uint64_t position, int64_t first, float* out) {
  uint32_t words[kNoiseTokens];
  philox_block(key, position, static_cast<uint64_t>(first) / 4, words);
  for (int i = 0; i < kNoiseTokens; ++i) out[i] = gumbel_of_word(words[i]);
}

}  // namespace
}  // namespace spate::cpu::SPATE_ISA
