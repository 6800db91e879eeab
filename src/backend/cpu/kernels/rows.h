// Kernels of the ops that work row by row: sums, activations, norms, rotary positions, conversion
// to the cache's type. All sizes count elements; out may be one of the inputs. An element's or a
// row's result depends on that row alone.
#pragma once

#include <cstdint>

#include "backend/cpu/kernels/cache_type.h"

namespace spate::cpu {

struct RowKernels {
  void (*add)(const float* a, const float* b, float* out, int64_t size);
  void (*scale)(float* x, float factor, int64_t size);
  // op::Gated, with each activation
  void (*silu_times)(const float* gate, const float* up, float* out, int64_t size);
  void (*gelu_tanh_times)(const float* gate, const float* up, float* out, int64_t size);
  void (*clipped_silu_times)(const float* gate, const float* up, float* out, int64_t size);
  void (*rms_norm)(const float* x, const float* weight, float* out, int64_t size, float eps);
  // residual += x, out = rms_norm(residual): the same bits as add, then rms_norm.
  void (*add_rms_norm)(float* residual, const float* x, const float* weight, float* out,
                       int64_t size, float eps);
  // Cosine and sine, times `magnitude`, of position * frequencies[i].
  void (*angles)(int32_t position, const float* frequencies, int64_t pairs, float magnitude,
                 float* cosine, float* sine);
  // Turns each of `heads` heads of `width` elements in place; pairs (i, i + pairs) or (2i, 2i + 1).
  void (*turn_halves)(float* x, int64_t heads, int64_t width, const float* cosine,
                      const float* sine, int64_t pairs);
  void (*turn_neighbours)(float* x, int64_t heads, int64_t width, const float* cosine,
                          const float* sine, int64_t pairs);
  void (*convert)(const float* from, CacheType type, void* to, int64_t size);
};

}  // namespace spate::cpu
