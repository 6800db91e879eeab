// The loops keep twelve independent chains: more than latency times the units of any processor
// that they run on, and with an operand or two they still fit 16 registers.
#include "backend/cpu/kernels/rates.h"

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {

extern const RateKernels kRates;

namespace {

constexpr int kChains = 12;
static_assert(kChains * kLanes <= kRateSums);

// The compiler may keep registers across this, but must take what is in memory for changed: no
// round can be moved out of its loop.
inline void next_round() { asm volatile("" ::: "memory"); }

double fma_loop(float x, float y, int64_t rounds, float* sums) {
  const Vec factor = broadcast(x), addend = broadcast(y);
  Vec sum[kChains];
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) sum[i] = load(sums + i * kLanes);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kChains; ++i) sum[i] = fma(sum[i], factor, addend);
    next_round();
  }
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) store(sums + i * kLanes, sum[i]);
  return 2.0 * kChains * kLanes * static_cast<double>(rounds);
}

#if defined(__AVX512BW__) || defined(__AVX2__)

#if defined(__AVX512BW__)
using Integers = __m512i;
inline Integers load_integers(const void* from) { return _mm512_loadu_si512(from); }
inline void store_integers(void* to, Integers x) { _mm512_storeu_si512(to, x); }
#if defined(__AVX512VNNI__)
constexpr const char* kDot = "vpdpbusd";
inline Integers add_dot(Integers sum, Integers a, Integers b) {
  return _mm512_dpbusd_epi32(sum, a, b);
}
#else
constexpr const char* kDot = "vpmaddubsw, vpmaddwd, vpaddd";
inline Integers add_dot(Integers sum, Integers a, Integers b) {
  const Integers pairs = _mm512_maddubs_epi16(a, b);
  return _mm512_add_epi32(sum, _mm512_madd_epi16(pairs, _mm512_set1_epi16(1)));
}
#endif
#else
using Integers = __m256i;
inline Integers load_integers(const void* from) {
  return _mm256_loadu_si256(static_cast<const __m256i*>(from));
}
inline void store_integers(void* to, Integers x) {
  _mm256_storeu_si256(static_cast<__m256i*>(to), x);
}
#if defined(__AVXVNNI__)
constexpr const char* kDot = "vpdpbusd";
inline Integers add_dot(Integers sum, Integers a, Integers b) {
  return _mm256_dpbusd_avx_epi32(sum, a, b);
}
#else
constexpr const char* kDot = "vpmaddubsw, vpmaddwd, vpaddd";
inline Integers add_dot(Integers sum, Integers a, Integers b) {
  const Integers pairs = _mm256_maddubs_epi16(a, b);
  return _mm256_add_epi32(sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#endif
#endif

// Three vectors of `a` times four of `b`, as a kernel does it: one load serves several products.
double dot_loop(const uint8_t* a, const int8_t* b, int64_t rounds, int32_t* sums) {
  constexpr int kA = 3, kB = 4;
  static_assert(kA * kB == kChains);
  constexpr int kBytes = sizeof(Integers), kWords = kBytes / 4;
  Integers sum[kChains];
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) sum[i] = load_integers(sums + i * kWords);
  for (int64_t round = 0; round < rounds; ++round) {
#pragma GCC unroll 12
    for (int i = 0; i < kA; ++i) {
      const Integers left = load_integers(a + i * kBytes);
#pragma GCC unroll 12
      for (int j = 0; j < kB; ++j) {
        sum[i * kB + j] = add_dot(sum[i * kB + j], left, load_integers(b + j * kBytes));
      }
    }
    next_round();
  }
#pragma GCC unroll 12
  for (int i = 0; i < kChains; ++i) store_integers(sums + i * kWords, sum[i]);
  return 2.0 * kChains * kBytes * static_cast<double>(rounds);
}

#else

constexpr const char* kDot = "plain code";

double dot_loop(const uint8_t* a, const int8_t* b, int64_t rounds, int32_t* sums) {
  for (int64_t round = 0; round < rounds; ++round) {
    int32_t sum = 0;
    for (int i = 0; i < kRateUnsigned; ++i) sum += int32_t{a[i]} * int32_t{b[i]};
    sums[0] += sum;
    next_round();
  }
  return 2.0 * kRateUnsigned * static_cast<double>(rounds);
}

#endif

uint64_t sum_words(const uint64_t* words, int64_t count) {
  uint64_t sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += words[i];
  return sum;
}

}  // namespace

const RateKernels kRates{
    .dot = kDot, .fma_loop = fma_loop, .dot_loop = dot_loop, .sum_words = sum_words};

}  // namespace spate::cpu::SPATE_ISA
