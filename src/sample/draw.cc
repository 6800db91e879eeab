// The draw itself, for all rows in one op; rows of temperature 0 take their largest logit.
#include "sample/rules.h"

namespace spate {

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
  step.backend.run(op::Draw{.logits = step.logits,
                            .temperature = tables.view(temperatures),
                            .key = tables.view(keys),
                            .position = tables.view(positions),
                            .out = step.drawn});
  step.results.bring_drawn(step.drawn);
}

}  // namespace spate
