// The draw itself, for all rows in one op; rows of temperature 0 take their largest logit.
#include "sample/rules.h"

namespace spate {
namespace {

// When rules have banned every token (or the model gave no numbers), the row ends if it can.
Token token_when_all_are_banned(const SampleRow& row) {
  if (!row.end_tokens.empty()) return row.end_tokens.front();
  if (!row.params->stop_tokens.empty()) return row.params->stop_tokens.front();
  return 0;
}

}  // namespace

bool wants_draw(const SampleRow& /*row*/) { return true; }

void draw_tokens(SampleStep& step) {
  std::vector<float> temperature;
  std::vector<int32_t> key, position;
  for (const SampleRow& row : step.rows) {
    temperature.push_back(static_cast<float>(row.params->temperature));
    key.push_back(static_cast<int32_t>(static_cast<uint32_t>(row.key)));
    key.push_back(static_cast<int32_t>(static_cast<uint32_t>(row.key >> 32)));
    position.push_back(static_cast<int32_t>(row.tokens.size()));
  }
  const auto rows = static_cast<int64_t>(step.rows.size());
  Tables& tables = step.tables;
  tables.clear();
  const auto temperatures = tables.add(temperature, {rows});
  const auto keys = tables.add(key, {rows, 2});
  const auto positions = tables.add(position, {rows});
  tables.upload();
  const Tensor out = step.buffers.drawn.view({rows}, DType::i32);
  step.backend.run(op::Draw{.logits = step.logits,
                            .temperature = tables.view(temperatures),
                            .key = tables.view(keys),
                            .position = tables.view(positions),
                            .out = out});
  std::vector<int32_t> drawn(step.rows.size());
  step.backend.download(drawn.data(), out);
  for (size_t r = 0; r < drawn.size(); ++r) {
    step.results[r].token = drawn[r] >= 0 ? drawn[r] : token_when_all_are_banned(step.rows[r]);
  }
}

}  // namespace spate
