// Warpgroups of compute capability 9.0 (four warps): matrix products that read slabs of shared
// memory themselves and run beside other instructions, and registers that one gives to another.
#pragma once

#include "backend/cuda/copy_engine.cuh"

namespace spate::cuda {

// Waits for all threads of a warpgroup, of which each has its own `number` > 0.
__device__ inline void sync_warpgroup(int number) {
  asm volatile("bar.sync %0, 128;" : : "r"(number) : "memory");
}

// ---- Registers of a warpgroup's threads: those that one gives back, another may take.

template <int kRegisters>
__device__ void keep_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" : : "n"(kRegisters));
}

template <int kRegisters>
__device__ void take_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" : : "n"(kRegisters));
}

// ---- What warps write for products that read it.

// Four matrices of 8 x 8 elements of two bytes, of which a thread has a pair in a row as mma() has
// them of c; lane 8 * n + i gives the address for row i of matrix n.
__device__ inline void store_matrices(void* row, const uint32_t (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared::cta.b16 [%0], {%1, %2, %3, %4};"
               :
               : "r"(shared_address(row)), "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

// The same, where columns become rows: lane 8 * n + i gives the address for column i of matrix n.
__device__ inline void store_matrices_transposed(void* row, const uint32_t (&from)[4]) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.trans.shared::cta.b16 [%0], {%1, %2, %3, %4};"
               :
               : "r"(shared_address(row)), "r"(from[0]), "r"(from[1]), "r"(from[2]), "r"(from[3])
               : "memory");
}

// ---- Products. Of c[64, N] a warp has 16 rows, warp after warp, laid out as tiles
// of mma(), N / 8 of them. Between begin_products() and the wait for the products nothing else may
// touch c, nor a in registers.

__device__ inline void begin_products() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ inline void end_product_group() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// No use of c moves up across this.
template <int kTiles>
__device__ void keep_behind(float (&c)[kTiles][4]) {
#pragma unroll
  for (int tile = 0; tile < kTiles; ++tile) {
    asm volatile(""
                 : "+f"(c[tile][0]), "+f"(c[tile][1]), "+f"(c[tile][2]), "+f"(c[tile][3])
                 :
                 : "memory");
  }
}

template <int kParts, int kTiles>
__device__ void keep_behind(float (&c)[kParts][kTiles][4]) {
#pragma unroll
  for (int part = 0; part < kParts; ++part) keep_behind(c[part]);
}

// Waits until at most kGroups of the latest groups are under way; `c` is the result of one that has
// ended.
template <int kGroups, class Result>
__device__ void wait_for_products(Result& c) {
  asm volatile("wgmma.wait_group.sync.aligned %0;" : : "n"(kGroups) : "memory");
  keep_behind(c);
}

// Describes an operand that begins at `address` in shared memory. Products add 16 along their inner
// dimension: 32 bytes where it runs along rows, 16 rows where it runs down them.
__device__ inline uint64_t operand_at(uint32_t address, int slab_bytes) {
  constexpr uint64_t kEightRows = 8 * kSlabRowBytes, kSwizzle128 = uint64_t{1} << 62;
  return kSwizzle128 | kEightRows / 16 << 32 | static_cast<uint64_t>(slab_bytes / 16) << 16 |
         address / 16;
}

// The address of what is at the same place for all lanes. So the compiler knows that it is, and an
// operand there lies in the registers that products read, instead of being brought there for each.
__device__ inline uint32_t uniform_address(const void* shared) {
  return __shfl_sync(~0U, shared_address(shared), 0);
}

// The same operand, `bytes` further on.
__device__ inline uint64_t operand_behind(uint64_t operand, int bytes) {
  return operand + bytes / 16;
}

