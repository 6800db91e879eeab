// Products of small matrices of bf16 by one warp, and what feeds them.
#pragma once

#include <cstdint>

namespace spate::cuda {

// sum += a * b: a [16, 16], b [16, 8], sum [16, 8] in f32. With g = lane / 4 and t = lane % 4, each
// register of a and b holds two neighbours along the inputs:
//   a: rows g, g + 8, g, g + 8; inputs 2t, 2t, 2t + 8, 2t + 8
//   b: column g; inputs 2t, 2t + 8
//   sum: row g, columns 2t and 2t + 1; then row g + 8
// The order of inputs is free, as long as a and b agree.
__device__ inline void mma(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

__device__ inline uint32_t shared_address(const void* pointer) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(pointer));
}

// Four matrices of [8, 8] bf16; `row` is this lane's row of 16 bytes.
__device__ inline void load_matrices(uint32_t (&out)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
               : "r"(shared_address(row))
               : "memory");
}

// 16 bytes to shared memory, in the background; zeros instead where there is nothing to read.
__device__ inline void copy_async(void* shared, const void* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)),
               "l"(from), "r"(there ? 16 : 0)
               : "memory");
}
__device__ inline void wait_for_copies() { asm volatile("cp.async.wait_all;" ::: "memory"); }

}  // namespace spate::cuda
