// Every chat template of a large collection with many conversations: bytes and errors must be those
// of jinja2.
#include <gtest/gtest.h>

#include <map>
#include <vector>

#include "base/files.h"
#include "tests/text/chat_support.h"

namespace spate {
namespace {

constexpr int kShown = 12;  // failures that are printed in full

TEST(ChatTemplates, EveryConversationGivesTheBytesOfJinja2) {
  const std::string data = std::string(SPATE_SOURCE_DIR) + "/test-data/";
  if (!file_exists(data + "chat.jsonl")) GTEST_SKIP() << "no test-data/chat.jsonl: make test-data";
  const std::string golden = read_file(data + "chat.jsonl");
  JsonParser parser;
  JsonError parse_error;
  std::vector<ChatRequest> requests;
  std::string file, failed;
  std::optional<ChatTemplate> compiled;
  std::map<std::string, int> wrong;
  int cases = 0, shown = 0;
  for (size_t start = 0; start < golden.size();) {
    const size_t end = golden.find('\n', start);
    Json line;
    ASSERT_TRUE(
        parser.parse(std::string_view(golden).substr(start, end - start), line, parse_error))
        << parse_error.reason;
    start = end + 1;
    if (const Json* request = line.find("request")) {
      requests.push_back(chat_request(request));
      continue;
    }
    if (line.find("file")->as_string() != file) {
      file = line.find("file")->as_string();
      failed =
          compile_outcome(read_file(data + "llama.cpp-models/templates/" + file), file, compiled);
    }
    const auto index = static_cast<size_t>(line.find("index")->as_integer());
    const std::string found = failed.empty() ? chat_outcome(*compiled, requests[index]) : failed;
    ++cases;
    if (found == expected_outcome(line, file)) continue;
    if (++wrong[file] == 1 && ++shown <= kShown) {
      EXPECT_EQ(found, expected_outcome(line, file)) << file << " with request " << index;
    }
  }
  for (const auto& [name, count] : wrong) ADD_FAILURE() << name << ": " << count << " wrong";
  EXPECT_GT(cases, 5000);
}

}  // namespace
}  // namespace spate