// Registers and sums of N columns: N / 2 of a thread.
#define SPATE_REGISTERS_16 "%0, %1, %2, %3, %4, %5, %6, %7"
#define SPATE_REGISTERS_32 SPATE_REGISTERS_16 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define SPATE_REGISTERS_48 SPATE_REGISTERS_32 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define SPATE_REGISTERS_64 SPATE_REGISTERS_48 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define SPATE_REGISTERS_80 SPATE_REGISTERS_64 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define SPATE_REGISTERS_96 SPATE_REGISTERS_80 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define SPATE_REGISTERS_112 SPATE_REGISTERS_96 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define SPATE_REGISTERS_128 SPATE_REGISTERS_112 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define SPATE_REGISTERS_144 SPATE_REGISTERS_128 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define SPATE_REGISTERS_160 SPATE_REGISTERS_144 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define SPATE_REGISTERS_192 \
  SPATE_REGISTERS_160       \
  ", %80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define SPATE_REGISTERS_224 \
  SPATE_REGISTERS_192       \
  ", %96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111"
#define SPATE_REGISTERS_256                                                                      \
  SPATE_REGISTERS_224                                                                            \
  ", %112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, " \
  "%127"
#define SPATE_SUMS_2(i)                                                          \
  "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3]), "+f"(c[i + 1][0]), \
      "+f"(c[i + 1][1]), "+f"(c[i + 1][2]), "+f"(c[i + 1][3])
#define SPATE_SUMS_4(i) SPATE_SUMS_2(i), SPATE_SUMS_2(i + 2)
#define SPATE_SUMS_8(i) SPATE_SUMS_4(i), SPATE_SUMS_4(i + 4)
#define SPATE_SUMS_16(i) SPATE_SUMS_8(i), SPATE_SUMS_8(i + 8)

// The numbers of the operands behind the sums stand as text.
#define SPATE_PRODUCT(N, OF_A, OF_B, OF_ADD, ...)                                               \
  asm volatile(                                                                                 \
      "{ .reg .pred add; setp.ne.b32 add, %" OF_ADD ", 0; wgmma.mma_async.sync.aligned.m64n" #N \
      "k16.f32.bf16.bf16 {" SPATE_REGISTERS_##N "}, %" OF_A ", %" OF_B ", add, 1, 1, 0, 0; }"   \
      : __VA_ARGS__                                                                             \
      : "l"(a), "l"(b), "r"(static_cast<int>(add)))

// c[64, N] = a[64, 16] * b[N, 16]^T, or c += where `add`; rows of both in shared memory.
template <int N>
__device__ void multiply_shared(float (&c)[N / 8][4], uint64_t a, uint64_t b, bool add) {
  static_assert((N % 16 == 0 && N <= 160) || N == 192 || N == 224 || N == 256);
  if constexpr (N == 16) SPATE_PRODUCT(16, "8", "9", "10", SPATE_SUMS_2(0));
  if constexpr (N == 32) SPATE_PRODUCT(32, "16", "17", "18", SPATE_SUMS_4(0));
  if constexpr (N == 48) SPATE_PRODUCT(48, "24", "25", "26", SPATE_SUMS_4(0), SPATE_SUMS_2(4));
  if constexpr (N == 64) SPATE_PRODUCT(64, "32", "33", "34", SPATE_SUMS_8(0));
  if constexpr (N == 80) SPATE_PRODUCT(80, "40", "41", "42", SPATE_SUMS_8(0), SPATE_SUMS_2(8));
  if constexpr (N == 96) SPATE_PRODUCT(96, "48", "49", "50", SPATE_SUMS_8(0), SPATE_SUMS_4(8));
  if constexpr (N == 112)
    SPATE_PRODUCT(112, "56", "57", "58", SPATE_SUMS_8(0), SPATE_SUMS_4(8), SPATE_SUMS_2(12));
  if constexpr (N == 128) SPATE_PRODUCT(128, "64", "65", "66", SPATE_SUMS_16(0));
  if constexpr (N == 144) SPATE_PRODUCT(144, "72", "73", "74", SPATE_SUMS_16(0), SPATE_SUMS_2(16));
  if constexpr (N == 160) SPATE_PRODUCT(160, "80", "81", "82", SPATE_SUMS_16(0), SPATE_SUMS_4(16));
  if constexpr (N == 192) SPATE_PRODUCT(192, "96", "97", "98", SPATE_SUMS_16(0), SPATE_SUMS_8(16));
  if constexpr (N == 224)
    SPATE_PRODUCT(224, "112", "113", "114", SPATE_SUMS_16(0), SPATE_SUMS_8(16), SPATE_SUMS_4(24));
  if constexpr (N == 256)
    SPATE_PRODUCT(256, "128", "129", "130", SPATE_SUMS_16(0), SPATE_SUMS_16(16));
}

