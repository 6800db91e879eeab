// Products of a warpgroup whose left side are 64 outputs of a weight and whose right side are few
// rows of x, both in shared memory (warpgroup.cuh), over 32 bytes of each: 16 elements of bf16, or
// 32 codes of e4m3.
#pragma once

#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {

enum class Element : uint8_t { bf16, e4m3 };

#define SPATE_SUM(i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
#define SPATE_SUMS_2(i) SPATE_SUM(i), SPATE_SUM(i + 1)
#define SPATE_SUMS_4(i) SPATE_SUMS_2(i), SPATE_SUMS_2(i + 2)
#define SPATE_SUMS_8(i) SPATE_SUMS_4(i), SPATE_SUMS_4(i + 4)
#define SPATE_4 "%0, %1, %2, %3"
#define SPATE_8 SPATE_4 ", %4, %5, %6, %7"
#define SPATE_16 SPATE_8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define SPATE_32                                                                  \
  SPATE_16                                                                        \
  ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, " \
  "%31"
#define SPATE_64                                                                       \
  SPATE_32                                                                             \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
  "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define SPATE_SUMS_16(i) SPATE_SUMS_8(i), SPATE_SUMS_8(i + 8)
// The sums come last; their registers are `list`, and a, b and add come behind them.
#define SPATE_PRODUCT(shape, types, list, a_at, b_at, add_at, majors, ...)                    \
  asm volatile("{ .reg .pred add; setp.ne.b32 add, %" add_at                                  \
               ", 0; wgmma.mma_async.sync.aligned." shape ".f32." types " {" list "}, %" a_at \
               ", %" b_at ", add, 1, 1" majors "; }"                                          \
               : __VA_ARGS__                                                                  \
               : "l"(a), "l"(b), "r"(static_cast<int>(add)))
#define SPATE_BOTH(n, list, a_at, b_at, add_at, ...)                                             \
  if constexpr (kElement == Element::bf16) {                                                     \
    SPATE_PRODUCT("m64n" n "k16", "bf16.bf16", list, a_at, b_at, add_at, ", 0, 0", __VA_ARGS__); \
  } else {                                                                                       \
    SPATE_PRODUCT("m64n" n "k32", "e4m3.e4m3", list, a_at, b_at, add_at, "", __VA_ARGS__);       \
  }

// c[64, N] = a[64, .] * b[N, .]^T, or c += where `add`.
template <Element kElement, int kTiles>
__device__ void multiply_few(float (&c)[kTiles][4], uint64_t a, uint64_t b, bool add) {
  static_assert(kTiles == 1 || kTiles == 2 || kTiles == 4 || kTiles == 8 || kTiles == 16);
  if constexpr (kTiles == 1) {
    SPATE_BOTH("8", SPATE_4, "4", "5", "6", SPATE_SUM(0))
  } else if constexpr (kTiles == 2) {
    SPATE_BOTH("16", SPATE_8, "8", "9", "10", SPATE_SUMS_2(0))
  } else if constexpr (kTiles == 4) {
    SPATE_BOTH("32", SPATE_16, "16", "17", "18", SPATE_SUMS_4(0))
  } else if constexpr (kTiles == 8) {
    SPATE_BOTH("64", SPATE_32, "32", "33", "34", SPATE_SUMS_8(0))
  } else {
    SPATE_BOTH("128", SPATE_64, "64", "65", "66", SPATE_SUMS_16(0))
  }
}

#undef SPATE_SUM
#undef SPATE_SUMS_2
#undef SPATE_SUMS_4
#undef SPATE_SUMS_8
#undef SPATE_SUMS_16
#undef SPATE_4
#undef SPATE_8
#undef SPATE_16
#undef SPATE_32
#undef SPATE_64
#undef SPATE_PRODUCT
#undef SPATE_BOTH

}  // namespace spate::cuda
