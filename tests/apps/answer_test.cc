// One row after the engine: tokens to text, stop strings, several samples, and every output form.
#include "apps/answer.h"

#include <gtest/gtest.h>

#include "apps/rows/row_error.h"
#include "apps/run/live_row.h"
#include "tests/apps/support.h"

namespace spate {
namespace {

using apps_test::at;
using apps_test::contains;

// Token i is the i-th of these pieces; the last one is special.
class Words : public Tokenizer {
 public:
  Words() { kind_ = "words"; }
  void encode(std::string_view, const EncodeOptions&, std::vector<Token>&) const override {}
  std::string_view bytes(Token token) const override {
    return token >= 0 && token < vocabulary_size() ? kPieces[token] : std::string_view();
  }
  bool is_special(Token token) const override { return token == vocabulary_size() - 1; }
  std::optional<Token> find(std::string_view) const override { return {}; }
  int vocabulary_size() const override { return static_cast<int>(std::size(kPieces)); }

 private:
  static constexpr std::string_view kPieces[] = {"The",      " cat", " sat", "\xF0\x9F",
                                                 "\x98\x80", "\"\n", "<end>"};
};

const Words kWords;

Event event_of(uint64_t request, int sample, std::vector<Token> tokens,
               std::optional<FinishReason> finish = {}) {
  Event event{.request = request, .sample = sample, .tokens = std::move(tokens)};
  for (const Token token : event.tokens) {
    event.logprobs.push_back(
        {.token = token, .logprob = -0.5F, .rank = 1, .top = {{token, -0.5F}}});
  }
  if (finish) event.finish = Finish{.reason = *finish};
  return event;
}

PreparedRow prepared(int64_t n = 1, std::vector<std::string> stop = {}) {
  PreparedRow row;
  row.row.id = "r";
  row.row.index = 4;
  row.params.n = n;
  row.params.stop = std::move(stop);
  row.prompts = {{1, 2, 3}};
  return row;
}

TEST(Answer, TextAndUsage) {
  LiveRow row(prepared(), 0, &kWords);
  const auto requests = row.take_requests(10, 1.0);
  ASSERT_EQ(requests.size(), 1U);
  EXPECT_EQ(requests[0].id, 10U);
  EXPECT_EQ(requests[0].prompt, (std::vector<Token>{1, 2, 3}));
  EXPECT_FALSE(row.take(0, {.request = 10, .started = true}, 1.25));
  EXPECT_FALSE(row.take(0, event_of(10, 0, {0, 1, 3}), 2.0));
  EXPECT_FALSE(row.finished());
  EXPECT_FALSE(row.take(0, event_of(10, 0, {4, 6}, FinishReason::stop), 3.0));
  ASSERT_TRUE(row.finished());
  EXPECT_EQ(row.times().submitted, 1.0);
  EXPECT_EQ(row.times().started, 1.25);
  EXPECT_EQ(row.times().first_token, 2.0);
  EXPECT_EQ(row.times().finished, 3.0);
  const Json line =
      parse_json(answer_line({.tokenizer = &kWords}, row.row(), row.take_answer(true)), "line");
  EXPECT_EQ(at(line, {"id"}), Json("r"));
  EXPECT_EQ(at(line, {"index"}), Json(4));
  EXPECT_EQ(at(line, {"text"}), Json("The cat\xF0\x9F\x98\x80"));
  EXPECT_EQ(at(line, {"finish_reason"}), Json("stop"));
  EXPECT_EQ(at(line, {"usage", "completion_tokens"}), Json(5));
  EXPECT_EQ(at(line, {"usage", "total_tokens"}), Json(8));
  EXPECT_EQ(at(line, {"stats", "queue_s"}), Json(0.25));
  EXPECT_EQ(at(line, {"stats", "prefill_s"}), Json(0.75));
  EXPECT_EQ(at(line, {"stats", "decode_s"}), Json(1.0));
}

TEST(Answer, AStopStringCancelsAndCuts) {
  LiveRow row(prepared(1, {" sat"}), 0, &kWords);
  row.take_requests(1, 0);
  EXPECT_FALSE(row.take(0, event_of(1, 0, {0, 1}), 1));
  EXPECT_TRUE(row.take(0, event_of(1, 0, {2, 5}), 2));  // cancel, please
  EXPECT_FALSE(row.take(0, event_of(1, 0, {0}), 3));    // once
  EXPECT_FALSE(row.take(0, event_of(1, 0, {}, FinishReason::cancelled), 4));
  ASSERT_TRUE(row.finished());
  const RowAnswer answer = row.take_answer(false);
  const SampleAnswer& sample = answer.prompts[0].samples[0];
  EXPECT_EQ(sample.text, "The cat");
  EXPECT_EQ(sample.tokens, (std::vector<Token>{0, 1, 2}));
  EXPECT_EQ(sample.reason, FinishReason::stop);
}

TEST(Answer, CancelWaitsForAllSamplesThatRun) {
  LiveRow row(prepared(3, {" sat"}), 0, &kWords);
  row.take_requests(1, 0);
  EXPECT_FALSE(row.take(0, event_of(1, 0, {0, 2}), 1));                     // stopped
  EXPECT_FALSE(row.take(0, event_of(1, 1, {0}, FinishReason::length), 1));  // finished
  EXPECT_TRUE(row.take(0, event_of(1, 2, {1, 2}), 1));                      // stopped: all are
  EXPECT_FALSE(row.take(0, event_of(1, 0, {}, FinishReason::cancelled), 2));
  EXPECT_FALSE(row.take(0, event_of(1, 2, {}, FinishReason::cancelled), 2));
  ASSERT_TRUE(row.finished());
  const Json line =
      parse_json(answer_line({.tokenizer = &kWords}, row.row(), row.take_answer(false)), "line");
  const JsonArray choices = at(line, {"choices"}).as_array();
  ASSERT_EQ(choices.size(), 3U);
  EXPECT_EQ(at(choices[0], {"finish_reason"}), Json("stop"));
  EXPECT_EQ(at(choices[1], {"finish_reason"}), Json("length"));
  EXPECT_EQ(at(choices[2], {"text"}), Json(" cat"));
}

TEST(Answer, EngineErrorsBecomeRowErrors) {
  LiveRow row(prepared(), 0, &kWords);
  row.take_requests(1, 0);
  Event event = event_of(1, 0, {});
  event.finish = Finish{.reason = FinishReason::error, .code = "out_of_kv", .text = "too much"};
  row.take(0, std::move(event), 1);
  ASSERT_TRUE(row.finished() && row.error());
  EXPECT_EQ(row.error()->code, "out_of_kv");
  EXPECT_TRUE(row.error()->retryable);
}

TEST(Answer, WhatNobodyForesawIsAnEngineError) {
  LiveRow row(prepared(), 0, &kWords);
  row.take_requests(1, 0);
  Event event = event_of(1, 0, {});
  event.finish = Finish{.reason = FinishReason::error, .text = "a surprise"};
  row.take(0, std::move(event), 1);
  ASSERT_TRUE(row.error());
  EXPECT_EQ(row.error()->code, "engine_error");
  const auto thrown = row_error_of([] { throw std::bad_alloc(); });
  ASSERT_TRUE(thrown);
  EXPECT_EQ(thrown->code, "engine_error");
  EXPECT_TRUE(thrown->retryable);
}

TEST(Answer, AFailedRowMayBeTriedAgain) {
  LiveRow row(prepared(), 0, &kWords, {.before = 2, .most = 2});
  const std::vector<Request> first = row.take_requests(1, 0);
  row.take(0, event_of(1, 0, {0}), 1);
  row.fail({"timeout", "too slow", true});
  row.take(0, event_of(1, 0, {}, FinishReason::cancelled), 1);
  ASSERT_TRUE(row.finished() && row.can_retry());
  const std::vector<Request> second = row.take_requests(9, 2);
  EXPECT_EQ(second[0].prompt, first[0].prompt);
  EXPECT_EQ(second[0].key, first[0].key);  // the same random numbers
  EXPECT_FALSE(row.finished() || row.error());
  row.take(0, event_of(9, 0, {1}, FinishReason::length), 3);
  ASSERT_TRUE(row.finished());
  EXPECT_FALSE(row.can_retry());
  EXPECT_EQ(row.attempts(), 4);
  EXPECT_EQ(row.take_answer(false).prompts[0].samples[0].tokens, (std::vector<Token>{1}));
}

TEST(Answer, KeysOfRequestsComeFromTheRowsId) {
  const auto key_of = [](const std::string& id, size_t prompt) {
    PreparedRow row = prepared();
    row.row.id = id;
    row.prompts = {{1}, {2}};
    LiveRow live(std::move(row), 0, nullptr);
    return live.take_requests(50, 0)[prompt].key;
  };
  EXPECT_EQ(key_of("a", 0), key_of("a", 0));
  EXPECT_NE(key_of("a", 0), key_of("b", 0));
  EXPECT_NE(key_of("a", 0), key_of("a", 1));
}

RowAnswer one_answer(bool logprobs) {
  RowAnswer answer;
  answer.wants_logprobs = logprobs;
  SampleAnswer sample{.text = "The cat", .tokens = {0, 1}, .reason = FinishReason::context_length};
  sample.logprobs = {{.token = 0, .logprob = -0.25F, .rank = 1, .top = {{0, -0.25F}, {1, -2}}},
                     {.token = 1, .logprob = -1.5F, .rank = 2, .top = {{2, -0.5F}, {1, -1.5F}}}};
  answer.prompts = {{.prompt_tokens = 5, .cached_tokens = 2, .samples = {sample}}};
  return answer;
}

TEST(Answer, OpenAiChatLine) {
  InputRow row{.id = "x", .has_custom_id = true, .openai = true, .chat = true};
  const AnswerFormat format{.model = "m", .tokenizer = &kWords, .created = 99};
  const Json line = parse_json(answer_line(format, row, one_answer(true)), "line");
  EXPECT_EQ(at(line, {"custom_id"}), Json("x"));
  EXPECT_TRUE(at(line, {"error"}).is_null());
  EXPECT_EQ(at(line, {"response", "status_code"}), Json(200));
  const Json body = at(line, {"response", "body"});
  EXPECT_EQ(at(body, {"object"}), Json("chat.completion"));
  EXPECT_EQ(at(body, {"created"}), Json(99));
  EXPECT_EQ(at(body, {"usage", "prompt_tokens_details", "cached_tokens"}), Json(2));
  const Json choice = at(body, {"choices"}).as_array().at(0);
  EXPECT_EQ(at(choice, {"message", "content"}), Json("The cat"));
  EXPECT_EQ(at(choice, {"finish_reason"}), Json("length"));
  const JsonArray content = at(choice, {"logprobs", "content"}).as_array();
  ASSERT_EQ(content.size(), 2U);
  EXPECT_EQ(at(content[0], {"token"}), Json("The"));
  EXPECT_EQ(at(content[1], {"logprob"}), Json(-1.5));
  EXPECT_EQ(at(content[1], {"top_logprobs"}).as_array().size(), 2U);
}

TEST(Answer, OpenAiCompletionLine) {
  InputRow row{.id = "x", .openai = true};
  const Json line = parse_json(answer_line({.tokenizer = &kWords}, row, one_answer(true)), "line");
  const Json choice = at(line, {"response", "body", "choices"}).as_array().at(0);
  EXPECT_EQ(at(choice, {"text"}), Json("The cat"));
  EXPECT_EQ(at(choice, {"logprobs", "text_offset"}), Json(JsonArray{0, 3}));
  EXPECT_EQ(at(choice, {"logprobs", "tokens"}), Json(JsonArray{"The", " cat"}));
}

TEST(Answer, WithoutATokenizerThereAreIds) {
  const Json flat = parse_json(answer_line({}, {.id = "x"}, one_answer(false)), "line");
  EXPECT_EQ(at(flat, {"token_ids"}), Json(JsonArray{0, 1}));
  EXPECT_EQ(flat.find("text"), nullptr);
  const Json openai =
      parse_json(answer_line({}, {.id = "x", .openai = true}, one_answer(false)), "line");
  const Json choice = at(openai, {"response", "body", "choices"}).as_array().at(0);
  EXPECT_EQ(at(choice, {"token_ids"}), Json(JsonArray{0, 1}));
}

TEST(Answer, ErrorLines) {
  const InputRow row{.index = 3, .id = "e", .has_custom_id = true, .openai = true};
  const RowError error{"empty_prompt", "no \"tokens\"", false};
  const Json separate = parse_json(error_line(row, error, 1, false), "line");
  EXPECT_EQ(at(separate, {"error", "code"}), Json("empty_prompt"));
  EXPECT_EQ(at(separate, {"index"}), Json(3));
  EXPECT_EQ(at(separate, {"error", "retryable"}), Json(false));
  const Json inside = parse_json(error_line(row, error, 1, true), "line");
  EXPECT_TRUE(at(inside, {"response"}).is_null());
  EXPECT_EQ(at(inside, {"custom_id"}), Json("e"));
}

// A run that goes on finds keys by their places, without parsing.
TEST(Answer, KeysStandAtFixedPlaces) {
  InputRow row{.id = "x", .key = {1, 2}};
  const std::string key = "00000000000000010000000000000002";
  const std::string end = R"(,"key":")" + key + "\"}";
  const RowError error{"timeout", "too slow", true};
  EXPECT_TRUE(answer_line({.tokenizer = &kWords}, row, one_answer(true)).ends_with(end));
  EXPECT_TRUE(error_line(row, error, 12, false).ends_with(R"(,"attempts":12)" + end));
  EXPECT_TRUE(error_line(row, error, 12, true).ends_with(R"(,"attempts":12)" + end));
  row.openai = true;
  const std::string start = R"({"id":"batch_req_)" + key + "\",";
  const std::string answer = answer_line({.tokenizer = &kWords}, row, one_answer(true));
  EXPECT_TRUE(answer.starts_with(start));
  EXPECT_TRUE(answer.ends_with(R"("error":null})"));
  EXPECT_TRUE(error_line(row, error, 12, true).starts_with(start));
  EXPECT_TRUE(error_line(row, error, 12, false).ends_with(R"(,"attempts":12)" + end));
}

}  // namespace
}  // namespace spate
