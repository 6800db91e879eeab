// What came of one row, and its line in the output: the OpenAI batch line, a flat line, or token
// ids alone. docs/rows.md shows each form. Pure functions of values.
//
// Every line carries the row's key where it is found without parsing: OpenAI lines begin with
// {"id":"batch_req_<key>", and all others end with ,"key":"<key>"}. By it a run that goes on
// knows what is done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/cli.h"
#include "apps/rows/row.h"
#include "base/json.h"
#include "sched/request.h"
#include "text/tokenizer.h"

namespace spate {

enum class OutputFormat { automatic, openai, flat, ids };  // automatic: as the row came

Choices<OutputFormat> output_formats();

std::string_view name_of(FinishReason reason);         // "context_length"
std::string_view openai_name_of(FinishReason reason);  // of those that OpenAI knows: "length"

struct SampleAnswer {
  std::string text;
  std::vector<Token> tokens;           // an end token is counted too
  std::vector<TokenLogprob> logprobs;  // one a token, when asked for
  FinishReason reason = FinishReason::stop;
};

struct PromptAnswer {
  int64_t prompt_tokens = 0, cached_tokens = 0;
  std::vector<Token> prompt;                  // kept only with prompt_logprobs
  std::vector<TokenLogprob> prompt_logprobs;  // from token 1 on
  std::vector<SampleAnswer> samples;
};

// With --row-stats. Times in seconds.
struct RowStats {
  double queue = 0;    // from the engine's door to the first step
  double prefill = 0;  // from there to the first token
  double decode = 0;   // from there to the last one
  int64_t attempts = 1;
};

struct RowAnswer {
  std::vector<PromptAnswer> prompts;
  bool wants_logprobs = false, wants_prompt_logprobs = false;
  std::optional<RowStats> stats;

  int64_t prompt_tokens() const;
  int64_t cached_tokens() const;
  int64_t output_tokens() const;
};

struct AnswerFormat {
  OutputFormat format = OutputFormat::automatic;
  std::string model;                     // the name that OpenAI lines carry
  const Tokenizer* tokenizer = nullptr;  // null: ids alone
  int64_t created = 0;                   // Unix time of OpenAI lines
};

std::string answer_line(const AnswerFormat& format, const InputRow& row, const RowAnswer& answer);

// `inline_errors`: the line goes among the answers, so an OpenAI row keeps OpenAI's form.
std::string error_line(const InputRow& row, const RowError& error, int64_t attempts,
                       bool inline_errors);

}  // namespace spate
