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

// Drops tokens outside the vocabulary, and all edits but the first of a token.
void tidy_edits(std::vector<TokenEdit>& edits, int64_t vocabulary);

// Asks `collect` for each row's edits, of distinct tokens in the vocabulary, puts them into tables
// of as many rows as one upload holds, and has `run` work them off. `run` may add tables of its
// own, and uploads.
void run_edits(SampleStep& step,
               const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect,
               const std::function<void(const RaggedEdits&)>& run);

// Adds minus infinity to the tokens that `collect` lists, whichever they are.
void ban_tokens(SampleStep& step,
                const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect);

// Adds the values, bits of f32, to the logits; any tokens may be listed.
void add_to_logits(SampleStep& step,
                   const std::function<void(const SampleRow&, std::vector<TokenEdit>&)>& collect);

}  // namespace spate
