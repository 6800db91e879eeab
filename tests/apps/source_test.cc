// Which rows a job takes from its input, and under which ids: offset, limit, shards, repeated ids.
#include "apps/rows/source.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "tests/apps/support.h"

namespace spate::apps_test {
namespace {

std::vector<SourceRow> read_all(const std::string& text, SourceOptions options = {}) {
  const TemporaryFolder folder;
  options.input = folder.write("in", text);
  const std::atomic<bool> never{false};
  RowSource source(options);
  std::vector<SourceRow> rows;
  while (std::optional<SourceRow> row = source.next(never)) rows.push_back(*std::move(row));
  return rows;
}

std::vector<int64_t> lines_of(const std::vector<SourceRow>& rows) {
  std::vector<int64_t> lines;
  for (const SourceRow& row : rows) lines.push_back(row.row.index);
  return lines;
}

TEST(Source, PlacesCountTheRowsTaken) {
  const auto rows = read_all("[1]\n\n[2]\n[3]\n[4]\n", {.offset = 1, .limit = 2});
  EXPECT_EQ(lines_of(rows), (std::vector<int64_t>{2, 3}));
  EXPECT_EQ(rows[0].place, 0);
  EXPECT_EQ(rows[1].place, 1);
}

TEST(Source, ShardsTogetherAreTheWhole) {
  std::string text;
  for (int i = 0; i < 23; ++i) text += i % 5 == 2 ? "[1]\n\n" : "[1]\n";
  const SourceOptions whole{.offset = 3, .limit = 17};
  const auto expected = lines_of(read_all(text, whole));
  for (int64_t count = 1; count <= 25; ++count) {
    std::multiset<int64_t> seen;
    for (int64_t index = 1; index <= count; ++index) {
      SourceOptions part = whole;
      part.shard = {index, count};
      const auto rows = read_all(text, part);
      EXPECT_EQ(part.taken_of(23), static_cast<int64_t>(rows.size())) << index << "/" << count;
      for (const int64_t line : lines_of(rows)) seen.insert(line);
    }
    EXPECT_EQ(std::vector<int64_t>(seen.begin(), seen.end()), expected) << count;
  }
}

TEST(Source, CountsWhatItTakes) {
  EXPECT_EQ((SourceOptions{}.taken_of(10)), 10);
  EXPECT_EQ((SourceOptions{.offset = 12}.taken_of(10)), 0);
  EXPECT_EQ((SourceOptions{.offset = 4, .limit = 100}.taken_of(10)), 6);
  EXPECT_EQ((SourceOptions{.limit = 0}.taken_of(10)), 0);
}

const std::string kRepeated = R"({"id": "a", "prompt": "x"})"
                              "\n"
                              R"({"id": "b", "prompt": "x"})"
                              "\n"
                              R"({"id": "a", "prompt": "x"})"
                              "\n"
                              R"({"id": "a", "prompt": "y"})"
                              "\n[1]\n[1]\n";

TEST(Source, RepeatedIdsAreRefused) {
  const auto rows = read_all(kRepeated);
  ASSERT_EQ(rows.size(), 6U);
  std::set<std::string> keys;
  for (size_t i = 0; i < rows.size(); ++i) {
    EXPECT_EQ(rows[i].error.has_value(), i == 2 || i == 3) << i;
    keys.insert(hex(rows[i].row.key));
  }
  EXPECT_EQ(rows[2].error->code, "duplicate_id");
  EXPECT_TRUE(contains(rows[2].error->message, "\"a\"")) << rows[2].error->message;
  EXPECT_EQ(keys.size(), 6U);  // each has an outcome of its own
}

TEST(Source, RepeatedIdsMayBeAllowed) {
  const auto rows = read_all(kRepeated, {.repeated_ids = true});
  std::set<std::string> keys;
  std::set<uint64_t> random;
  for (const SourceRow& row : rows) {
    EXPECT_FALSE(row.error);
    keys.insert(hex(row.row.key));
    random.insert(random_key(row.row));
  }
  EXPECT_EQ(keys.size(), 6U);
  EXPECT_EQ(random.size(), 6U);
}

TEST(Source, IdsOfOtherShardsAreTaken) {
  const auto rows = read_all(kRepeated, {.shard = {1, 2}});  // rows 0, 2, 4
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_TRUE(rows[1].error);
}

void compare_with_a_plain_set(IdSet& set, int hashes) {
  std::set<uint64_t> plain;
  std::mt19937_64 random(7);
  for (int i = 0; i < hashes; ++i) {
    // Crowded at both ends, with 0 and the greatest among them, and many that come again.
    const uint64_t few = random() % 200;
    const uint64_t hash = i % 3 == 0 ? few : i % 3 == 1 ? UINT64_MAX - few : random() >> (i % 5);
    const uint64_t value = hash == 1 ? 2 : hash;  // 0 counts as 1
    ASSERT_EQ(set.insert(value), plain.insert(value).second) << i;
  }
  EXPECT_EQ(set.size(), plain.size());
  for (const uint64_t value : plain) ASSERT_FALSE(set.insert(value));
}

TEST(IdSet, AgreesWithAPlainSetInMemory) {
  IdSet set;
  compare_with_a_plain_set(set, 50000);
}

TEST(IdSet, AgreesWithAPlainSetOnFile) {
  for (const size_t in_memory : {0, 100, 5000}) {
    IdSet set(in_memory);
    compare_with_a_plain_set(set, 10000);
  }
}

}  // namespace
}  // namespace spate::apps_test
