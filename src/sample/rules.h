// The rules that turn logits into tokens: an explicit list, run in its order over all rows of a
// step. A rule runs when some row wants it, and leaves rows that do not as they are.
//
// To add one: a file with its two functions, their lines below, a line in list.cc.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "sample/sampler.h"
#include "sample/tables.h"

namespace spate {

// Device memory of the sampler besides its tables.
struct SampleBuffers {
  Buffer own_logits;                // [rows that want logprobs, V] f32, as the model gave them
  Buffer chosen;                    // [B] i32, tokens that logprobs are of
  Buffer logprob, rank;             // [B] f32, i32
  Buffer top_tokens, top_logprobs;  // [B, kMostLogprobs] i32, f32
};

// What rules work on: the logits of a step and what is known of its rows.
struct SampleStep {
  Backend& backend;
  Tables& tables;
  SampleBuffers& buffers;
  std::vector<int32_t>& seen;  // [V], all zero between rules
  Tensor logits;               // [B, V] f32
  std::span<const SampleRow> rows;
  Tensor drawn;  // [B] i32, what is drawn
  SampleResults& results;

  int64_t vocabulary() const { return logits.row_size(); }
};

struct Rule {
  std::string_view name;
  bool (*wanted)(const SampleRow& row);
  void (*apply)(SampleStep& step);
};

std::span<const Rule> sampling_rules();

// own_logits.cc: keeps the model's own logits of rows that want logprobs.
bool wants_logprobs(const SampleRow& row);
std::vector<int32_t> rows_with_logprobs(const SampleStep& step);
void keep_own_logits(SampleStep& step);
// logit_bias.cc
bool wants_logit_bias(const SampleRow& row);
void apply_logit_bias(SampleStep& step);
// penalties.cc
bool wants_penalties(const SampleRow& row);
void apply_penalties(SampleStep& step);
// bad_tokens.cc
bool wants_bad_tokens(const SampleRow& row);
void apply_bad_tokens(SampleStep& step);
// allowed_tokens.cc
bool wants_allowed_tokens(const SampleRow& row);
void apply_allowed_tokens(SampleStep& step);
// min_tokens.cc
bool wants_min_tokens(const SampleRow& row);
void apply_min_tokens(SampleStep& step);
// mask_top.cc: temperature, top_k, top_p, min_p.
bool wants_mask_top(const SampleRow& row);
void apply_mask_top(SampleStep& step);
// draw.cc
bool wants_draw(const SampleRow& row);
void draw_tokens(SampleStep& step);
// logprobs.cc: of the tokens drawn, from the logits that own_logits.cc kept.
void score_drawn(SampleStep& step);

// Logprobs of chosen tokens, from logits [B, V].
std::vector<TokenLogprob> score_tokens(Backend& backend, Tables& tables, SampleBuffers& buffers,
                                       Tensor logits, std::span<const Token> chosen, int64_t top);

inline int64_t generated(const SampleRow& row) {
  return static_cast<int64_t>(row.tokens.size()) - row.prompt_length;
}

}  // namespace spate
