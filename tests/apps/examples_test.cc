// The rows of the demo: all of them can be read, and together they stay small and varied.
#include <gtest/gtest.h>

#include <set>

#include "apps/rows/row.h"
#include "tests/apps/support.h"

namespace spate {
namespace {

TEST(Examples, PromptsAreManyAndVaried) {
  const std::string text = read_file(SPATE_SOURCE_DIR "/examples/prompts.jsonl");
  JsonParser parser;
  std::set<std::string> ids;
  int64_t tokens = 0, chats = 0, openai = 0, greedy = 0;
  for (const std::string& line : apps_test::lines_of(text)) {
    InputRow row;
    ASSERT_NO_THROW(parse_row(line, {}, parser, row)) << line;
    EXPECT_TRUE(ids.insert(row.id).second) << row.id << " is there twice";
    chats += row.chat ? 1 : 0;
    openai += row.openai ? 1 : 0;
    greedy += *row.fields.find("temperature") == Json(0) ? 1 : 0;
    const Json* n = row.fields.find("n");
    tokens += apps_test::at(row.fields, {"max_tokens"}).as_integer() *
              (n == nullptr ? 1 : n->as_integer()) *
              std::max<int64_t>(static_cast<int64_t>(row.prompts.size()), 1);
  }
  EXPECT_GE(ids.size(), 120U);
  EXPECT_LE(tokens, 15000);
  EXPECT_GT(chats, 60);
  EXPECT_GE(openai, 10);
  EXPECT_GT(greedy, 20);
  EXPECT_LT(greedy, static_cast<int64_t>(ids.size()) - 20);
}

}  // namespace
}  // namespace spate
