// A row while the engine works on it: its requests, the samples so far, and when what happened.
// Made by the thread that prepared the row, then used by the thread that takes the engine's events.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "apps/rows/prepare.h"
#include "apps/sample_stream.h"
#include "apps/tally.h"

namespace spate {

// Bytes that a row takes while the engine works on it, about: it keeps its prompts, and
// every sample has a copy of its own.
int64_t memory_of(const PreparedRow& prepared);

struct Tries {
  int64_t before = 0;  // in earlier runs
  int64_t most = 1;    // in this one
};

class LiveRow {
 public:
  LiveRow(PreparedRow prepared, int64_t place, const Tokenizer* tokenizer, Tries tries = {});

  // Begins a try: one request a prompt, with ids from `first_id` on. `now` counts from the start of
  // the run, in seconds.
  std::vector<Request> take_requests(uint64_t first_id, double now);

  // Takes an event of the prompt. Returns true when the request should be cancelled: every sample
  // that the engine still runs has met its stop string.
  bool take(size_t prompt, Event event, double now);

  // It will end with this error, whatever else comes. The caller cancels its requests.
  void fail(RowError error);

  bool finished() const { return open_samples_ == 0; }
  const std::optional<RowError>& error() const { return error_; }  // of a finished row
  bool can_retry() const { return error_ && error_->retryable && tried_ < tries_.most; }
  int64_t attempts() const { return tries_.before + tried_; }
  RowAnswer take_answer(bool with_stats);  // of a finished row without error

  const InputRow& row() const { return prepared_.row; }
  int64_t place() const { return place_; }
  const RowTimes& times() const { return times_; }
  bool started() const { return started_; }   // the engine has begun with it
  int64_t output_tokens() const;              // so far
  int64_t memory() const { return memory_; }  // memory_of() what it was made of
  uint64_t first_id() const { return first_id_; }
  size_t requests() const { return prompts_.size(); }

 private:
  struct LivePrompt {
    PromptAnswer answer;
    std::vector<SampleStream> samples;
    int64_t open = 0;  // samples that the engine still runs
    bool cancelled = false;
  };

  void reset();

  PreparedRow prepared_;
  int64_t place_, memory_;
  const Tokenizer* tokenizer_;
  Tries tries_;
  int64_t tried_ = 0;
  std::vector<LivePrompt> prompts_;
  int64_t open_samples_ = 0;
  std::optional<RowError> error_;
  RowTimes times_;
  bool started_ = false, has_token_ = false;
  uint64_t first_id_ = 0;
};

}  // namespace spate
