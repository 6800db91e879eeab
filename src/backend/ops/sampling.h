// From logits to tokens. All rows of a step go through the same few ops; what differs between
// requests is in small tables with one entry a row. B rows, V vocabulary, N edits of all rows.
// Ragged tables: row b owns the entries [begin[b], begin[b + 1]), each for another token.
//
// A NaN counts as -infinity. Beside a +infinity, finite logits have no probability.
#pragma once

#include "backend/contract.h"

namespace spate::op {

// The penalties of the tokens a row has seen. For each listed token, with p = in_prompt and
// c = times generated:
//   p or c > 0: logit = logit > 0 ? logit / repetition : logit * repetition
//   c > 0:      logit -= frequency * c + presence
struct Penalize {
  static constexpr std::string_view kName = "penalize";
  Tensor logits;                           // [B, V] f32, in place
  Tensor begin;                            // [B + 1] i32
  Tensor tokens, count;                    // [N] i32: token id, times generated (0: prompt only)
  Tensor repetition, frequency, presence;  // [B] f32; 1, 0, 0 change nothing
  void contract() const {
    Dim B{"B"}, V{"V"}, N{"N"};
    match("logits", logits, DType::f32, {B, V});
    match("begin", begin, DType::i32, {B.value + 1});
    match("tokens", tokens, DType::i32, {N});
    match("count", count, DType::i32, {N});
    match("repetition", repetition, DType::f32, {B});
    match("frequency", frequency, DType::f32, {B});
    match("presence", presence, DType::f32, {B});
  }
  int64_t bytes() const { return 16 * tokens.rows(); }
  int64_t flops() const { return 4 * tokens.rows(); }
};

// logits[b, token] += value; -infinity bans a token.
struct LogitEdit {
  static constexpr std::string_view kName = "logit_edit";
  Tensor logits;  // [B, V] f32, in place
  Tensor begin;   // [B + 1] i32
  Tensor tokens;  // [N] i32
  Tensor values;  // [N] f32
  void contract() const {
    Dim B{"B"}, V{"V"}, N{"N"};
    match("logits", logits, DType::f32, {B, V});
    match("begin", begin, DType::i32, {B.value + 1});
    match("tokens", tokens, DType::i32, {N});
    match("values", values, DType::f32, {N});
  }
  int64_t bytes() const { return 16 * tokens.rows(); }
  int64_t flops() const { return tokens.rows(); }
};

// Rows with at least one listed token keep only those; all others become -infinity. Rows without
// are left alone.
struct KeepOnly {
  static constexpr std::string_view kName = "keep_only";
  Tensor logits;  // [B, V] f32, in place
  Tensor begin;   // [B + 1] i32
  Tensor tokens;  // [N] i32
  void contract() const {
    Dim B{"B"}, V{"V"}, N{"N"};
    match("logits", logits, DType::f32, {B, V});
    match("begin", begin, DType::i32, {B.value + 1});
    match("tokens", tokens, DType::i32, {N});
  }
  int64_t bytes() const { return 2 * logits.bytes(); }
  int64_t flops() const { return 0; }
};

// Divides each row by its temperature, then masks with -infinity all but the tokens that survive,
// in this order, each on what the one before left:
//   top_k: the k largest (ties with the k-th stay);
//   top_p: the smallest set of most probable tokens whose probabilities reach top_p (ties broken
//          by the smaller id; at least one stays);
//   min_p: those with probability >= min_p * the largest probability.
// Rows with temperature 0 are left alone: they are greedy. Rows of which nothing is asked may be
// left with their NaNs, and with finite logits beside +infinity.
struct MaskTop {
  static constexpr std::string_view kName = "mask_top";
  Tensor logits;                     // [B, V] f32, in place
  Tensor temperature, top_p, min_p;  // [B] f32; 1 and 0 switch top_p and min_p off
  Tensor top_k;                      // [B] i32; 0 switches it off
  void contract() const {
    Dim B{"B"}, V{"V"};
    match("logits", logits, DType::f32, {B, V});
    match("temperature", temperature, DType::f32, {B});
    match("top_p", top_p, DType::f32, {B});
    match("min_p", min_p, DType::f32, {B});
    match("top_k", top_k, DType::i32, {B});
  }
  int64_t bytes() const { return 2 * logits.bytes(); }
  int64_t flops() const { return 4 * logits.shape.elements(); }
};

// Draws one token a row from softmax(logits), or the largest logit (ties: the smallest id) when
// temperature is 0; -1 when no logit is above -infinity. The draw adds Gumbel noise made from
// philox(key, position, token / 4).word[token % 4] and takes the largest, so it needs no sum over
// the row and depends on nothing but the row itself.
struct Draw {
  static constexpr std::string_view kName = "draw";
  Tensor logits;       // [B, V] f32, already divided by the temperature
  Tensor temperature;  // [B] f32
  Tensor key;          // [B, 2] i32: low and high word of the row's 64-bit key
  Tensor position;     // [B] i32, index of the token to draw in its sequence
  Tensor out;          // [B] i32
  void contract() const {
    Dim B{"B"}, V{"V"};
    match("logits", logits, DType::f32, {B, V});
    match("temperature", temperature, DType::f32, {B});
    match("key", key, DType::i32, {B, 2});
    match("position", position, DType::i32, {B});
    match("out", out, DType::i32, {B});
  }
  int64_t bytes() const { return logits.bytes(); }
  int64_t flops() const { return 10 * logits.shape.elements(); }
};

// Log-probabilities (natural, log-softmax of the logits given) of one chosen token a row and of the
// K most probable ones, best first; ties by the smaller id.
struct Logprobs {
  static constexpr std::string_view kName = "logprobs";
  Tensor logits;        // [B, V] f32, read only
  Tensor chosen;        // [B] i32; -1, where Draw found none, counts as -infinity
  Tensor logprob;       // [B] f32: of the chosen token
  Tensor rank;          // [B] i32: 1 + number of tokens with a larger logit
  Tensor top_tokens;    // [B, K] i32, or empty
  Tensor top_logprobs;  // [B, K] f32, or empty
  void contract() const {
    Dim B{"B"}, V{"V"}, K{"K"};
    match("logits", logits, DType::f32, {B, V});
    match("chosen", chosen, DType::i32, {B});
    match("logprob", logprob, DType::f32, {B});
    match("rank", rank, DType::i32, {B});
    if (top_tokens.data != nullptr) {
      match("top_tokens", top_tokens, DType::i32, {B, K});
      match("top_logprobs", top_logprobs, DType::f32, {B, K});
    }
  }
  int64_t bytes() const { return logits.bytes(); }
  int64_t flops() const { return 4 * logits.shape.elements(); }
};

}  // namespace spate::op
