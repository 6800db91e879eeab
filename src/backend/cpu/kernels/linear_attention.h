// Linear attention of one head of one row; see backend/ops/linear_attention.h. Columns of the
// state, those of the values, do not know of each other: a task takes a tile of them through all
// tokens. A result depends on its head and column alone, not on how tokens are chunked.
#pragma once

#include <cstdint>

namespace spate::cpu {

constexpr int kStateColumns = 32;  // of a tile: with 128 keys, half a first cache

// State: float, or uint16_t for bf16.
template <class State>
struct LinearAttentionHead {
  const float *q, *k, *v;  // the head's first element in the row's first token
  float* out;
  int64_t q_stride, k_stride, v_stride, out_stride;  // elements from token to token
  int64_t tokens;
  int64_t width;  // D
  float decay;    // multiplies the state before each token
  float scale;
  const State* from;    // [D, D], the state before the first token; null: zeros
  State* to;            // [D, D], the state after the last; null: not kept
  const int32_t* each;  // [tokens], the slot that keeps the state after each; -1: none. Or null
  State* slots;         // the head's state in slot 0
  int64_t slot_stride;  // elements
};

struct LinearAttentionKernels {
  // The columns [column, column + kStateColumns), as far as there are so many. `scratch` has room
  // for kStateColumns * width elements of a state.
  void (*of_f32)(const LinearAttentionHead<float>& head, int64_t column, float* scratch);
  void (*of_bf16)(const LinearAttentionHead<uint16_t>& head, int64_t column, uint16_t* scratch);
};

}  // namespace spate::cpu
