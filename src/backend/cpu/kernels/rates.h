// Loops that measure what a core can do with one instruction set: the rates that floors of the real
// kernels are computed from. They do useful arithmetic on purpose, so that a test can see that the
// operations they report were really done.
#pragma once

#include <cstdint>

namespace spate::cpu {

constexpr int kRateSums = 192;                            // numbers, enough for any set
constexpr int kRateRows = 4, kRateGroups = 8;             // of dot_loop
constexpr int kRateCodes = kRateGroups * 64;              // bytes, enough for any set
constexpr int kRateInputs = kRateRows * kRateGroups * 4;  // bytes
constexpr int kRateLargestCode = 15;

struct RateKernels {
  const char* dot;  // what dot_loop multiplies and adds with: "vpdpbusd"
  // Each round does s = s * x + y in `sums`, as often as the registers allow. Answers the
  // operations done by all rounds; a multiply-add counts as two.
  double (*fma_loop)(float x, float y, int64_t rounds, float* sums);
  // Each round adds dot products of the codes and the rows of `x` to sums that it writes at the
  // end. Answers the operations done, as above.
  double (*dot_loop)(const uint8_t* codes, const int8_t* x, int64_t rounds, float* sums);
  uint64_t (*sum_words)(const uint64_t* words, int64_t count);
};

}  // namespace spate::cpu
