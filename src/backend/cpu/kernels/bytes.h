// One vector of small integers: kLanes outputs, four inputs each, a byte every one.
//
//   load_bytes repeat_four            memory -> Bytes; repeat_four gives all outputs the same four
//   & | >> <<                         by bits; a shift may move bits into a neighbour byte of two:
//                                     callers mask them off
//   lookup                            table entry, of 16, that each byte names
//
// and dot, exact sums of products of codes (unsigned) with rounded activations (signed). Sets with
// such an instruction add the products of four inputs to each word at once. The others multiply
// and add neighbours to 16 bits, as many as fit, and then to words; a code of more than six bits is
// multiplied in two halves there.
//
// Only for files in this folder (see isa.h).
#pragma once

#if defined(__AVX512F__)
#include "backend/cpu/kernels/bytes_avx512.h"
#elif defined(__AVX2__)
#include "backend/cpu/kernels/bytes_avx2.h"
#else
#include "backend/cpu/kernels/bytes_generic.h"
#endif

#if defined(__AVX2__) && !defined(__AVX512VNNI__) && !defined(__AVXVNNI__)
#define SPATE_DOTS_IN_PAIRS
#endif

namespace spate::cpu::SPATE_ISA {

#if defined(SPATE_DOTS_IN_PAIRS)

// The groups' pair sums; the caller knows that they fit.
template <int kGroups, class Code>
inline Pairs sum_pairs(Code code, const int8_t* x, int step, int begin) {
  Pairs sum = multiply_pairs(code(begin), repeat_four(x + begin * step));
#pragma GCC unroll 8
  for (int g = begin + 1; g < begin + kGroups; ++g) {
    sum = sum + multiply_pairs(code(g), repeat_four(x + g * step));
  }
  return sum;
}

// `kLargest`: of all codes. The four activations of group g are at x + g * step.
template <int kLargest, int kGroups>
inline Words dot(const Bytes (&codes)[kGroups], const int8_t* x, int step) {
  constexpr int kFit = 32767 / (2 * 127 * kLargest);  // pair sums that fit in 16 bits
  if constexpr (kFit < 2) {
    const Pairs low = sum_pairs<kGroups>([&](int g) { return codes[g] & 0xF; }, x, step, 0);
    const Pairs high = sum_pairs<kGroups>([&](int g) { return codes[g] >> 4 & 0xF; }, x, step, 0);
    return add_pairs(low, 1) + add_pairs(high, 16);
  } else {
    constexpr int kRunGroups = kFit < kGroups ? kFit : kGroups;
    static_assert(kGroups % kRunGroups == 0);
    const auto code = [&](int g) { return codes[g]; };
    Words sum = add_pairs(sum_pairs<kRunGroups>(code, x, step, 0), 1);
#pragma GCC unroll 8
    for (int g = kRunGroups; g < kGroups; g += kRunGroups) {
      sum = sum + add_pairs(sum_pairs<kRunGroups>(code, x, step, g), 1);
    }
    return sum;
  }
}

#else

template <int kLargest, int kGroups>
inline Words dot(const Bytes (&codes)[kGroups], const int8_t* x, int step) {
  Words sum = no_words();
#pragma GCC unroll 8
  for (int g = 0; g < kGroups; ++g) sum = add_dot(sum, codes[g], repeat_four(x + g * step));
  return sum;
}

#endif

}  // namespace spate::cpu::SPATE_ISA
