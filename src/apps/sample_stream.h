// One sample as it comes out of the engine: tokens to text, stop strings, and the answer at the
// end.
#pragma once

#include <optional>
#include <string>

#include "apps/answer.h"
#include "sched/request.h"
#include "text/stop.h"
#include "text/tokenizer.h"

namespace spate {

class SampleStream {
 public:
  // Without a tokenizer there is no text, only tokens. `tokenizer` must outlive it.
  SampleStream(const Tokenizer* tokenizer, const Params& params)
      : stop_(params.stop, params.include_stop), min_tokens_(params.min_tokens) {
    if (tokenizer != nullptr) {
      decoder_.emplace(*tokenizer);
    }
  }

  // Takes the event's tokens and returns the text that can be shown now. Tokens behind a stop
  // string, which the engine could not know of, are dropped.
  std::string push(Event& event) {
    std::string shown;
    for (size_t i = 0; i < event.tokens.size() && !stop_.stopped(); ++i) {
      answer_.tokens.push_back(event.tokens[i]);
      if (i < event.logprobs.size()) {
        answer_.logprobs.push_back(std::move(event.logprobs[i]));
      }
      if (decoder_) {
        shown += admit(decoder_->push(event.tokens[i]));
      }
    }
    if (event.finish) {
      finished_ = true;
      answer_.reason = stop_.stopped() ? FinishReason::stop : event.finish->reason;
      if (decoder_ && !stop_.stopped()) {
        shown += admit(decoder_->finish());
      }
      if (!stop_.stopped()) {
        shown += stop_.finish();
      }
    }
    answer_.text += shown;
    return shown;
  }

  bool stopped() const { return stop_.stopped(); }  // by a stop string
  bool wants_more() const { return !finished_ && !stop_.stopped(); }
  int64_t tokens() const { return static_cast<int64_t>(answer_.tokens.size()); }
  SampleAnswer take() { return std::move(answer_); }

 private:
  // No stop string counts before min_tokens are there.
  std::string admit(const std::string& text) {
    return static_cast<int64_t>(answer_.tokens.size()) < min_tokens_ ? text : stop_.push(text);
  }

  std::optional<Decoder> decoder_;
  StopMatcher stop_;
  int64_t min_tokens_;
  bool finished_ = false;  // in the engine
  SampleAnswer answer_;
};

}  // namespace spate
