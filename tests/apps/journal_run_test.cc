// The program on files that earlier runs left: an output that is put into order without the model.
#include "tests/apps/journal_support.h"
#include "tests/apps/program.h"

namespace spate::apps_test {
namespace {

TEST(JournalRun, AFinishedRunIsPutIntoOrder) {
  const TemporaryFolder folder;
  std::string input;
  for (int i = 0; i < 60; ++i) {  // short and long ones, so that they finish out of order
    input += cat("{\"id\":\"r", i, "\",\"prompt_token_ids\":[1,2,", i,
                 "],\"max_tokens\":", i % 3 == 0 ? 40 : 1, "}\n");
  }
  folder.write("in", input);
  const std::vector<std::string> arguments{
      "run", kTiny, "-i", folder.file("in"), "-o", folder.file("out"), "--ignore-eos"};
  const Ended first = run_program(arguments);
  ASSERT_EQ(first.code, 0) << first.err;
  std::vector<std::string> lines = lines_of(read_file(folder.file("out")));
  ASSERT_EQ(lines.size(), 60U);
  std::reverse(lines.begin(), lines.end());  // in no order at all
  folder.write("out", joined(lines));

  std::vector<std::string> ordered = arguments;
  ordered.emplace_back("--ordered");
  const Ended second = run_program(ordered);
  EXPECT_EQ(second.code, 0) << second.err;
  EXPECT_TRUE(contains(second.err, "nothing is left to do")) << second.err;
  std::vector<std::string> expected = lines;
  const auto index = [](const std::string& line) {
    return at(parse_json(line, "a line"), {"index"}).as_integer();
  };
  std::sort(expected.begin(), expected.end(),
            [&](const std::string& a, const std::string& b) { return index(a) < index(b); });
  EXPECT_EQ(lines_of(read_file(folder.file("out"))), expected);
  EXPECT_FALSE(file_exists(folder.file("out.part")));
  EXPECT_FALSE(file_exists(folder.file("out.stale.jsonl")));
}

}  // namespace
}  // namespace spate::apps_test