// Where the inner dimension of b runs in shared memory: along its rows, b[N, 16]; or down its
// columns, b[16, N].
enum class Along { rows, columns };

// c[64, 64] = a[64, 16] * b[16, 64], or c += where `add`; both in shared memory, b down its
// columns.
__device__ inline void multiply_shared_down(float (&c)[8][4], uint64_t a, uint64_t b, bool add) {
  asm volatile(
      "{ .reg .pred add; setp.ne.b32 add, %34, 0; "
      "wgmma.mma_async.sync.aligned.m64n64k16.f32.bf16.bf16 {" SPATE_REGISTERS_64
      "}, %32, %33, add, 1, 1, 0, 1; }"
      : SPATE_SUMS_8(0)
      : "l"(a), "l"(b), "r"(static_cast<int>(add)));
}

// With a in registers; TYPE of both, DOWN: b runs down its columns.
#define SPATE_PRODUCT_OF(TYPE, N, OF_A, OF_B, OF_ADD, OF_DOWN, ...)                              \
  asm volatile("{ .reg .pred add; setp.ne.b32 add, %" OF_ADD                                     \
               ", 0; wgmma.mma_async.sync.aligned.m64n" #N "k16.f32." TYPE "." TYPE              \
               " {" SPATE_REGISTERS_##N "}, {" OF_A "}, %" OF_B ", add, 1, 1, %" OF_DOWN "; }"   \
               : __VA_ARGS__                                                                     \
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)), \
                 "n"(kAlong == Along::columns ? 1 : 0))
#define SPATE_PRODUCT_OF_T(...)            \
  if constexpr (std::is_same_v<T, bf16>) { \
    SPATE_PRODUCT_OF("bf16", __VA_ARGS__); \
  } else {                                 \
    SPATE_PRODUCT_OF("f16", __VA_ARGS__);  \
  }

// c[64, N] = a * b, or c += where `add`; a in registers, as for mma(). T: bf16 or f16, of both.
template <Along kAlong, int N, class T = bf16>
__device__ void multiply_registers(float (&c)[N / 8][4], const uint32_t (&a)[4], uint64_t b,
                                   bool add) {
  static_assert(N == 64 || N == 80 || N == 96 || N == 128);
  if constexpr (N == 64) {
    SPATE_PRODUCT_OF_T(64, "%32, %33, %34, %35", "36", "37", "38", SPATE_SUMS_8(0))
  } else if constexpr (N == 80) {
    SPATE_PRODUCT_OF_T(80, "%40, %41, %42, %43", "44", "45", "46", SPATE_SUMS_8(0), SPATE_SUMS_2(8))
  } else if constexpr (N == 96) {
    SPATE_PRODUCT_OF_T(96, "%48, %49, %50, %51", "52", "53", "54", SPATE_SUMS_8(0), SPATE_SUMS_4(8))
  } else if constexpr (N == 128) {
    SPATE_PRODUCT_OF_T(128, "%64, %65, %66, %67", "68", "69", "70", SPATE_SUMS_16(0))
  }
}

#undef SPATE_PRODUCT_OF
#undef SPATE_PRODUCT_OF_T
#undef SPATE_REGISTERS_16
#undef SPATE_REGISTERS_32
#undef SPATE_REGISTERS_48
#undef SPATE_REGISTERS_64
#undef SPATE_REGISTERS_80
#undef SPATE_REGISTERS_96
#undef SPATE_REGISTERS_112
#undef SPATE_REGISTERS_128
#undef SPATE_REGISTERS_144
#undef SPATE_REGISTERS_160
#undef SPATE_REGISTERS_192
#undef SPATE_REGISTERS_224
#undef SPATE_REGISTERS_256
#undef SPATE_SUMS_2
#undef SPATE_SUMS_4
#undef SPATE_SUMS_8
#undef SPATE_SUMS_16
#undef SPATE_PRODUCT

}  // namespace spate::cuda
