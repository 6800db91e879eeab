// allowed_token_ids: nothing else is drawn.
#include "sample/edits.h"

namespace spate {

bool wants_allowed_tokens(const SampleRow& row) { return !row.params->allowed_tokens.empty(); }

void apply_allowed_tokens(SampleStep& step) {
  const auto collect = [&step](const SampleRow& row, std::vector<TokenEdit>& edits) {
    for (const Token token : row.params->allowed_tokens) edits.push_back({token});
    tidy_edits(edits, step.vocabulary());
  };
  run_edits(step, collect, [&step](const RaggedEdits& edits) {
    step.tables.upload();
    step.backend.run(op::KeepOnly{.logits = step.logits.slice(edits.first, edits.count),
                                  .begin = step.tables.view(edits.begin),
                                  .tokens = step.tables.view(edits.tokens)});
  });
}

}  // namespace spate
