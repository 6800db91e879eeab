// What one forward step works on; passed to every layer, never global.
// T tokens in the step, B rows (sequences) in it, N segments of all rows together.
#pragma once

#include <optional>
#include <span>

#include "backend/backend.h"
#include "kv/pool.h"
#include "tensor/tensor.h"

namespace spate {

// The tables of one batch, on the device. See KvView for their meaning.
struct BatchView {
  Tensor tokens;         // [T] i32
  Tensor positions;      // [T] i32, place of each token in its sequence
  Tensor slot;           // [T] i32
  Tensor row_begin;      // [B + 1] i32
  Tensor length;         // [B] i32
  Tensor segment_begin;  // [B + 1] i32
  Tensor segments;       // [N, 2] i32
  SharedKeys shared;
  Tensor state_from, state_to;  // [B] i32, see op::LinearAttention
  // [W] i32, ascending: the tokens whose hidden states are wanted behind the last layer, at most
  // most_wanted(T). Absent: all are.
  std::optional<Tensor> wanted;
  static constexpr int64_t most_wanted(int64_t tokens) { return 3 * tokens / 4; }
  std::span<const RowExtent> extents;  // [B] on the host, without rows that only fill up
};

struct Step {
  Backend& backend;
  const BatchView& batch;
  const KvPool& kv;
  const StatePool& states;
  Arena& scratch;

  int64_t tokens() const { return batch.tokens.rows(); }
  Tensor take(std::initializer_list<int64_t> shape) const {
    return scratch.take(Shape(shape), backend.activation_type());
  }
  Tensor take(std::initializer_list<int64_t> shape, DType type) const {
    return scratch.take(Shape(shape), type);
  }
  KvView kv_view(int64_t layer) const {
    return {.keys = kv.keys(layer),
            .values = kv.values(layer),
            .scales = kv.scales(layer),
            .slot = batch.slot,
            .row_begin = batch.row_begin,
            .length = batch.length,
            .segment_begin = batch.segment_begin,
            .segments = batch.segments,
            .shared = batch.shared,
            .extents = batch.extents};
  }
};

}  // namespace spate
