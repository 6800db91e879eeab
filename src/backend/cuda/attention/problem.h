// One attention op as its kernels see it, and the kernels that there are.
#pragma once

#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

namespace spate::cuda {

// Tables lie on the device; all strides count elements.
struct AttentionProblem {
  const void* q;  // [T, H, D] of `activation`
  void* out;      // [T, H, D] of `activation`
  int64_t q_stride, out_stride;
  const void *keys, *values;  // [slots, G, D] of `cache`
  int64_t key_stride, value_stride;
  const int32_t *row_begin, *length, *segment_begin, *segments;  // see KvView
  int tokens, rows, heads, kv_heads, width;                      // T, B, H, G, D
  int group;                                                     // H / G
  float scale;
  int window;  // 0: none
  float soft_cap;
  const float* sinks;  // [H], or null
  DType activation, cache;
};

void attend_general(const Context& context, const AttentionProblem& problem);

}  // namespace spate::cuda
