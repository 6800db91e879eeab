// The sampling rules one by one: what each does to the logits of its row, and that rows without it
// stay as they are.
#include "sample/rules.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/sample/support.h"

namespace spate {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

// Greedy, so that nothing but the rule under test changes logits.
TestRow row_of(std::vector<float> logits) {
  TestRow row{.logits = std::move(logits)};
  row.params.temperature = 0;
  return row;
}

class Rules : public OnDevices {};
INSTANTIATE_TEST_SUITE_P(Devices, Rules, sampling_devices(), device_name);

TEST(RuleList, StandInTheirOrder) {
  std::vector<std::string_view> names;
  for (const Rule& rule : sampling_rules()) names.push_back(rule.name);
  EXPECT_EQ(names, (std::vector<std::string_view>{"own_logits", "logit_bias", "penalties",
                                                  "bad_tokens", "allowed_tokens", "min_tokens",
                                                  "mask_top", "draw", "logprobs"}));
}

TEST(RuleList, PlainGreedyRowsWantTheDrawAlone) {
  const TestRow row = row_of({1, 2});
  const SampleRow view{.params = &row.params, .tokens = row.tokens, .prompt_length = 1};
  for (const Rule& rule : sampling_rules()) {
    EXPECT_EQ(rule.wanted(view), rule.name == "draw") << rule.name;
  }
}

TEST_P(Rules, LogitBiasIsAdded) {
  TestSampler sampler(GetParam(), 2, 4);
  TestRow row = row_of({1, 2, 3, 4});
  row.params.logit_bias = {{3, -100.0F}, {1, 1.5F}};
  const auto out = sampler.sample({row, row_of({1, 2, 3, 4})});
  EXPECT_EQ(sampler.left(0), (std::vector<float>{1, 3.5, 3, -96}));
  EXPECT_EQ(sampler.left(1), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(out[0].token, 1);
  EXPECT_EQ(out[1].token, 3);
}

TEST_P(Rules, RepetitionPenaltySeesPromptAndAnswer) {
  TestSampler sampler(GetParam(), 2, 5);
  TestRow row = row_of({2, 2, -2, -2, 1});
  row.tokens = {0, 0, 2, 1};
  row.prompt_length = 3;
  row.params.repetition_penalty = 2;
  sampler.sample({row, row_of({2, 2, -2, -2, 1})});
  EXPECT_EQ(sampler.left(0), (std::vector<float>{1, 1, -4, -2, 1}));
  EXPECT_EQ(sampler.left(1), (std::vector<float>{2, 2, -2, -2, 1}));
}

TEST_P(Rules, PresenceAndFrequencySeeTheAnswerAlone) {
  TestSampler sampler(GetParam(), 1, 5);
  TestRow row = row_of({0, 0, 0, 0, 0});
  row.tokens = {0, 3, 1, 2, 1, 3, 1};
  row.prompt_length = 2;
  row.params.presence_penalty = 0.5;
  row.params.frequency_penalty = 0.25;
  sampler.sample(row);
  EXPECT_EQ(sampler.left(), (std::vector<float>{0, -1.25, -0.75, -0.75, 0}));
  row.params.presence_penalty = -0.5;  // below zero they favour what is there
  sampler.sample(row);
  EXPECT_EQ(sampler.left(), (std::vector<float>{0, -0.25, 0.25, 0.25, 0}));
  // Of a token in prompt and answer, the times in the answer count.
  row.params = {.temperature = 0, .repetition_penalty = 2, .frequency_penalty = 1};
  row.logits = {4, 4, 4, 4, 4};
  sampler.sample(row);
  EXPECT_EQ(sampler.left(), (std::vector<float>{2, -1, 1, 1, 4}));
}

TEST_P(Rules, BiasComesBeforePenalties) {
  TestSampler sampler(GetParam(), 1, 2);
  TestRow row = row_of({-1, 0});
  row.params.logit_bias = {{0, 5.0F}};
  row.params.repetition_penalty = 2;
  sampler.sample(row);
  EXPECT_EQ(sampler.left(), (std::vector<float>{2, 0}));  // (-1 + 5) / 2
}

TEST_P(Rules, BadTokensBanTheEndOfARun) {
  TestSampler sampler(GetParam(), 1, 6);
  TestRow row = row_of({1, 1, 1, 1, 1, 1});
  row.params.bad_tokens = {{5}, {1, 2}, {0, 1, 3}, {2, 4}};
  row.tokens = {0, 1};  // a run may begin in the prompt
  sampler.sample(row);
  EXPECT_EQ(sampler.left(), (std::vector<float>{1, 1, -kInf, -kInf, 1, -kInf}));
  row.tokens = {1};
  sampler.sample(row);
  EXPECT_EQ(sampler.left(), (std::vector<float>{1, 1, -kInf, 1, 1, -kInf}));
  row.tokens = {2};
  sampler.sample(row);
  EXPECT_EQ(sampler.left(), (std::vector<float>{1, 1, 1, 1, -kInf, -kInf}));
}

TEST_P(Rules, AllowedTokensAreTheOnlyOnes) {
  TestSampler sampler(GetParam(), 2, 4);
  TestRow row = row_of({1, 2, 3, 4});
  row.params.allowed_tokens = {2, 0, 2};
  const auto out = sampler.sample({row, row_of({1, 2, 3, 4})});
  EXPECT_EQ(sampler.left(0), (std::vector<float>{1, -kInf, 3, -kInf}));
  EXPECT_EQ(sampler.left(1), (std::vector<float>{1, 2, 3, 4}));
  EXPECT_EQ(out[0].token, 2);
  EXPECT_EQ(out[1].token, 3);
}

TEST_P(Rules, NoEndBeforeMinTokens) {
  TestSampler sampler(GetParam(), 1, 4);
  TestRow row = row_of({1, 2, 3, 4});
  row.end_tokens = {3};
  row.params.stop_tokens = {2, 3};
  row.params.min_tokens = 2;
  row.tokens = {0, 0, 1};
  row.prompt_length = 2;
  EXPECT_EQ(sampler.sample(row).token, 1);
  EXPECT_EQ(sampler.left(), (std::vector<float>{1, 2, -kInf, -kInf}));
  row.tokens.push_back(1);  // two are out
  EXPECT_EQ(sampler.sample(row).token, 3);
}

TEST_P(Rules, LogprobsAreOfTheModelsOwnLogits) {
  TestSampler sampler(GetParam(), 3, 4);
  const std::vector<float> logits{0, 1, 2, 3};
  double sum = 0;
  for (const float logit : logits) sum += std::exp(static_cast<double>(logit));
  TestRow row = row_of(logits);
  row.params.logprobs = 2;
  row.params.logit_bias = {{0, 10.0F}};
  row.params.allowed_tokens = {0, 1};
  TestRow only = row_of(logits);
  only.params.logprobs = 0;
  only.params.temperature = 0.01;
  const auto out = sampler.sample({row_of(logits), row, only});
  EXPECT_FALSE(out[0].logprob.has_value());
  ASSERT_TRUE(out[1].logprob.has_value());
  EXPECT_EQ(out[1].token, 0);
  EXPECT_EQ(out[1].logprob->token, 0);
  EXPECT_EQ(out[1].logprob->rank, 4);
  EXPECT_NEAR(out[1].logprob->logprob, -std::log(sum), 1e-6);
  ASSERT_EQ(out[1].logprob->top.size(), 2U);
  EXPECT_EQ(out[1].logprob->top[0].first, 3);
  EXPECT_NEAR(out[1].logprob->top[0].second, 3 - std::log(sum), 1e-6);
  EXPECT_EQ(out[1].logprob->top[1].first, 2);
  ASSERT_TRUE(out[2].logprob.has_value());
  EXPECT_EQ(out[2].token, 3);
  EXPECT_EQ(out[2].logprob->rank, 1);
  EXPECT_TRUE(out[2].logprob->top.empty());
}

TEST_P(Rules, MoreAlternativesThanTokensAreAllTokens) {
  TestSampler sampler(GetParam(), 1, 3);
  TestRow row = row_of({0, 1, 2});
  row.params.logprobs = 20;
  EXPECT_EQ(sampler.sample(row).logprob->top.size(), 3U);
}

TEST_P(Rules, ScoreGivesLogprobsOfGivenTokens) {
  TestSampler sampler(GetParam(), 2, 3);
  const auto scores = sampler.score({{0, 0, 0}, {0, 0, 1}}, {1, 0}, 1);
  ASSERT_EQ(scores.size(), 2U);
  EXPECT_NEAR(scores[0].logprob, -std::log(3.0), 1e-6);
  EXPECT_EQ(scores[0].rank, 1);
  EXPECT_EQ(scores[0].top.front().first, 0);
  EXPECT_EQ(scores[1].token, 0);
  EXPECT_NEAR(scores[1].logprob, -std::log(2 + std::exp(1.0)), 1e-6);
  EXPECT_EQ(scores[1].rank, 2);
  EXPECT_EQ(scores[1].top.front().first, 2);
}

// Rules that contradict each other ban every token: the row ends if it has an end.
TEST_P(Rules, WithEveryTokenBannedTheRowEnds) {
  TestSampler sampler(GetParam(), 1, 4);
  for (const double temperature : {0.0, 1.0, 0.7}) {
    TestRow row = row_of({1, 2, 3, 4});
    row.params.temperature = temperature;
    row.params.top_p = 0.9;
    row.params.allowed_tokens = {1};
    row.params.bad_tokens = {{1}};
    EXPECT_EQ(sampler.sample(row).token, 0);
    row.params.stop_tokens = {2};
    EXPECT_EQ(sampler.sample(row).token, 2);
    row.end_tokens = {3, 1};
    EXPECT_EQ(sampler.sample(row).token, 3);
  }
}

TEST_P(Rules, LogitsThatAreNoNumbersAreNeverDrawn) {
  TestSampler sampler(GetParam(), 1, 4);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const double temperature : {0.0, 1.0, 0.7}) {
    for (uint64_t key = 0; key < 50; ++key) {
      TestRow row = row_of({nan, 1, nan, -kInf});
      row.params.temperature = temperature;
      row.params.logprobs = 2;
      row.key = key;
      EXPECT_EQ(sampler.sample(row).token, 1);
    }
  }
}

TEST_P(Rules, TokensOutsideTheVocabularyArePassedOver) {
  TestSampler sampler(GetParam(), 1, 4);
  TestRow row = row_of({1, 2, 3, 4});
  row.params.logit_bias = {{4, 10.0F}, {-1, 10.0F}, {0, 10.0F}};
  row.params.repetition_penalty = 2;
  row.tokens = {99, 3};
  row.params.bad_tokens = {{1000}};
  EXPECT_EQ(sampler.sample(row).token, 0);
  EXPECT_EQ(sampler.left(), (std::vector<float>{11, 2, 3, 2}));
}

// More edits than one upload holds go up in turns; no row may be lost or doubled.
TEST_P(Rules, ManyEditsGoUpInTurns) {
  const int64_t vocabulary = 3000;
  TestSampler sampler(GetParam(), 4, vocabulary);
  std::vector<TestRow> rows;
  for (int r = 0; r < 4; ++r) {
    TestRow row = row_of(std::vector<float>(static_cast<size_t>(vocabulary), 4.0F));
    for (Token token = 0; token < vocabulary; ++token) {
      if (token % 5 != r) row.tokens.push_back(token);
    }
    row.params.frequency_penalty = 0.5 * (r + 1);
    rows.push_back(std::move(row));
  }
  sampler.sample(rows);
  for (int r = 0; r < 4; ++r) {
    const std::vector<float> left = sampler.left(r);
    for (Token token = 0; token < vocabulary; ++token) {
      const float expected = token % 5 == r ? 4.0F : 4.0F - 0.5F * static_cast<float>(r + 1);
      ASSERT_EQ(left[static_cast<size_t>(token)], expected) << "row " << r << ", token " << token;
    }
  }
}

TEST(SampleKey, DiffersBySeedRequestAndSample) {
  const uint64_t key = sample_key(1, 2, 3);
  EXPECT_EQ(key, sample_key(1, 2, 3));
  EXPECT_NE(key, sample_key(2, 2, 3));
  EXPECT_NE(key, sample_key(1, 3, 3));
  EXPECT_NE(key, sample_key(1, 2, 4));
  EXPECT_NE(key, sample_key(2, 1, 3));
  EXPECT_NE(sample_key(0, 0, 0), sample_key(0, 0, 1));
}

TEST(Sampler, DeviceBytesAreTheCopyOfLogitsAndLittleElse) {
  const size_t copy = size_t{64} * 49152 * sizeof(float);
  EXPECT_GT(Sampler::device_bytes(64, 49152), copy);
  EXPECT_LT(Sampler::device_bytes(64, 49152), copy + (size_t{1} << 20));
}

}  // namespace
}  // namespace spate
