#include "apps/run/live_row.h"

#include <algorithm>

#include "base/check.h"
#include "base/random.h"

namespace spate {

int64_t memory_of(const PreparedRow& prepared) {
  constexpr int64_t kSample = 2048;  // lists, parameters, the text so far
  int64_t tokens = 0;
  for (const std::vector<Token>& prompt : prepared.prompts) {
    tokens += static_cast<int64_t>(prompt.size());
  }
  const auto prompts = static_cast<int64_t>(prepared.prompts.size());
  const int64_t bytes = tokens * static_cast<int64_t>(sizeof(Token));
  int64_t embedded = 0;
  for (const Embedded& one : prepared.embedded) {
    embedded += static_cast<int64_t>(one.rows->values.size() * sizeof(float));
  }
  return embedded + bytes + (bytes + prompts * kSample) * std::max<int64_t>(prepared.params.n, 1);
}

LiveRow::LiveRow(PreparedRow prepared, int64_t place, const Tokenizer* tokenizer, Tries tries)
    : prepared_(std::move(prepared)),
      place_(place),
      memory_(memory_of(prepared_)),
      tokenizer_(tokenizer),
      tries_(tries) {
  reset();
}

void LiveRow::reset() {
  prompts_.clear();
  open_samples_ = 0;
  error_.reset();
  started_ = has_token_ = false;
  const Params& params = prepared_.params;
  for (const std::vector<Token>& prompt : prepared_.prompts) {
    LivePrompt live;
    live.answer.prompt_tokens = static_cast<int64_t>(prompt.size());
    live.open = params.n;
    for (int64_t i = 0; i < params.n; ++i) {
      live.samples.emplace_back(tokenizer_, params);
    }
    prompts_.push_back(std::move(live));
    open_samples_ += params.n;
  }
}

std::vector<Request> LiveRow::take_requests(uint64_t first_id, double now) {
  check(tried_ < tries_.most, "a row is tried more often than it may be");
  if (tried_++ > 0) {
    reset();
  }
  const bool last_try = tried_ == tries_.most;  // the prompts are not needed again
  first_id_ = first_id;
  times_ = {.submitted = now};
  const uint64_t row_key = random_key(prepared_.row);
  std::vector<Request> requests;
  for (std::vector<Token>& prompt : prepared_.prompts) {
    const uint64_t number = requests.size();
    requests.push_back({.id = first_id + number,
                        .key = number == 0 ? row_key : mix_keys(row_key, number),
                        .prompt = last_try ? std::move(prompt) : prompt,
                        .embedded = prepared_.embedded,
                        .params = prepared_.params});
  }
  return requests;
}

void LiveRow::fail(RowError error) {
  if (!error_) {
    error_ = std::move(error);
  }
}

int64_t LiveRow::output_tokens() const {
  int64_t tokens = 0;
  for (const LivePrompt& prompt : prompts_) {
    for (const SampleStream& sample : prompt.samples) {
      tokens += sample.tokens();
    }
  }
  return tokens;
}

bool LiveRow::take(size_t prompt, Event event, double now) {
  LivePrompt& live = prompts_.at(prompt);
  SampleStream& sample = live.samples.at(static_cast<size_t>(event.sample));
  if (!event.prompt_logprobs.empty()) {
    live.answer.prompt_logprobs = std::move(event.prompt_logprobs);
  }
  if (!started_ && event.started) {
    started_ = true;
    times_.started = now;
  }
  if (!has_token_ && !event.tokens.empty()) {
    has_token_ = true;
    times_.first_token = now;
  }
  sample.push(event);
  if (event.finish) {
    check(live.open > 0, "an event for a row that is finished");
    --live.open;
    --open_samples_;
    times_.finished = now;
    if (event.sample == 0) {
      live.answer.cached_tokens = event.cached_tokens;
    }
    if (event.finish->reason == FinishReason::error && !error_) {
      const std::string& code = event.finish->code;
      error_ = RowError{code.empty() ? "engine_error" : code, event.finish->text,
                        code == "out_of_kv" || code.empty()};
    }
  }
  if (live.cancelled || live.open == 0 ||
      std::any_of(live.samples.begin(), live.samples.end(),
                  [](const SampleStream& one) { return one.wants_more(); })) {
    return false;
  }
  live.cancelled = true;
  return true;
}

RowAnswer LiveRow::take_answer(bool with_stats) {
  RowAnswer answer;
  answer.wants_logprobs = prepared_.params.logprobs.has_value();
  answer.wants_prompt_logprobs = prepared_.params.prompt_logprobs.has_value();
  for (LivePrompt& live : prompts_) {
    for (SampleStream& sample : live.samples) {
      live.answer.samples.push_back(sample.take());
    }
    answer.prompts.push_back(std::move(live.answer));
  }
  if (with_stats) {
    answer.stats = RowStats{.queue = times_.started - times_.submitted,
                            .prefill = times_.first_token - times_.started,
                            .decode = times_.finished - times_.first_token,
                            .attempts = attempts()};
  }
  return answer;
}

}  // namespace spate
