// Small templates that together use every feature of the interpreter, against jinja2.
#include <gtest/gtest.h>

#include "tests/text/chat_support.h"

namespace spate {
namespace {

TEST(ChatSnippets, EveryFeatureGivesTheBytesOfJinja2) {
  const Json golden =
      parse_json_file(std::string(SPATE_SOURCE_DIR) + "/tests/golden/text/jinja.json");
  int wrong = 0;
  for (const Json& item : golden.find("cases")->as_array()) {
    const Json* request = item.find("request");
    const std::string& source = item.find("template")->as_string();
    std::optional<ChatTemplate> compiled;
    std::string found = compile_outcome(source, "t", compiled);
    if (compiled) {
      found = chat_outcome(*compiled,
                           chat_request(request != nullptr ? request : golden.find("request")));
    }
    const Json* line = item.find("line");
    if (line != nullptr && line->as_integer() == 0) found = without_line(found);
    EXPECT_EQ(found, expected_outcome(item, "t")) << "of " << source;
    wrong += found == expected_outcome(item, "t") ? 0 : 1;
  }
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace spate
