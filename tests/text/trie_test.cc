#include "text/trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace spate {
namespace {

TEST(Trie, EmptyFindsNothing) {
  const Trie trie;
  EXPECT_EQ(trie.find("a"), -1);
  EXPECT_EQ(trie.find(""), -1);
  EXPECT_EQ(trie.find(std::string_view("\0", 1)), -1);
  EXPECT_EQ(trie.longest_prefix("abc").length, 0U);
}

TEST(Trie, EmptyKeysAreLeftOutAndTheLastOfEqualsCounts) {
  const Trie trie({{"", 7}, {"ab", 1}, {"ab", 2}, {"a", 0}});
  EXPECT_EQ(trie.find(""), -1);
  EXPECT_EQ(trie.find("ab"), 2);
  EXPECT_EQ(trie.longest_prefix("abc").length, 2U);
  EXPECT_EQ(trie.longest_prefix("ac").value, 0);
  EXPECT_EQ(trie.walk(trie.walk(Trie::kRoot, "a"), "b"), trie.walk(Trie::kRoot, "ab"));
  EXPECT_EQ(trie.walk(Trie::kNowhere, "a"), Trie::kNowhere);
}

// Keys over few and over all byte values, 0 included, against a map.
TEST(Trie, EqualsAMap) {
  std::mt19937 random(3);
  const auto below = [&](size_t n) { return random() % n; };
  for (int round = 0; round < 60; ++round) {
    const size_t alphabet = round % 3 == 0 ? 2 : round % 3 == 1 ? 20 : 256;
    const auto text = [&](size_t length) {
      std::string out(length, '\0');
      for (char& c : out) c = static_cast<char>(below(alphabet));
      return out;
    };
    std::map<std::string, int32_t> map;
    const size_t keys = below(3000);
    for (size_t i = 0; i < keys; ++i) map[text(1 + below(8))] = static_cast<int32_t>(i);
    std::vector<Trie::Entry> entries;
    for (const auto& [key, value] : map) entries.push_back({key, value});
    const Trie trie(entries);
    for (const auto& [key, value] : map) ASSERT_EQ(trie.find(key), value);
    for (int i = 0; i < 2000; ++i) {
      const std::string query = text(below(10));
      std::map<size_t, int32_t> expected, found;
      for (size_t length = 1; length <= query.size(); ++length) {
        const auto at = map.find(query.substr(0, length));
        if (at != map.end()) expected[length] = at->second;
      }
      trie.each_prefix(query, [&](size_t length, int32_t value) { found[length] = value; });
      ASSERT_EQ(found, expected);
    }
  }
}

}  // namespace
}  // namespace spate
