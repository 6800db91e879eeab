// The sets compiled on x86-64. AVX2 comes with FMA and F16C, AVX-512 means F, BW, DQ and VL: what
// all processors with AVX-512 since 2017 have. The VNNI sets have integer dot products besides.
#include <cpuid.h>

#include "backend/cpu/isa.h"

namespace spate::cpu {
namespace {

constexpr unsigned kAvxVnniBit = 1U << 4;  // leaf 7.1, eax; older headers have no name for it

// Not __builtin_cpu_supports: clang 14 does not know this name.
bool has_f16c() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_F16C) != 0;
}

bool has_avx2() {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
}

bool has_avx512() {
  return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}

bool has_avx2_vnni() {
  unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
  return has_avx2() && __get_cpuid_count(7, 1, &eax, &ebx, &ecx, &edx) != 0 &&
         (eax & kAvxVnniBit) != 0;
}

bool has_avx512_vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }

}  // namespace

std::span<const Isa> all_isas() {
  static const Isa kIsas[] = {
      {"avx512_vnni", has_avx512_vnni(), &avx512_vnni::kTable},
      {"avx512", has_avx512(), &avx512::kTable},
      {"avx2_vnni", has_avx2_vnni(), &avx2_vnni::kTable},
      {"avx2", has_avx2(), &avx2::kTable},
      {"generic", true, &generic::kTable},
  };
  return kIsas;
}

}  // namespace spate::cpu
