// Lines of the input as values: every form, ids, and what each kind of bad line is told.
#include <gtest/gtest.h>

#include "apps/rows/row.h"
#include "tests/apps/support.h"

namespace spate {
namespace {

struct Parsed {
  InputRow row;
  std::string code, message;  // empty when the line is good
};

Parsed parse(std::string_view line, const ParseOptions& options = {}) {
  JsonParser parser;
  Parsed parsed;
  parsed.row.index = 7;
  try {
    parse_row(line, options, parser, parsed.row);
  } catch (const RowRejected& rejected) {
    parsed.code = rejected.error().code;
    parsed.message = rejected.error().message;
  }
  return parsed;
}

std::string text_of(const Parsed& parsed) {
  return parsed.row.prompts.size() == 1 ? std::get<std::string>(parsed.row.prompts[0]) : "?";
}

TEST(Rows, PromptWithFields) {
  const Parsed parsed = parse(R"({"id": "a1", "prompt": "Hi there", "max_tokens": 3})");
  EXPECT_EQ(parsed.code, "");
  EXPECT_EQ(parsed.row.id, "a1");
  EXPECT_EQ(text_of(parsed), "Hi there");
  EXPECT_FALSE(parsed.row.chat || parsed.row.openai || parsed.row.has_custom_id);
  EXPECT_EQ(apps_test::at(parsed.row.fields, {"max_tokens"}), Json(3));
}

TEST(Rows, PromptListsAndTokens) {
  EXPECT_EQ(parse(R"({"prompt": ["a", "b"]})").row.prompts.size(), 2U);
  const Parsed tokens = parse(R"({"prompt": [1, 2]})");
  EXPECT_EQ(tokens.row.prompts, (std::vector<Prompt>{std::vector<Token>{1, 2}}));
  const Parsed lists = parse(R"({"prompt": [[1, 2], [3]]})");
  EXPECT_EQ(lists.row.prompts,
            (std::vector<Prompt>{std::vector<Token>{1, 2}, std::vector<Token>{3}}));
  const Parsed ids = parse(R"({"id": 12, "prompt_token_ids": [5, 6]})");
  EXPECT_EQ(ids.row.id, "12");
  EXPECT_EQ(ids.row.prompts, (std::vector<Prompt>{std::vector<Token>{5, 6}}));
  const Parsed bare = parse("[7, 8]");
  EXPECT_EQ(bare.row.id, "row-7");
  EXPECT_EQ(bare.row.prompts, (std::vector<Prompt>{std::vector<Token>{7, 8}}));
}

TEST(Rows, Messages) {
  const Parsed parsed =
      parse(R"({"id": "c", "messages": [{"role": "user", "content": "Hello"}], "tools": [],)"
            R"( "chat_template_kwargs": {"enable_thinking": false}})");
  EXPECT_EQ(parsed.code, "");
  EXPECT_TRUE(parsed.row.chat);
  EXPECT_EQ(parsed.row.messages.as_array().size(), 1U);
  EXPECT_TRUE(parsed.row.tools.is_array());
  EXPECT_EQ(apps_test::at(parsed.row.template_arguments, {"enable_thinking"}), Json(false));
}

TEST(Rows, OpenAiBatchLines) {
  const Parsed chat =
      parse(R"({"custom_id": "x", "method": "POST", "url": "/v1/chat/completions",)"
            R"( "body": {"messages": [{"role": "user", "content": "Hi"}], "temperature": 0}})");
  EXPECT_EQ(chat.code, "");
  EXPECT_TRUE(chat.row.openai && chat.row.chat && chat.row.has_custom_id);
  EXPECT_EQ(chat.row.id, "x");
  EXPECT_EQ(apps_test::at(chat.row.fields, {"temperature"}), Json(0));
  const Parsed text =
      parse(R"({"custom_id": "y", "url": "/v1/completions", "body": {"prompt": "A"}})");
  EXPECT_EQ(text.code, "");
  EXPECT_TRUE(text.row.openai && !text.row.chat);
  EXPECT_EQ(text_of(text), "A");
}

TEST(Rows, TextTakesTheLineAsItIs) {
  const std::string line = "{\"not\": json \xF0\x9F\x99\x82 \xFF";
  const Parsed parsed = parse(line, {.format = RowFormat::text});
  EXPECT_EQ(parsed.code, "");
  EXPECT_EQ(text_of(parsed), line);
}

TEST(Rows, FieldsByName) {
  const ParseOptions options{.prompt_field = "question", .id_field = "key"};
  const Parsed parsed = parse(R"({"key": "k", "id": "no", "question": "Why?"})", options);
  EXPECT_EQ(parsed.row.id, "k");
  EXPECT_EQ(text_of(parsed), "Why?");
  const Parsed missing = parse(R"({"prompt": "x"})", options);
  EXPECT_EQ(missing.code, "missing_field");
  EXPECT_TRUE(apps_test::contains(missing.message, "question")) << missing.message;
}

TEST(Rows, CustomIdWinsOverId) {
  const Parsed parsed = parse(R"({"id": "a", "custom_id": "b", "prompt": "x"})");
  EXPECT_EQ(parsed.row.id, "b");
  EXPECT_TRUE(parsed.row.has_custom_id);
}

TEST(Rows, BadLinesHaveStableCodes) {
  struct Case {
    std::string line, code, part;
  };
  const Case cases[] = {
      {R"({"id": "a", "prompt": )", "invalid_json", "byte"},
      {"hello", "invalid_json", ""},
      {"\"just a string\"", "invalid_json", "--format text"},
      {"{\"prompt\": \"\xFF\"}", "invalid_json", "byte"},
      {R"({"prompt": "a"} {"prompt": "b"})", "invalid_json", ""},
      {R"({"id": "a"})", "missing_field", "messages"},
      {R"({"id": {}, "prompt": "a"})", "missing_field", "id"},
      {R"({"prompt": 5})", "missing_field", "an integer"},
      {R"({"prompt": [1, "a"]})", "missing_field", "prompt[1]"},
      {R"({"prompt": [1, -2]})", "missing_field", "-2"},
      {R"({"prompt": [4000000000]})", "missing_field", "4000000000"},
      {R"({"prompt": []})", "empty_prompt", "empty list"},
      {R"({"messages": "hi"})", "missing_field", "a string"},
      {R"({"messages": []})", "missing_field", "empty list"},
      {R"({"messages": [{"content": "hi"}]})", "missing_field", "role"},
      {R"({"messages": [{"role": "user"}], "chat_template_kwargs": 3})", "invalid_param", "object"},
      {R"({"custom_id": "a", "body": 3})", "missing_field", "body"},
      {R"({"custom_id": "a", "url": "/v1/embeddings", "body": {}})", "unsupported_param",
       "/v1/embeddings"},
      {R"({"custom_id": "a", "url": "/v1/completions", "body": {}})", "missing_field", "prompt"},
      {R"({"prompt_token_ids": "1 2"})", "missing_field", "a list"},
  };
  for (const Case& one : cases) {
    const Parsed parsed = parse(one.line);
    EXPECT_EQ(parsed.code, one.code) << one.line;
    EXPECT_TRUE(apps_test::contains(parsed.message, one.part)) << parsed.message;
    EXPECT_FALSE(parsed.row.id.empty()) << one.line;
  }
}

TEST(Rows, BadRowsKeepTheirId) {
  EXPECT_EQ(parse(R"({"id": "here", "prompt": 5})").row.id, "here");
  EXPECT_EQ(parse(R"({"id": "gone", "prompt": )").row.id, "row-7");
}

TEST(Rows, DeepNestingIsRefused) {
  std::string line = R"({"prompt": "a", "extra": )" + std::string(100000, '[');
  EXPECT_EQ(parse(line).code, "invalid_json");
  line = R"({"prompt": "a", "extra": )" + std::string(300, '[') + std::string(300, ']') + "}";
  EXPECT_EQ(parse(line).code, "invalid_json");
}

TEST(Rows, UnicodeAndLargeRows) {
  const std::string scripts = "Привет мир 你好 नमस्ते שלום สวัสดี 😀 \u0000 end";
  std::string line = R"({"prompt": )";
  append_json_string(line, scripts);
  line += "}";
  EXPECT_EQ(text_of(parse(line)), scripts);
  EXPECT_EQ(text_of(parse(R"({"prompt": "\u00e9\ud83d\ude00\u0000"})")),
            std::string("\xC3\xA9\xF0\x9F\x98\x80\0", 7));
  const std::string large(1 << 20, 'x');
  EXPECT_EQ(text_of(parse(R"({"prompt": ")" + large + "\"}")), large);
}

TEST(Rows, KeysTellIdAndContent) {
  const Hash128 key = parse(R"({"id": "a", "prompt": "x", "max_tokens": 3})").row.key;
  EXPECT_EQ(parse(R"( {"max_tokens":3,"prompt":"\u0078","id":"a"} )").row.key, key);
  EXPECT_NE(parse(R"({"id": "b", "prompt": "x", "max_tokens": 3})").row.key, key);
  EXPECT_NE(parse(R"({"id": "a", "prompt": "y", "max_tokens": 3})").row.key, key);
  EXPECT_NE(parse(R"({"id": "a", "prompt": "x", "max_tokens": 4})").row.key, key);
  // Without an id of its own the line number is part of the key, the content as well.
  InputRow eighth{.index = 8};
  JsonParser parser;
  parse_row("[1, 2]", {}, parser, eighth);
  EXPECT_NE(parse("[1, 2]").row.key, eighth.key);
  EXPECT_NE(parse("[1, 2]").row.key, parse("[1, 3]").row.key);
  // Bad lines have keys too.
  EXPECT_NE(parse(R"({"id": "a"})").row.key, Hash128{});
  EXPECT_NE(parse("{broken").row.key, parse("{Broken").row.key);
}

TEST(Rows, ARepeatedIdHasKeysOfItsOwn) {
  InputRow row = parse(R"({"id": "a", "prompt": "x"})").row;
  const InputRow first = row;
  mark_repeated(row);
  EXPECT_NE(row.key, first.key);
  EXPECT_NE(random_key(row), random_key(first));
}

}  // namespace
}  // namespace spate
