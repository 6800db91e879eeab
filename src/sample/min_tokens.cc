// min_tokens: no token that would end the row before so many are out.
#include "sample/edits.h"

namespace spate {

bool wants_min_tokens(const SampleRow& row) {
  return generated(row) < row.params->min_tokens &&
         !(row.end_tokens.empty() && row.params->stop_tokens.empty());
}

void apply_min_tokens(SampleStep& step) {
  ban_tokens(step, [](const SampleRow& row, std::vector<TokenEdit>& edits) {
    if (!wants_min_tokens(row)) return;
    for (const Token token : row.end_tokens) edits.push_back({token});
    for (const Token token : row.params->stop_tokens) edits.push_back({token});
  });
}

}  // namespace spate
