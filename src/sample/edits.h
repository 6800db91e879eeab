// Ragged tables of token edits, for rules whose rows have a list of tokens each.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "sample/rules.h"

namespace spate {

// Rows [first, first + count) of a step and their edits.
struct RaggedEdits {
  int64_t first = 0, count = 0;
  Tables::Place begin, tokens, values;  // [count + 1], [N], [N], all i32
};

// Asks `collect` for each row's edits, sorted into tables of as many rows as one upload holds, and
// has `run` work them off. Tokens outside the vocabulary are dropped; of a token that a row lists
// again the first edit counts. `run` may add tables of its own, and uploads.
void run_edits(SampleStep& step,
               const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect,
               const std::function<void(const RaggedEdits&)>& run);

// Adds minus infinity to the tokens that `collect` lists.
void ban_tokens(SampleStep& step,
                const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect);

// Adds the values, bits of f32, to the logits.
void add_to_logits(SampleStep& step,
                   const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect);

}  // namespace spate
