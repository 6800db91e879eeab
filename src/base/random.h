// Random numbers as a pure function of a key and a counter (Philox 4x32-10; Salmon et al.,
// "Parallel random numbers: as easy as 1, 2, 3", 2011). No state, so a draw never depends on the
// batch, the thread or the order of work. Usable from host and device code.
#pragma once

#include <cstdint>

namespace spate {

struct Philox4 {
  uint32_t word[4];
};

constexpr Philox4 philox(uint64_t key, uint64_t counter_low, uint64_t counter_high = 0) {
  uint32_t k0 = static_cast<uint32_t>(key);
  uint32_t k1 = static_cast<uint32_t>(key >> 32);
  uint32_t c0 = static_cast<uint32_t>(counter_low);
  uint32_t c1 = static_cast<uint32_t>(counter_low >> 32);
  uint32_t c2 = static_cast<uint32_t>(counter_high);
  uint32_t c3 = static_cast<uint32_t>(counter_high >> 32);
  for (int round = 0; round < 10; ++round) {
    const uint64_t p0 = uint64_t{0xD2511F53U} * c0;
    const uint64_t p1 = uint64_t{0xCD9E8D57U} * c2;
    const uint32_t n0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const uint32_t n2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<uint32_t>(p1);
    c3 = static_cast<uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9U;
    k1 += 0xBB67AE85U;
  }
  return {{c0, c1, c2, c3}};
}

// Uniform in the open interval (0, 1): 24 bits plus a half, so that log(u) is always finite.
constexpr float open_uniform(uint32_t word) {
  return (static_cast<float>(word >> 8) + 0.5F) * (1.0F / 16777216.0F);
}

// Mixes two words into a new key (the finaliser of splitmix64).
constexpr uint64_t mix_keys(uint64_t a, uint64_t b) {
  uint64_t x = a + 0x9E3779B97F4A7C15ULL * (b + 1);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

}  // namespace spate
