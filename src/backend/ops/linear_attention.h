// Linear attention with a decay by head, which keeps a state of one size instead of keys and
// values. T tokens in the step, B rows (sequences) in it, H heads, D head width.
#pragma once

#include "backend/contract.h"

namespace spate::op {

// Lightning attention (Qin et al., 2024, "Various lengths, constant speed"): for the tokens of a
// row in their order, each head h by itself,
//
//   S = e^-slope[h] * S + k^T v        S [D, D]: key dimension x value dimension
//   out = scale * q S
//
// which is out_t = scale * sum over s <= t of e^(-slope[h] * (t - s)) * (q_t . k_s) * v_s. S is the
// row's state: it begins with that of a slot of the pool, or with zeros, and ends in a slot; a row
// without tokens copies it. Sums are f32, states f32 or bf16.
//
// A token's result does not depend on the batch or on which slots hold its states. Where S is
// computed token by token, as on the CPU and with deterministic kernels on a GPU, it does not
// depend on how its prompt was cut into steps either, bit for bit: for that a state of bf16 is
// rounded to nearest after each token, once its result is computed. Kernels that take many tokens
// at once round it where the step ends alone, so that cuts change bits, and round what tokens give
// to results to the type of hidden states.
//
// With `state_each` the state after a token is written to a slot of its own, too: draft tokens that
// are rejected are undone by going on from the slot of the last one that was accepted.
//
// No two writes of a step go to one slot, and no row reads a slot that another one writes; a row
// may write the slot that it reads.
struct LinearAttention {
  static constexpr std::string_view kName = "linear_attention";
  Tensor q, k, v;     // [T, H, D], rows may be strided
  Tensor out;         // [T, H, D], rows may be strided; overlaps none of the others
  Tensor slope;       // [H] f32, at least 0
  Tensor state;       // [slots, H, D, D] f32 or bf16, slots may be strided: the pool, one layer
  Tensor row_begin;   // [B + 1] i32: row b owns the tokens [row_begin[b], row_begin[b + 1])
  Tensor state_from;  // [B] i32: the slot with the state before the step; -1: zeros
  Tensor state_to;    // [B] i32: where the state after the step goes; -1: nowhere
  Tensor state_each;  // [T] i32: where the state after a token goes; -1: nowhere. Or empty
  float scale = 1;
  void contract() const {
    Dim T{"T"}, H{"H"}, D{"D"}, S{"slots"}, B{"B"};
    match("q", q, {T, H, D});
    match("k", k, q.dtype, {T, H, D});
    match("v", v, q.dtype, {T, H, D});
    match("out", out, q.dtype, {T, H, D});
    match("slope", slope, DType::f32, {H});
    match("state", state, {S, H, D, D});
    match("state_from", state_from, DType::i32, {B});
    match("state_to", state_to, DType::i32, {B});
    match("row_begin", row_begin, DType::i32, {B.value + 1});
    if (state_each.data != nullptr) match("state_each", state_each, DType::i32, {T});
  }
  // As if every row read and wrote its state and, with state_each, every token its own.
  int64_t bytes() const {
    const int64_t states = 2 * state_from.rows() + (state_each.data != nullptr ? q.rows() : 0);
    return 4 * q.bytes() + states * state.row_size() * static_cast<int64_t>(size_of(state.dtype));
  }
  int64_t flops() const { return 5 * q.rows() * state.row_size(); }
};

}  // namespace spate::op
