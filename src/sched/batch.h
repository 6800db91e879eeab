// A plan for one step, and what the step gave. Values: nothing here touches a device.
#pragma once

#include <vector>

#include "sample/sampler.h"
#include "sched/sequence.h"

namespace spate {

// One sequence's part in a step: run its tokens [begin, begin + count).
struct Row {
  Sequence* sequence = nullptr;
  int64_t begin = 0, count = 0;
  bool wants_token = false;  // draw the token after the last one
  // When the one token it runs is still being drawn: by the step before, as its so-many-th draw.
  int64_t pending_draw = -1;
  // Slots of its state before the step and after it, where the model keeps states; -1: zeros.
  int state_from = -1, state_to = -1;
};

// Prefill chunks and decodes mixed, in the order in which they are packed.
struct Batch {
  std::vector<Row> rows;
  int64_t tokens() const {
    int64_t sum = 0;
    for (const Row& row : rows) sum += row.count;
    return sum;
  }
};

// Results of a step, one entry a row of the batch.
struct RowResult {
  Sampled sampled;                            // when the row wanted a token
  std::vector<TokenLogprob> prompt_logprobs;  // of the prompt tokens begin + 1 .. begin + count
};

}  // namespace spate
