// A sequence and what the scheduler alone knows about it.
//
// Owner: the scheduler, by request, from add() until the sample's last event.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <vector>

#include "kv/prefix.h"
#include "sched/loop_stop.h"
#include "sched/sequence.h"

namespace spate {

struct Live;

// Of prompts that wait: what some of them begin with. See waiting.h.
struct Beginning {
  uint64_t hash = 0;
  int64_t longest = 0;     // class of the longest output that has waited behind it
  Live* member = nullptr;  // one of those that wait
};

struct Live : Sequence {
  uint64_t arrival = 0;                // counts add(); samples of a request in order
  uint64_t age = 0;                    // counts first admissions, from 1; 0: never admitted
  uint64_t block = 0;                  // of arrivals: all of a block start before the next
  bool ends_at_limit = false;          // nothing else can end it
  double expected = 0;                 // tokens of output, as it looked when it came
  int64_t length_class = 0;            // of that
  std::vector<Beginning*> beginnings;  // while it waits for its first step; shortest first
  bool runs = false;                   // in the running list, else it waits
  bool cancelled = false;              // while its step runs; it ends at commit
  bool ended = false;                  // its last event is out; planned steps may still run it
  int64_t steps = 0;                   // planned and not committed that run it
  int64_t draw = -1;                   // of the last of them that draws: which of its draws

  // Slots: the first `shared` tokens' belong to the prefix map and are used through `node`, the
  // others are this sequence's alone. `capacity` counts both.
  PrefixMap::Node* node = nullptr;
  int64_t shared = 0, capacity = 0;

  // Where the model keeps states: the slot that is this sequence's alone, and the one that has its
  // state after `computed` tokens, which may be a snapshot; -1: none, the state is zeros.
  int own_state = -1, state = -1;

  // What the prefix map knows it by: its tokens, or, where rows are embedded, `contents`, which has
  // a number below 0 for each of their tokens.
  std::span<const Token> content() const { return embedded.empty() ? tokens : contents; }
  std::vector<Token> contents;

  int64_t lost = 0;           // tokens that were computed when it was evicted
  double output_to_come = 0;  // while it waits, as the list counts it
  LoopDetector loop;
  std::vector<TokenLogprob> prompt_logprobs;  // until its first event
  bool prompt_scored = false;                 // that event is out

  // Slots it can ever need: the last token is drawn and never run.
  int64_t most_slots() const { return max_length - 1; }
  int64_t to_compute() const { return planned_length() - computed; }
  // Of the output that was expected; a row that goes on has a token to come at least.
  double expected_left() const {
    return std::max(expected - static_cast<double>(planned_generated()), 1.0);
  }
  bool decodes() const { return planned_generated() > 0 && to_compute() == 1; }
  // The last token that it may have is being drawn.
  bool reaches_limit() const {
    return pending > 0 && (planned_length() >= max_length ||
                           (params.max_tokens > 0 && planned_generated() >= params.max_tokens));
  }
  // Prompt scores need the logits of every prompt token, so nothing may come from the cache.
  bool scores_prompt() const {
    return params.prompt_logprobs.has_value() && sample == 0 && !prompt_scored;
  }
};

}  // namespace spate
