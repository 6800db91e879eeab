// Sampling fields: every field by name, its bounds and wrong types, the forms of OpenAI and vLLM,
// what is not supported, and the flags made from the same table.
#include "sample/fields.h"

#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "base/check.h"
#include "sample/other_fields.h"

namespace spate {
namespace {

FieldsRead read(const std::string& text, Params& params, int64_t vocabulary = 0) {
  return read_fields(parse_json(text, "test"), params, vocabulary);
}

// Reads what must be without error.
Params params_of(const std::string& text, Params params = {}) {
  const FieldsRead result = read(text, params);
  EXPECT_FALSE(result.error.has_value()) << text << ": " << result.error->text;
  EXPECT_TRUE(result.unknown.empty()) << text;
  return params;
}

// "code: text" of what must not be accepted; empty when it was.
std::string error_of(const std::string& text, int64_t vocabulary = 0) {
  Params params;
  const FieldsRead result = read(text, params, vocabulary);
  return result.error ? result.error->code + ": " + result.error->text : "";
}

TEST(Fields, EachSetsItsParam) {
  const Params params = params_of(R"({
    "max_tokens": 7, "min_tokens": 3, "temperature": 0.5, "top_k": 40, "top_p": 0.9, "min_p": 0.05,
    "repetition_penalty": 1.1, "presence_penalty": -0.5, "frequency_penalty": 0.25, "seed": 42,
    "n": 3, "stop": ["a", "b"], "stop_token_ids": [1, 2], "include_stop_str_in_output": true,
    "ignore_eos": true, "logprobs": 4, "prompt_logprobs": 2, "logit_bias": {"5": -1.5, "3": 100},
    "allowed_token_ids": [9, 8], "bad_words_token_ids": [[1], [2, 3]],
    "repetition_detection": {"min_pattern_size": 2, "max_pattern_size": 30, "min_count": 4}})");
  EXPECT_EQ(params.max_tokens, 7);
  EXPECT_EQ(params.min_tokens, 3);
  EXPECT_EQ(params.temperature, 0.5);
  EXPECT_EQ(params.top_k, 40);
  EXPECT_EQ(params.top_p, 0.9);
  EXPECT_EQ(params.min_p, 0.05);
  EXPECT_EQ(params.repetition_penalty, 1.1);
  EXPECT_EQ(params.presence_penalty, -0.5);
  EXPECT_EQ(params.frequency_penalty, 0.25);
  EXPECT_EQ(params.seed, 42U);
  EXPECT_EQ(params.n, 3);
  EXPECT_EQ(params.stop, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(params.stop_tokens, (std::vector<Token>{1, 2}));
  EXPECT_TRUE(params.include_stop);
  EXPECT_TRUE(params.ignore_eos);
  EXPECT_EQ(params.logprobs, 4);
  EXPECT_EQ(params.prompt_logprobs, 2);
  EXPECT_EQ(params.logit_bias, (std::vector<std::pair<Token, float>>{{3, 100.0F}, {5, -1.5F}}));
  EXPECT_EQ(params.allowed_tokens, (std::vector<Token>{9, 8}));
  EXPECT_EQ(params.bad_tokens, (std::vector<std::vector<Token>>{{1}, {2, 3}}));
  EXPECT_EQ(params.loop_stop.min_pattern, 2);
  EXPECT_EQ(params.loop_stop.max_pattern, 30);
  EXPECT_EQ(params.loop_stop.min_count, 4);
}

TEST(Fields, WhatIsNotGivenStaysAsItWas) {
  const Params before{.temperature = 0.3, .top_k = 5, .max_tokens = 9, .stop = {"x"}};
  const Params params = params_of(R"({"top_p": 0.5, "temperature": null, "stop": null})", before);
  EXPECT_EQ(params.temperature, 0.3);
  EXPECT_EQ(params.top_k, 5);
  EXPECT_EQ(params.top_p, 0.5);
  EXPECT_EQ(params.max_tokens, 9);
  EXPECT_EQ(params.stop, (std::vector<std::string>{"x"}));
  EXPECT_EQ(params_of(R"({"stop": "y", "logit_bias": {}})", before).stop.front(), "y");
}

TEST(Fields, BoundsAreIncluded) {
  EXPECT_EQ(params_of(R"({"temperature": 0})").temperature, 0);
  EXPECT_EQ(params_of(R"({"temperature": 100})").temperature, 100);
  EXPECT_EQ(params_of(R"({"temperature": 0.00005})").temperature, 0);  // as good as greedy
  EXPECT_EQ(params_of(R"({"top_k": -1})").top_k, 0);
  EXPECT_EQ(params_of(R"({"top_k": 5.0})").top_k, 5);
  EXPECT_EQ(params_of(R"({"top_p": 1})").top_p, 1);
  EXPECT_EQ(params_of(R"({"max_tokens": -1})").max_tokens, 0);
  EXPECT_EQ(params_of(R"({"presence_penalty": 2, "frequency_penalty": -2})").presence_penalty, 2);
  EXPECT_EQ(params_of(R"({"n": 4096})").n, kMostSamples);
  EXPECT_EQ(params_of(R"({"logprobs": 128})").logprobs, kMostLogprobs);
  EXPECT_EQ(params_of(R"({"seed": -1})").seed, UINT64_MAX);
  EXPECT_EQ(params_of(R"({"seed": 9223372036854775807})").seed, uint64_t{INT64_MAX});
  EXPECT_EQ(params_of(R"({"repetition_detection": {"max_pattern_size": 0, "min_count": 3}})")
                .loop_stop.min_count,
            0);
}

TEST(Fields, ErrorsSayWhatWasFoundAndWhatIsExpected) {
  const std::pair<const char*, const char*> wrong[] = {
      {R"({"temperature": -0.1})", "temperature: expected a number from 0 to 100, found -0.1"},
      {R"({"temperature": "0.7"})", "temperature: expected a number from 0 to 100, found \"0.7\""},
      {R"({"temperature": [1]})", "temperature: expected a number from 0 to 100, found an array"},
      {R"({"top_k": 1.5})", "top_k: expected a whole number from -1 to 2147483647, found 1.5"},
      {R"({"top_k": -2})", "top_k: expected a whole number from -1 to 2147483647, found -2"},
      {R"({"top_p": 0})", "top_p: expected a number above 0 and at most 1, found 0"},
      {R"({"top_p": 1.01})", "top_p: expected a number from 0 to 1, found 1.01"},
      {R"({"min_p": 2})", "min_p: expected a number from 0 to 1, found 2"},
      {R"({"repetition_penalty": 0})", "repetition_penalty: expected a number from 0.01 to 100"},
      {R"({"presence_penalty": 2.1})", "presence_penalty: expected a number from -2 to 2"},
      {R"({"frequency_penalty": true})", "frequency_penalty: expected a number from -2 to 2"},
      {R"({"logit_bias": [1]})", "logit_bias: expected an object from token ids to numbers"},
      {R"({"logit_bias": {"a": 1}})", "logit_bias: expected token ids as names, found \"a\""},
      {R"({"logit_bias": {"-1": 1}})", "logit_bias: expected token ids as names, found \"-1\""},
      {R"({"logit_bias": {"1": 101}})", "logit_bias: expected a number from -100 to 100"},
      {R"({"logit_bias": {"1": 1, "01": 2}})", "logit_bias: expected each token id once, found 1"},
      {R"({"allowed_token_ids": 5})", "allowed_token_ids: expected a list of token ids, found 5"},
      {R"({"allowed_token_ids": [-5]})", "allowed_token_ids: expected a token id, found -5"},
      {R"({"bad_words_token_ids": [5]})", "bad_words_token_ids: expected a list of token ids"},
      {R"({"bad_words_token_ids": [[]]})", "bad_words_token_ids: expected lists with at least one"},
      {R"({"seed": 1.5})", "seed: expected a whole number of 64 bits, found 1.5"},
      {R"({"seed": 18446744073709551615})", "seed: expected a whole number of 64 bits"},
      {R"({"n": 0})", "n: expected a whole number from 1 to 4096, found 0"},
      {R"({"min_tokens": -1})", "min_tokens: expected a whole number from 0"},
      {R"({"max_tokens": 0})", "max_tokens: expected 1 or more, or -1"},
      {R"({"max_tokens": 1e300})", "max_tokens: expected a whole number"},
      {R"({"max_completion_tokens": "x"})", "max_completion_tokens: expected a whole number"},
      {R"({"min_tokens": 9, "max_tokens": 8})", "min_tokens is 9, above max_tokens, which is 8"},
      {R"({"stop": 5})", "stop: expected a string or a list of strings, found 5"},
      {R"({"stop": ["a", 5]})", "stop: expected a string, found 5"},
      {R"({"stop": ""})", "stop: expected texts that are not empty"},
      {R"({"stop_token_ids": ["a"]})", "stop_token_ids: expected a token id, found \"a\""},
      {R"({"include_stop_str_in_output": 1})",
       "include_stop_str_in_output: expected true or false"},
      {R"({"ignore_eos": "yes"})", "ignore_eos: expected true or false, found \"yes\""},
      {R"({"logprobs": -1})", "logprobs: expected a whole number from 0 to 128, found -1"},
      {R"({"logprobs": "5"})", "logprobs: expected a whole number from 0 to 128, found \"5\""},
      {R"({"top_logprobs": 3})", "top_logprobs: is 3, but logprobs is not true"},
      {R"({"logprobs": false, "top_logprobs": 3})", "top_logprobs: is 3, but logprobs is not true"},
      {R"({"prompt_logprobs": 129})", "prompt_logprobs: expected a whole number from 0 to 128"},
      {R"({"repetition_detection": 4})", "repetition_detection: expected an object, found 4"},
      {R"({"repetition_detection": {"count": 4}})", "found \"count\""},
      {R"({"repetition_detection": {"min_count": 1}})", "min_count: expected 2 or more"},
      {R"({"repetition_detection": {"min_count": -1}})", "min_count: expected a whole number"},
      {R"({"repetition_detection": {"min_pattern_size": 21}})", "above the max_pattern_size 20"},
      {R"([1])", "expected an object with sampling fields, found an array"},
  };
  for (const auto& [text, expected] : wrong) {
    const std::string error = error_of(text);
    EXPECT_EQ(error.rfind("invalid_param: ", 0), 0U) << text << ": " << error;
    EXPECT_NE(error.find(expected), std::string::npos) << text << ": " << error;
  }
}

TEST(Fields, LongValuesAreCutInErrors) {
  const std::string error = error_of(R"({"top_p": ")" + std::string(100000, 'x') + "\"}");
  EXPECT_LT(error.size(), 200U);
}

TEST(Fields, TokenIdsMustBeInTheVocabulary) {
  EXPECT_EQ(error_of(R"({"logit_bias": {"9": 1}})", 10), "");
  EXPECT_EQ(error_of(R"({"logit_bias": {"10": 1}})", 10),
            "invalid_param: logit_bias: token id 10 is not in the vocabulary of 10");
  EXPECT_NE(error_of(R"({"allowed_token_ids": [10]})", 10), "");
  EXPECT_NE(error_of(R"({"stop_token_ids": [10]})", 10), "");
  EXPECT_NE(error_of(R"({"bad_words_token_ids": [[1, 10]]})", 10), "");
}

TEST(Fields, OpenAiLogprobs) {
  EXPECT_FALSE(params_of(R"({"logprobs": false})").logprobs.has_value());
  EXPECT_FALSE(params_of(R"({"logprobs": false, "top_logprobs": 0})").logprobs.has_value());
  EXPECT_EQ(params_of(R"({"logprobs": true})").logprobs, 0);
  EXPECT_EQ(params_of(R"({"top_logprobs": 3, "logprobs": true})").logprobs, 3);
  EXPECT_EQ(params_of(R"({"logprobs": 0})").logprobs, 0);  // the completion form
  const Params from_flag{.logprobs = 5};
  EXPECT_EQ(params_of(R"({"logprobs": true})", from_flag).logprobs, 5);
  EXPECT_FALSE(params_of(R"({"logprobs": false})", from_flag).logprobs.has_value());
}

TEST(Fields, MaxCompletionTokensWins) {
  EXPECT_EQ(params_of(R"({"max_completion_tokens": 5})").max_tokens, 5);
  EXPECT_EQ(params_of(R"({"max_completion_tokens": 5, "max_tokens": 9})").max_tokens, 5);
  EXPECT_EQ(params_of(R"({"max_completion_tokens": null, "max_tokens": 9})").max_tokens, 9);
}

TEST(Fields, UnknownOnesAreReportedAndPassedOver) {
  Params params;
  const FieldsRead result = read(
      R"({"temprature": 1, "model": "m", "messages": [], "user": "u", "top_k": 3, "label": {}})",
      params);
  EXPECT_FALSE(result.error.has_value());
  EXPECT_EQ(result.unknown, (std::vector<std::string>{"temprature", "label"}));
  EXPECT_EQ(params.top_k, 3);
}

TEST(Fields, UnsupportedOnesAreErrorsWhenTheyAskForSomething) {
  const char* wrong[] = {
      R"({"response_format": {"type": "json_object"}})",
      R"({"response_format": {"type": "json_schema", "json_schema": {}}})",
      R"({"tool_choice": "required"})",
      R"({"tool_choice": {"type": "function", "function": {"name": "f"}}})",
      R"({"best_of": 2})",
      R"({"echo": true})",
      R"({"suffix": "end"})",
      R"({"guided_json": {"type": "object"}})",
      R"({"guided_regex": "a+"})",
      R"({"guided_anything": 1})",
      R"({"structured_outputs": {"regex": "a"}})",
      R"({"audio": {"voice": "x"}})",
      R"({"modalities": ["text", "audio"]})",
      R"({"use_beam_search": true})",
      R"({"bad_words": ["x"]})",
      R"({"skip_special_tokens": false})",
      R"({"max_new_tokens": 5})",
      R"({"target_ids": [1]})",
  };
  for (const char* text : wrong) {
    EXPECT_EQ(error_of(text).rfind("unsupported_param: ", 0), 0U) << text << ": " << error_of(text);
  }
  const char* harmless[] = {
      R"({"response_format": {"type": "text"}})",
      R"({"response_format": null})",
      R"({"tool_choice": "auto"})",
      R"({"tool_choice": "none"})",
      R"({"best_of": 1})",
      R"({"echo": false})",
      R"({"suffix": null})",
      R"({"suffix": ""})",
      R"({"guided_json": null})",
      R"({"modalities": ["text"]})",
      R"({"use_beam_search": false})",
      R"({"skip_special_tokens": true})",
      R"({"length_penalty": 1.0})",
      R"({"stream": true, "store": false})",
  };
  for (const char* text : harmless) EXPECT_EQ(error_of(text), "") << text;
  EXPECT_NE(error_of(R"({"max_new_tokens": 5})").find("give max_tokens"), std::string::npos);
}

TEST(Fields, NamesAreDistinct) {
  for (const Field& field : sampling_fields()) {
    EXPECT_FALSE(is_elsewhere(field.name)) << field.name;
    EXPECT_EQ(find_unsupported(field.name), nullptr) << field.name;
    int64_t times = 0;
    for (const Field& other : sampling_fields()) times += other.name == field.name ? 1 : 0;
    EXPECT_EQ(times, 1) << field.name;
  }
}

// A flag's text means what the same value means in a row.
TEST(Fields, FlagsAreReadLikeRows) {
  const auto field_of = [](std::string_view name) {
    for (const Field& field : sampling_fields()) {
      if (field.name == name) return field;
    }
    return Field{};
  };
  const auto json = [&](std::string_view name, const std::string& text) {
    return flag_json(field_of(name), text, nullptr).dump();
  };
  EXPECT_EQ(flag_name(field_of("bad_words_token_ids")), "--bad-words-token-ids");
  EXPECT_EQ(json("top_p", "0.5"), "0.5");
  EXPECT_EQ(json("top_p", ".5"), "0.5");
  EXPECT_EQ(json("top_k", "7"), "7");
  EXPECT_EQ(json("seed", "9223372036854775807"), "9223372036854775807");
  EXPECT_EQ(json("ignore_eos", ""), "true");
  EXPECT_EQ(json("stop_token_ids", "1,2"), "[1,2]");
  EXPECT_EQ(json("stop_token_ids", "[1, 2]"), "[1,2]");
  EXPECT_EQ(json("logit_bias", R"({"5": 1})"), R"({"5":1})");
  const Json first = flag_json(field_of("stop"), "\n\n", nullptr);
  EXPECT_EQ(flag_json(field_of("stop"), "5", &first).dump(), R"(["\n\n","5"])");
  EXPECT_THROW(json("top_p", "half"), Error);
  EXPECT_THROW(json("top_p", ""), Error);
  EXPECT_THROW(json("stop_token_ids", "1,x"), Error);
  EXPECT_THROW(json("logit_bias", "{"), Error);
}

TEST(Fields, TheDocumentListsThemAll) {
  std::ifstream file(SPATE_SOURCE_DIR "/docs/sampling.md");
  std::stringstream text;
  text << file.rdbuf();
  for (const Field& field : sampling_fields()) {
    EXPECT_NE(text.str().find(cat("| `", field.name, "`")), std::string::npos) << field.name;
  }
}

}  // namespace
}  // namespace spate
