// One linear attention op as its kernels see it, and the kernels that there are. Definitions:
// general.cu, steps.cu, chunked.cu.
#pragma once

#include "backend/cuda/context.h"

namespace spate::cuda {

// Tables lie on the device; all strides count elements.
struct LinearAttentionProblem {
  const void *q, *k, *v;  // [T, H, D] of `activation`
  void* out;              // the same
  int64_t q_stride, k_stride, v_stride, out_stride;
  void* state;  // [slots, H, D, D] of `state_type`
  int64_t state_stride;
  const float* slope;                           // [H]
  const int32_t *row_begin, *from, *to, *each;  // see op::LinearAttention; `each` may be null
  int tokens, rows, heads, width;               // T, B, H, D
  float scale;
  DType activation, state_type;
};

// Which rows the kernels that go token by token take: every one, or those that `chunked` leaves.
enum class SteppedRows { all, of_few_tokens };

// Rows with fewer tokens are faster token by token.
constexpr int kLeastChunkTokens = 32;

void attend_linear_general(const Context& context, const LinearAttentionProblem& problem);

// Heads of 64 or 128 elements whose rows are vectors of 16 bytes (states) and 8 elements.
void attend_linear_steps(const Context& context, const LinearAttentionProblem& problem,
                         SteppedRows rows);
// The rows with many tokens; bf16, and no state of each token.
void attend_linear_chunked(const Context& context, const LinearAttentionProblem& problem);

}  // namespace spate::cuda
