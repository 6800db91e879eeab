#include "sched/loop_stop.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace spate {
namespace {

// Tokens after which the detector says stop; 0: never.
size_t stops_after(const LoopStop& stop, const std::vector<Token>& tokens) {
  LoopDetector detector;
  for (size_t count = 1; count <= tokens.size(); ++count) {
    if (detector.push(stop, std::span(tokens).first(count))) return count;
  }
  return 0;
}

// The definition: the last tokens are one pattern, min_count times in a row.
size_t stops_plainly(const LoopStop& stop, const std::vector<Token>& tokens) {
  for (size_t count = 1; count <= tokens.size(); ++count) {
    for (int pattern = stop.min_pattern; pattern <= stop.max_pattern; ++pattern) {
      const auto p = static_cast<size_t>(pattern);
      const size_t span = p * static_cast<size_t>(stop.min_count);
      if (stop.min_count <= 0 || span > count) continue;
      bool same = true;
      for (size_t i = count - span + p; i < count; ++i) same = same && tokens[i] == tokens[i - p];
      if (same) return count;
    }
  }
  return 0;
}

TEST(LoopStop, Examples) {
  const LoopStop three{.min_pattern = 1, .max_pattern = 4, .min_count = 3};
  EXPECT_EQ(stops_after(three, {5, 5, 5}), 3U);
  EXPECT_EQ(stops_after(three, {9, 1, 2, 1, 2, 1, 2, 7}), 7U);
  EXPECT_EQ(stops_after(three, {1, 2, 1, 2, 1, 3, 1, 2}), 0U);
  const LoopStop long_only{.min_pattern = 2, .max_pattern = 4, .min_count = 2};
  EXPECT_EQ(stops_after(long_only, {5, 5, 5}), 0U);
  EXPECT_EQ(stops_after(long_only, {5, 5, 5, 5}), 4U) << "two fives are a pattern of two";
  EXPECT_EQ(stops_after(LoopStop{}, std::vector<Token>(100, 1)), 0U);
}

TEST(LoopStop, MatchesTheDefinition) {
  uint64_t at = 0;
  const auto random = [&](uint32_t below) {
    return static_cast<int>(philox(8, at++).word[0] % below);
  };
  int found = 0;
  for (int round = 0; round < 3000; ++round) {
    LoopStop stop;
    stop.min_pattern = 1 + random(3);
    stop.max_pattern = stop.min_pattern + random(6);
    stop.min_count = random(5);
    std::vector<Token> tokens;
    while (tokens.size() < 40) {
      const auto period = static_cast<size_t>(1 + random(8));
      const bool repeat = random(3) > 0 && tokens.size() >= period;
      for (int i = random(20); i >= 0; --i) {
        tokens.push_back(repeat ? tokens[tokens.size() - period] : random(3));
      }
    }
    const size_t expected = stops_plainly(stop, tokens);
    ASSERT_EQ(stops_after(stop, tokens), expected) << "round " << round;
    found += expected > 0 ? 1 : 0;
  }
  EXPECT_GT(found, 500);
}

}  // namespace
}  // namespace spate
