// logit_bias: numbers added to the logits of tokens.
#include <bit>

#include "sample/edits.h"

namespace spate {

bool wants_logit_bias(const SampleRow& row) { return !row.params->logit_bias.empty(); }

void apply_logit_bias(SampleStep& step) {
  add_to_logits(step, [](const SampleRow& row, std::vector<TokenEdit>& edits) {
    for (const auto& [token, bias] : row.params->logit_bias) {
      edits.push_back({token, std::bit_cast<int32_t>(bias)});
    }
  });
}

}  // namespace spate
