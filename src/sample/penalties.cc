// Penalties of tokens that are there already: repetition for those of prompt and answer, presence
// and frequency for those of the answer.
#include "sample/edits.h"

namespace spate {
namespace {

bool wants_repetition(const SampleRow& row) { return row.params->repetition_penalty != 1; }

// Each distinct token once, with the times it was generated. `seen` holds 1 + that number for
// tokens of the row, and is zero again afterwards.
void count_tokens(const SampleRow& row, std::vector<int32_t>& seen, std::vector<TokenEdit>& edits) {
  const auto note = [&](Token token, int32_t times) {
    if (token < 0 || token >= static_cast<int64_t>(seen.size())) return;
    int32_t& count = seen[static_cast<size_t>(token)];
    if (count == 0) {
      count = 1;
      edits.push_back({token, 0});
    }
    count += times;
  };
  const auto prompt = static_cast<size_t>(row.prompt_length);
  if (wants_repetition(row)) {  // the prompt counts for nothing else
    for (const Token token : row.tokens.first(prompt)) note(token, 0);
  }
  for (const Token token : row.tokens.subspan(prompt)) note(token, 1);
  for (TokenEdit& edit : edits) {
    edit.value = seen[static_cast<size_t>(edit.token)] - 1;
    seen[static_cast<size_t>(edit.token)] = 0;
  }
}

}  // namespace

bool wants_penalties(const SampleRow& row) {
  const Params& params = *row.params;
  return wants_repetition(row) || params.presence_penalty != 0 || params.frequency_penalty != 0;
}

void apply_penalties(SampleStep& step) {
  const auto collect = [&step](const SampleRow& row, std::vector<TokenEdit>& edits) {
    if (wants_penalties(row)) count_tokens(row, step.seen, edits);
  };
  run_edits(step, collect, [&step](const RaggedEdits& edits) {
    std::vector<float> repetition, frequency, presence;
    for (int64_t r = edits.first; r < edits.first + edits.count; ++r) {
      const Params& params = *step.rows[static_cast<size_t>(r)].params;
      repetition.push_back(static_cast<float>(params.repetition_penalty));
      frequency.push_back(static_cast<float>(params.frequency_penalty));
      presence.push_back(static_cast<float>(params.presence_penalty));
    }
    Tables& tables = step.tables;
    const auto repetitions = tables.add(repetition, {edits.count});
    const auto frequencies = tables.add(frequency, {edits.count});
    const auto presences = tables.add(presence, {edits.count});
    tables.upload();
    step.backend.run(op::Penalize{.logits = step.logits.slice(edits.first, edits.count),
                                  .begin = tables.view(edits.begin),
                                  .tokens = tables.view(edits.tokens),
                                  .count = tables.view(edits.values),
                                  .repetition = tables.view(repetitions),
                                  .frequency = tables.view(frequencies),
                                  .presence = tables.view(presences)});
  });
}

}  // namespace spate
