// One sample of one request on its way through the engine. Mutated by the engine thread alone.
#pragma once

#include <cstdint>
#include <vector>

#include "kv/segments.h"
#include "sched/request.h"

namespace spate {

struct Sequence {
  uint64_t request = 0;
  int sample = 0;
  Params params;
  uint64_t key = 0;           // sample_key(seed, request key, sample)
  std::vector<Token> tokens;  // prompt, then generated
  int64_t prompt_length = 0;
  std::vector<Embedded> embedded;  // of the prompt
  int64_t max_length = 0;  // tokens at which it must stop: prompt + max_tokens, or the context
  std::vector<Token> end_tokens;  // of the model, unless ignore_eos; and params.stop_tokens

  int64_t pending = 0;     // tokens that planned steps draw and `tokens` lacks
  int64_t computed = 0;    // tokens whose keys and values are in the cache after the planned steps
  int64_t cached = 0;      // prompt tokens found in the cache at first admission
  int64_t recomputed = 0;  // tokens computed again after evictions
  // Its past, oldest first; together at least `computed` slots, and as many as a planned row needs.
  // The first ones may be shared with other sequences.
  std::vector<Segment> segments;
  // Tokens whose keys and values were there when it entered. Those that it computes again, for its
  // state alone, are not written: others read them.
  int64_t stored = 0;

  int64_t length() const { return static_cast<int64_t>(tokens.size()); }
  int64_t generated() const { return length() - prompt_length; }
  // The same after the planned steps.
  int64_t planned_length() const { return length() + pending; }
  int64_t planned_generated() const { return generated() + pending; }
};

}  // namespace spate
