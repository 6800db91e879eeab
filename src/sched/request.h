// What goes into the engine and what comes out: values, no tensor types.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/hash.h"
#include "base/token.h"
#include "sample/params.h"

namespace spate {

// Rows that stand in a prompt in place of the embeddings of tokens; a vision encoder's, say.
struct EmbeddedRows {
  Hash128 key;                // of the values: rows with equal keys are taken to be equal
  int64_t width = 0;          // the model's
  std::vector<float> values;  // [count, width]

  int64_t count() const { return static_cast<int64_t>(values.size()) / width; }
};

// They replace the prompt's tokens [position, position + count).
struct Embedded {
  int64_t position = 0;
  std::shared_ptr<const EmbeddedRows> rows;

  int64_t end() const { return position + rows->count(); }
};

struct Request {
  uint64_t id = 0;   // the caller's handle, unique among live requests
  uint64_t key = 0;  // fixes the random numbers; a hash of the row's own id, never its place
  std::vector<Token> prompt;       // at least one token
  std::vector<Embedded> embedded;  // by position, without overlaps
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
