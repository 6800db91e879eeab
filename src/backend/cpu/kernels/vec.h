// One vector of floats in the registers of the instruction set a file is compiled for:
//
//   load load_part load_f16 load_bf16 broadcast      memory -> Vec
//   store store_part store_f16 store_bf16            Vec -> memory
//   + - * / fma max min where_less                   lane by lane
//   sum max_lane                                     over lanes, in one fixed order
//   exp                                              relative error below 2 ulp; exp(-inf) is 0,
//   and past 88 it stays at e^88
//
// and Words, one vector of 32-bit words:
//
//   broadcast_word load_i8 load_u8                   memory -> Words, bytes are extended
//   + >> &                                           lane by lane
//   to_float bits_of power_of_two                    of signed words; of a Vec; a word w to 2^(w -
//   127) store_low_bytes                                  one byte a lane
//
// kLanes lanes. The *_part functions take the first `count` lanes; lanes that are not loaded are 0.
// Only for files in this folder (see isa.h).
#pragma once

#include <cstdint>

#if defined(__AVX512F__)
#include "backend/cpu/kernels/vec_avx512.h"
#elif defined(__AVX2__)
#include "backend/cpu/kernels/vec_avx2.h"
#else
#include "backend/cpu/kernels/vec_generic.h"
#endif

namespace spate::cpu::SPATE_ISA {

// e^x = 2^n * e^r with n = round(x / ln 2) and |r| <= ln 2 / 2; e^r by a polynomial whose
// coefficients are 1/k! moved a little to spread the error (Cephes' expf).
inline Vec exp(Vec x) {
  const Vec low = broadcast(-87.0F), high = broadcast(88.0F);
  const Vec clamped = min(high, max(low, x));  // in this order a NaN in x stays one
  const Vec magic = broadcast(12582912.0F);    // 1.5 * 2^23: adding it rounds to an integer
  const Vec n = fma(clamped, broadcast(1.44269504F), magic) - magic;
  // ln 2 in two parts, so that n * (first part) is exact.
  const Vec r = fma(n, broadcast(2.12194440e-4F), fma(n, broadcast(-0.693359375F), clamped));
  Vec p = broadcast(1.9875691500e-4F);
  p = fma(p, r, broadcast(1.3981999507e-3F));
  p = fma(p, r, broadcast(8.3334519073e-3F));
  p = fma(p, r, broadcast(4.1665795894e-2F));
  p = fma(p, r, broadcast(1.6666665459e-1F));
  p = fma(p, r, broadcast(5.0000001201e-1F));
  p = fma(p, r * r, r) + broadcast(1.0F);
  return where_less(x, low, broadcast(0.0F), scale_by_power_of_two(p, n));
}

}  // namespace spate::cpu::SPATE_ISA
