// One vector of small integers: kLanes outputs, four inputs each, a byte every one.
//
//   load_bytes repeat_four            memory -> Bytes; repeat_four gives all outputs the same four
//   & | >> <<                         by bits; a shift may move bits into a neighbour byte of two:
//                                     callers mask them off
//   lookup                            table entry, of 16, that each byte names
//
// and Factor, whose dot adds the products of a part's codes (unsigned) with rounded activations
// (signed), for kLanes outputs, exactly. Sets with such an instruction add the products of four
// inputs to each word at once. The others multiply and add neighbours to 16 bits, as many as fit,
// and then to words; a code of more than six bits is multiplied in two halves there.
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

// Pair sums of all groups of a run; the caller knows that they fit.
template <int kGroups>
inline Pairs sum_pairs(const Bytes* codes, const int8_t* x, int step) {
  Pairs sum = multiply_pairs(codes[0], repeat_four(x));
#pragma GCC unroll 8
  for (int g = 1; g < kGroups; ++g) {
    sum = sum + multiply_pairs(codes[g], repeat_four(x + g * step));
  }
  return sum;
}

// The codes of a part, ready for products with any number of rows. kLargest: of all codes.
template <int kLargest, int kGroups>
class Factor {
 public:
  explicit Factor(const Bytes (&codes)[kGroups]) {
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) {
      codes_[g] = kHalved ? codes[g] & 0xF : codes[g];
      if constexpr (kHalved) codes_[kGroups + g] = codes[g] >> 4 & 0xF;
    }
  }

  // The sum, and start + the sum; the four activations of group g are at x + g * step.
  Words dot(const int8_t* x, int step) const {
    if constexpr (kHalved) {
      return add_pairs(sum_pairs<kGroups>(codes_, x, step), 1) +
             add_pairs(sum_pairs<kGroups>(codes_ + kGroups, x, step), 16);
    } else {
      Words sum = add_pairs(sum_pairs<kRun>(codes_, x, step), 1);
#pragma GCC unroll 8
      for (int g = kRun; g < kGroups; g += kRun) {
        sum = sum + add_pairs(sum_pairs<kRun>(codes_ + g, x + g * step, step), 1);
      }
      return sum;
    }
  }
  Words dot(Words start, const int8_t* x, int step) const { return start + dot(x, step); }

 private:
  static constexpr int kFit = 32767 / (2 * 127 * kLargest);  // pair sums that fit in 16 bits
  static constexpr bool kHalved = kFit < 2;
  static constexpr int kRun = kFit >= kGroups ? kGroups : kFit >= 4 ? 4 : kFit;
  static_assert(kHalved || kGroups % kRun == 0);

  Bytes codes_[kHalved ? 2 * kGroups : kGroups];
};

#else

template <int kLargest, int kGroups>
class Factor {
 public:
  explicit Factor(const Bytes (&codes)[kGroups]) {
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) codes_[g] = codes[g];
  }

  Words dot(const int8_t* x, int step) const { return dot(broadcast_word(0), x, step); }
  Words dot(Words start, const int8_t* x, int step) const {
#pragma GCC unroll 8
    for (int g = 0; g < kGroups; ++g) start = add_dot(start, codes_[g], repeat_four(x + g * step));
    return start;
  }

 private:
  Bytes codes_[kGroups];
};

#endif

}  // namespace spate::cpu::SPATE_ISA
