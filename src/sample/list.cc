// The sampling rules in their order.
#include "sample/rules.h"

namespace spate {
namespace {

constexpr Rule kRules[] = {
    {"own_logits", wants_logprobs, keep_own_logits},
    {"logit_bias", wants_logit_bias, apply_logit_bias},
    {"penalties", wants_penalties, apply_penalties},
    {"bad_tokens", wants_bad_tokens, apply_bad_tokens},
    {"allowed_tokens", wants_allowed_tokens, apply_allowed_tokens},
    {"min_tokens", wants_min_tokens, apply_min_tokens},
    {"mask_top", wants_mask_top, apply_mask_top},
    {"draw", wants_draw, draw_tokens},
    {"logprobs", wants_logprobs, score_drawn},
};

}  // namespace

std::span<const Rule> sampling_rules() { return kRules; }

}  // namespace spate
