// Runs of tokens that must never be completed: the last token of a run is banned whenever the
// sequence, prompt included, ends with the tokens before it.
#include <algorithm>

#include "sample/edits.h"

namespace spate {

bool wants_bad_tokens(const SampleRow& row) { return !row.params->bad_tokens.empty(); }

void apply_bad_tokens(SampleStep& step) {
  ban_tokens(step, [](const SampleRow& row, std::vector<TokenEdit>& edits) {
    for (const std::vector<Token>& run : row.params->bad_tokens) {
      if (run.empty() || run.size() - 1 > row.tokens.size()) continue;
      if (std::equal(run.begin(), run.end() - 1, row.tokens.end() - (run.size() - 1))) {
        edits.push_back({run.back()});
      }
    }
  });
}

}  // namespace spate
