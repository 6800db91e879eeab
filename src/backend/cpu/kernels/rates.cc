#include "backend/cpu/kernels/rates.h"

#include "backend/cpu/kernels/bytes.h"

namespace spate::cpu::SPATE_ISA {

extern const RateKernels kRates;

namespace {

// Independent sums: more than the latency times the units of any processor that this runs on, and
// with the two operands they still fit 16 registers.
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

#if defined(SPATE_DOTS_IN_PAIRS)
constexpr const char* kDot = "vpmaddubsw, vpaddw";
#elif defined(__AVX512VNNI__) || defined(__AVXVNNI__)
constexpr const char* kDot = "vpdpbusd";
#else
constexpr const char* kDot = "plain code";
#endif

// The dots of a product of packed weights, without what is around them: codes of 4 bits stay in
// registers and meet the activations of a few rows.
double dot_loop(const uint8_t* codes, const int8_t* x, int64_t rounds, float* sums) {
  constexpr int kBytes = 4 * kLanes;
  static_assert(kRateGroups * kBytes <= kRateCodes && kRateRows * kLanes <= kRateSums);
  Words sum[kRateRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRateRows; ++r) sum[r] = broadcast_word(0);
  for (int64_t round = 0; round < rounds; ++round) {
    Bytes group[kRateGroups];
#pragma GCC unroll 8
    for (int g = 0; g < kRateGroups; ++g) group[g] = load_bytes(codes + g * kBytes);
    const Factor<kRateLargestCode, kRateGroups> factor(group);
#pragma GCC unroll 8
    for (int r = 0; r < kRateRows; ++r) {
      sum[r] = sum[r] + factor.dot(x + r * kRateGroups * 4, 4);
    }
    next_round();
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRateRows; ++r) store(sums + r * kLanes, to_float(sum[r]));
  return 2.0 * kRateRows * kRateGroups * kBytes * static_cast<double>(rounds);
}

// Four lines at a time, each into a sum of its own.
uint64_t sum_words(const uint64_t* words, int64_t count) {
  using Line = uint64_t __attribute__((vector_size(64)));
  constexpr int kLine = 8, kLines = 4;  // words of a line
  constexpr int64_t kAhead = 256;       // words: memory answers while two KiB are summed
  Line sums[kLines] = {};
  int64_t begin = 0;
  for (; begin + kLines * kLine <= count; begin += kLines * kLine) {
#pragma GCC unroll 4
    for (int i = 0; i < kLines; ++i) {
      const uint64_t* from = words + begin + i * kLine;
      __builtin_prefetch(from + kAhead);
      Line line;
      __builtin_memcpy(&line, from, sizeof line);
      sums[i] += line;
    }
  }
  const Line all = sums[0] + sums[1] + sums[2] + sums[3];
  uint64_t sum = 0;
  for (int i = 0; i < kLine; ++i) sum += all[i];
  for (; begin < count; ++begin) sum += words[begin];
  return sum;
}

}  // namespace

const RateKernels kRates{
    .dot = kDot, .fma_loop = fma_loop, .dot_loop = dot_loop, .sum_words = sum_words};

}  // namespace spate::cpu::SPATE_ISA
