// For the ops that work row by row: sharing rows among threads, and what ops say in terms of
// kernels.
#pragma once

#include <algorithm>

#include "backend/cpu/context.h"
#include "backend/cpu/kernels/cache_type.h"
#include "backend/cpu/kernels/rows.h"
#include "backend/ops/linear.h"
#include "tensor/tensor.h"

namespace spate::cpu {

// Calls body(row, thread) for every row. Rows of `elements` elements go to other threads only when
// all of them together are worth waking those up.
template <class Body>
void for_rows(Context& context, int64_t rows, int64_t elements, const Body& body) {
  constexpr int64_t kAlone = 32 * 1024;  // elements; about 10 microseconds
  const int64_t runs =
      context.threads() == 1 || rows * elements <= kAlone
          ? 1
          : std::min<int64_t>({rows, 4 * context.threads(), rows * elements / (kAlone / 4)});
  context.pool().parallel(runs, [&](int64_t run, int thread) {
    for (int64_t row = rows * run / runs; row < rows * (run + 1) / runs; ++row) body(row, thread);
  });
}

inline auto activation_kernel(const RowKernels& kernels, op::Activation activation) {
  switch (activation) {
    case op::Activation::gelu_tanh: return kernels.gelu_tanh_times;
    case op::Activation::clipped_silu: return kernels.clipped_silu_times;
    case op::Activation::silu: break;
  }
  return kernels.silu_times;
}

inline CacheType cache_type(DType type) {
  check(type == DType::f32 || type == DType::f16 || type == DType::bf16, "a cache of ",
        name_of(type), ", expected f32, f16 or bf16");
  return type == DType::f16    ? CacheType::f16
         : type == DType::bf16 ? CacheType::bf16
                               : CacheType::f32;
}

}  // namespace spate::cpu
