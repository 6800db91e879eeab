// What goes into the engine and what comes out: values, no tensor types.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/token.h"
#include "sample/params.h"

namespace spate {

struct Request {
  uint64_t id = 0;   // the caller's handle, unique among live requests
  uint64_t key = 0;  // fixes the random numbers; a hash of the row's own id, never its place
  std::vector<Token> prompt;  // at least one token
  Params params;
};

enum class FinishReason {
  stop,            // an end token, a stop token or (found by the caller) a stop string
  length,          // max_tokens reached
  context_length,  // the model's or the run's longest sequence reached
  repetition,      // LoopStop
  cancelled,       // by the caller
  error,           // cannot be served; `text` says why, `code` is stable
};

struct Finish {
  FinishReason reason = FinishReason::stop;
  std::string code;  // of errors: "prompt_too_long", "out_of_kv", "empty_prompt", ...
  std::string text;  // of errors: what was found, what fits
};

// News about one sample of one request, in order. The last one carries `finish`.
struct Event {
  uint64_t request = 0;
  int sample = 0;                      // 0 .. n - 1
  bool started = false;                // alone, of sample 0: the request's first step begins
  std::vector<Token> tokens;           // generated since the last event; an end token is included
  std::vector<TokenLogprob> logprobs;  // one a token, when asked for
  std::vector<TokenLogprob> prompt_logprobs;  // with the first event of sample 0, from token 1 on
  int64_t cached_tokens = 0;  // prompt tokens that were shared, not computed; with finish
  std::optional<Finish> finish;
};

}  // namespace spate
