// Patterns against the pieces that `tokenizers` cuts with the same regular expressions: those with
// a matcher by hand, the same ones by PCRE2, and others.
#include "text/pattern.h"

#include <algorithm>

#include "tests/text/support.h"
#include "text/splitter.h"

namespace spate::text_test {
namespace {

const std::string kFolder = kRoot + "tests/golden/text/tokenizer/";

std::string pieces(std::unique_ptr<Pattern> pattern, const std::string& text) {
  Steps steps;
  steps.push_back(make_split(std::move(pattern)));
  std::string out;
  for_each_piece(steps, 0, text, true,
                 [&](std::string_view piece) { out += cat(piece.size(), " "); });
  return out;
}

TEST(Pattern, CutsAsTokenizersDoes) {
  const Json texts = parse_json_file(kFolder + "texts.json");
  const Json cuts = parse_json_file(kFolder + "patterns.json");
  for (const Json& cut : cuts.as_array()) {
    const std::string& regex = cut.find("regex")->as_string();
    SCOPED_TRACE(regex);
    for (size_t i = 0; i < texts.as_array().size(); ++i) {
      const std::string& text = texts.as_array()[i].as_string();
      std::string expected;
      for (const Json& length : cut.find("pieces")->as_array()[i].as_array()) {
        expected += cat(length.as_integer(), " ");
      }
      EXPECT_EQ(pieces(make_regex_pattern(regex, "here"), text), expected) << Json(text).dump();
      if (regex.find("&&") == std::string::npos) {
        EXPECT_EQ(pieces(make_pcre_pattern(regex, "here"), text), expected)
            << "PCRE2: " << Json(text).dump();
      }
    }
  }
  EXPECT_GT(cuts.as_array().size(), 25U);
}

TEST(Pattern, GoldenHasEveryMatcherByHand) {
  const Json cuts = parse_json_file(kFolder + "patterns.json");
  for (const std::string_view regex : regexes_matched_by_hand()) {
    EXPECT_TRUE(std::any_of(cuts.as_array().begin(), cuts.as_array().end(), [&](const Json& cut) {
      std::string golden = cut.find("regex")->as_string();
      for (size_t at; (at = golden.find('\r')) != std::string::npos;) {
        golden.replace(at, 1, "\\r");
      }
      for (size_t at; (at = golden.find('\n')) != std::string::npos;) {
        golden.replace(at, 1, "\\n");
      }
      return golden == regex;
    })) << regex;
  }
}

TEST(Pattern, RefusesWhatItCannotMatch) {
  const auto error = [](std::string_view regex) {
    return error_of([&] { make_regex_pattern(regex, "file: pattern"); });
  };
  EXPECT_EQ(error("[a&&b]"),
            "file: pattern: offset 2 of '[a&&b]': found &&, an intersection of classes, which is "
            "not supported here");
  EXPECT_EQ(error("[a[^b]]").substr(0, 35), "file: pattern: offset 2 of '[a[^b]]");
  EXPECT_EQ(error("a{5,6}+").substr(0, 35), "file: pattern: offset 1 of 'a{5,6}+");
  EXPECT_EQ(error("a)").substr(0, 49), "file: pattern: the regular expression 'a)' cannot");
}

}  // namespace
}  // namespace spate::text_test
