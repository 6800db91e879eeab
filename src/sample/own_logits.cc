// Logprobs are of the model, not of what rules make of it: rows that want them keep a copy.
#include "sample/rules.h"

namespace spate {

bool wants_logprobs(const SampleRow& row) { return row.params->logprobs.has_value(); }

std::vector<int32_t> rows_with_logprobs(const SampleStep& step) {
  std::vector<int32_t> rows;
  for (size_t r = 0; r < step.rows.size(); ++r) {
    if (wants_logprobs(step.rows[r])) rows.push_back(static_cast<int32_t>(r));
  }
  return rows;
}

void keep_own_logits(SampleStep& step) {
  const std::vector<int32_t> rows = rows_with_logprobs(step);
  const auto count = static_cast<int64_t>(rows.size());
  step.tables.clear();
  const auto table = step.tables.add(rows, {count});
  step.tables.upload();
  step.backend.run(
      op::GatherRows{.x = step.logits,
                     .rows = step.tables.view(table),
                     .out = step.buffers.own_logits.view({count, step.vocabulary()}, DType::f32)});
}

}  // namespace spate
