// Loops that measure what a core can do with one instruction set: the rates that floors of the real
// kernels are computed from. They do useful arithmetic on purpose, so that a test can see that the
// operations they report were really done.
#pragma once

#include <cstdint>

namespace spate::cpu {

constexpr int kRateSums = 192;                         // enough for 12 vectors of any set
constexpr int kRateUnsigned = 192, kRateSigned = 256;  // bytes: 3 and 4 vectors of 64

struct RateKernels {
  const char* dot;  // the instructions of dot_loop: "vpdpbusd"
  // Each round does s = s * x + y in `sums`, as often as the registers allow. Answers the
  // operations done by all rounds; a multiply-add counts as two.
  double (*fma_loop)(float x, float y, int64_t rounds, float* sums);
  // Each round adds products of `a` and `b`, which are exact while |a * b| < 2^14, to `sums`.
  // Answers the operations done, as above.
  double (*dot_loop)(const uint8_t* a, const int8_t* b, int64_t rounds, int32_t* sums);
  uint64_t (*sum_words)(const uint64_t* words, int64_t count);
};

}  // namespace spate::cpu
