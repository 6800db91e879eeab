// Temperature, and which tokens stay in the draw: top_k, top_p, min_p.
#include <algorithm>

#include "sample/rules.h"

namespace spate {

bool wants_mask_top(const SampleRow& row) {
  const Params& params = *row.params;
  if (params.temperature == 0) return false;
  return params.temperature != 1 || params.top_k > 0 || params.top_p < 1 || params.min_p > 0;
}

void apply_mask_top(SampleStep& step) {
  std::vector<float> temperature, top_p, min_p;
  std::vector<int32_t> top_k;
  for (const SampleRow& row : step.rows) {
    const Params& params = *row.params;
    temperature.push_back(static_cast<float>(params.temperature));
    top_p.push_back(static_cast<float>(params.top_p));
    min_p.push_back(static_cast<float>(params.min_p));
    top_k.push_back(static_cast<int32_t>(std::min(params.top_k, step.vocabulary())));
  }
  const auto rows = static_cast<int64_t>(step.rows.size());
  Tables& tables = step.tables;
  tables.clear();
  const auto temperatures = tables.add(temperature, {rows});
  const auto top_ps = tables.add(top_p, {rows});
  const auto min_ps = tables.add(min_p, {rows});
  const auto top_ks = tables.add(top_k, {rows});
  tables.upload();
  step.backend.run(op::MaskTop{.logits = step.logits,
                               .temperature = tables.view(temperatures),
                               .top_p = tables.view(top_ps),
                               .min_p = tables.view(min_ps),
                               .top_k = tables.view(top_ks)});
}

}  // namespace spate
