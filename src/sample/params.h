// What a request asks of sampling and of its own end. Field names are those that people know from
// the OpenAI API and from other engines; sample/fields.h reads them from JSON and from flags.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/token.h"

namespace spate {

constexpr int64_t kMostLogprobs = 128;  // alternatives that can be asked for
constexpr int64_t kMostSamples = 4096;  // of one prompt

// Stops a row that repeats itself: its last tokens are one pattern of min_pattern to max_pattern
// tokens, min_count times in a row. Off when min_count is 0.
struct LoopStop {
  int min_pattern = 1, max_pattern = 20, min_count = 0;
};

struct Params {
  double temperature = 1;         // 0: greedy
  int64_t top_k = 0;              // 0: off
  double top_p = 1;               // 1: off
  double min_p = 0;               // 0: off, relative to the most probable token
  double repetition_penalty = 1;  // prompt and generated tokens
  double presence_penalty = 0;    // generated tokens
  double frequency_penalty = 0;   // generated tokens, by count
  std::vector<std::pair<Token, float>> logit_bias;
  std::vector<Token> allowed_tokens;           // when not empty, nothing else is drawn
  std::vector<std::vector<Token>> bad_tokens;  // runs of tokens that must never be completed
  uint64_t seed = 0;
  int64_t n = 1;                           // independent samples of one prompt
  int64_t max_tokens = 0;                  // generated tokens; 0: as many as the context holds
  int64_t min_tokens = 0;                  // no end token and no stop string before so many
  std::vector<std::string> stop;           // generation ends before the first of these texts
  std::vector<Token> stop_tokens;          // besides the model's end tokens
  bool include_stop = false;               // keep the stop string in the text
  bool ignore_eos = false;                 // the model's end tokens do not end the row
  std::optional<int64_t> logprobs;         // of generated tokens, with so many alternatives
  std::optional<int64_t> prompt_logprobs;  // of prompt tokens, with so many alternatives
  LoopStop loop_stop;
};

struct TokenLogprob {
  Token token = 0;
  float logprob = 0;  // natural logarithm, from the model's own logits before any rule
  int rank = 0;       // 1: the most probable
  std::vector<std::pair<Token, float>> top;  // best first
};

}  // namespace spate
