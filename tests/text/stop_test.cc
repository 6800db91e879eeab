// Stop strings: cases by hand, and random texts over two letters (where everything overlaps)
// against a search that tries every place, with the text cut into random parts.
#include "text/stop.h"

#include <gtest/gtest.h>

#include <optional>
#include <random>

namespace spate {
namespace {

using Strings = std::vector<std::string>;

struct Found {
  size_t begin, end;
};

// The first place where a stop string is complete, and of those complete there the longest.
std::optional<Found> search(const std::string& text, const Strings& stops) {
  for (size_t end = 1; end <= text.size(); ++end) {
    size_t longest = 0;
    for (const std::string& stop : stops) {
      if (stop.size() <= end && text.compare(end - stop.size(), stop.size(), stop) == 0) {
        longest = std::max(longest, stop.size());
      }
    }
    if (longest > 0) {
      return Found{end - longest, end};
    }
  }
  return std::nullopt;
}

// How much of a text without a stop string cannot become one any more.
size_t settled(const std::string& text, const Strings& stops) {
  for (size_t begin = 0; begin < text.size(); ++begin) {
    for (const std::string& stop : stops) {
      if (stop.compare(0, text.size() - begin, text, begin) == 0) {
        return begin;
      }
    }
  }
  return text.size();
}

TEST(StopMatcher, ShowsEverythingWithoutStops) {
  StopMatcher stop({}, false);
  EXPECT_EQ(stop.push("any"), "any");
  EXPECT_EQ(stop.push(""), "");
  EXPECT_FALSE(stop.stopped());
  EXPECT_EQ(stop.finish(), "");
}

TEST(StopMatcher, HoldsBackWhatMayBecomeAStop) {
  StopMatcher stop({"\n\nUser:"}, false);
  EXPECT_EQ(stop.push("Hello\n"), "Hello");
  EXPECT_EQ(stop.push("\n"), "");
  EXPECT_EQ(stop.push("\nUs"), "\n");
  EXPECT_EQ(stop.push("e"), "");
  EXPECT_EQ(stop.push(" it"), "\n\nUse it");
  EXPECT_EQ(stop.push("\n\nUser: more"), "");
  EXPECT_TRUE(stop.stopped());
  EXPECT_EQ(stop.push("\nnever"), "");
  EXPECT_EQ(stop.finish(), "");
}

TEST(StopMatcher, FinishGivesWhatWasHeld) {
  StopMatcher stop({"END"}, false);
  EXPECT_EQ(stop.push("the EN"), "the ");
  EXPECT_EQ(stop.finish(), "EN");
  EXPECT_EQ(stop.finish(), "");
}

TEST(StopMatcher, CanIncludeTheStop) {
  StopMatcher stop({"</s>"}, true);
  EXPECT_EQ(stop.push("a<"), "a");
  EXPECT_EQ(stop.push("/s>b"), "</s>");
  EXPECT_TRUE(stop.stopped());
}

TEST(StopMatcher, TheFirstCompleteOneCounts) {
  StopMatcher stop({"abcd", "bc"}, false);
  EXPECT_EQ(stop.push("xabcd"), "xa");
  EXPECT_TRUE(stop.stopped());
}

TEST(StopMatcher, OfTwoCompleteTogetherTheLongestCounts) {
  for (const bool include : {false, true}) {
    StopMatcher stop({"c", "abc", "bc"}, include);
    EXPECT_EQ(stop.push("xabc"), include ? "xabc" : "x");
  }
}

TEST(StopMatcher, EmptyStopsNeverMatch) {
  StopMatcher stop({"", "x"}, false);
  EXPECT_EQ(stop.push("abc"), "abc");
  EXPECT_FALSE(stop.stopped());
}

TEST(StopMatcher, HoldsWholeCharacters) {
  StopMatcher stop({"\u00E9\u00E8"}, false);  // both characters begin with the same byte
  EXPECT_EQ(stop.push("caf\u00E9"), "caf");
  EXPECT_EQ(stop.push("\u00E0"), "\u00E9\u00E0");
}

TEST(StopMatcher, EqualsSearchOnRandomTexts) {
  std::mt19937 random(7);
  const auto pick = [&](int low, int high) {
    return std::uniform_int_distribution<int>(low, high)(random);
  };
  const auto letters = [&](int low, int high) {
    std::string text(pick(low, high), 'a');
    for (char& c : text) c = "ab"[pick(0, 1)];
    return text;
  };
  int stopped = 0;
  for (int round = 0; round < 20000; ++round) {
    Strings stops(pick(0, 4));
    for (std::string& stop : stops) stop = letters(1, pick(1, 9));
    const std::string text = letters(0, 40);
    const bool include = pick(0, 1) == 1;
    const std::optional<Found> found = search(text, stops);

    StopMatcher matcher(stops, include);
    std::string shown, read;
    while (read.size() < text.size() && !matcher.stopped()) {
      const std::string part = text.substr(read.size(), pick(0, 6));
      read += part;
      shown += matcher.push(part);
      if (!matcher.stopped()) {
        ASSERT_EQ(shown, read.substr(0, settled(read, stops)));  // as much as possible, no more
      }
    }
    shown += matcher.finish();
    ASSERT_EQ(matcher.stopped(), found.has_value()) << text;
    ASSERT_EQ(shown, !found ? text : text.substr(0, include ? found->end : found->begin));
    stopped += found ? 1 : 0;
  }
  EXPECT_GT(stopped, 5000);
  EXPECT_LT(stopped, 18000);
}

// A quadratic matcher would need minutes here.
TEST(StopMatcher, IsLinearForLongOverlappingStops) {
  const std::string run(100'000, 'a');
  StopMatcher matcher({run + "b", run + "ac", "a" + run + "d"}, false);
  size_t shown = 0;
  for (int i = 0; i < 1'000'000; ++i) shown += matcher.push("a").size();
  EXPECT_EQ(shown, 1'000'000 - run.size() - 1);
  EXPECT_EQ(matcher.push("b"), "a");
  EXPECT_TRUE(matcher.stopped());
}

}  // namespace
}  // namespace spate
