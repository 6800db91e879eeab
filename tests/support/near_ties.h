// Greedy outputs that two ways of computing gave for the same prompt.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>

#include "tests/support/generate.h"

namespace spate {

// How far the best token's logit leads in a step; the row was asked for the best two.
inline double lead(const TokenLogprob& step) {
  return static_cast<double>(step.top.at(0).second) - static_cast<double>(step.top.at(1).second);
}

// They may part only where both see the best two tokens less than `tied` apart; what comes after
// has other prompts. Returns how many tokens they have in common.
inline size_t expect_parting_at_a_tie(const Generated& a, const Generated& b, double tied) {
  const size_t both = std::min(a.tokens.size(), b.tokens.size());
  const auto parting = std::mismatch(
      a.tokens.begin(), a.tokens.begin() + static_cast<ptrdiff_t>(both), b.tokens.begin());
  const auto common = static_cast<size_t>(parting.first - a.tokens.begin());
  if (common == both) {
    EXPECT_EQ(a.tokens.size(), b.tokens.size());
    return common;
  }
  EXPECT_LT(lead(a.logprobs.at(common)), tied) << "token " << common;
  EXPECT_LT(lead(b.logprobs.at(common)), tied) << "token " << common;
  return common;
}

}  // namespace spate
