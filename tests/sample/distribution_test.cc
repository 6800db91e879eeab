// What is drawn has the probabilities it should have: chi-square tests of at least 20,000 draws
// with fixed seeds against exact probabilities, and independence of draws from each other and from
// the batch.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "tests/reference/sampling.h"
#include "tests/sample/support.h"

namespace spate {
namespace {

constexpr int64_t kDraws = 20480;
// With the vocabulary of a model; a sanitized build looks for other faults, and would take minutes.
#ifdef __SANITIZE_ADDRESS__
constexpr int64_t kLargeDraws = 1024;
#else
constexpr int64_t kLargeDraws = kDraws;
#endif
constexpr int64_t kBatch = 64;

// The probabilities that a row's params give its logits, by the rules in their order.
std::vector<double> probabilities_of(const TestRow& row) {
  const Params& params = row.params;
  std::vector<double> logits(row.logits.begin(), row.logits.end());
  const auto at = [&](Token token) -> double& { return logits[static_cast<size_t>(token)]; };
  for (const auto& [token, bias] : params.logit_bias) at(token) += static_cast<double>(bias);
  std::map<Token, int64_t> seen;
  for (size_t i = 0; i < row.tokens.size(); ++i) {
    seen[row.tokens[i]] += static_cast<int64_t>(i) < row.prompt_length ? 0 : 1;
  }
  for (const auto& [token, count] : seen) {
    at(token) = reference::penalized(at(token), count, params.repetition_penalty,
                                     params.frequency_penalty, params.presence_penalty);
  }
  for (const auto& run : params.bad_tokens) at(run.front()) = -reference::kInfinity;
  const auto masked = reference::mask_top(logits, {.temperature = params.temperature,
                                                   .top_k = params.top_k,
                                                   .top_p = params.top_p,
                                                   .min_p = params.min_p});
  return reference::softmax(masked.logits);
}

// How many standard deviations the chi-square statistic lies above its mean (Wilson and Hilferty).
// Tokens that are expected seldom share a bin.
double excess_of(const std::vector<double>& probability, const std::vector<int64_t>& count) {
  constexpr double kFewest = 10;  // draws expected in a bin
  const auto draws = static_cast<double>(std::accumulate(count.begin(), count.end(), int64_t{0}));
  std::vector<size_t> order(probability.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return probability[a] > probability[b]; });
  struct Bin {
    double expected = 0, found = 0;
  };
  std::vector<Bin> bins(1);
  for (const size_t token : order) {
    if (bins.back().expected >= kFewest) bins.emplace_back();
    bins.back().expected += probability[token] * draws;
    bins.back().found += static_cast<double>(count[token]);
  }
  if (bins.size() > 1 && bins.back().expected < kFewest) {
    const Bin rest = bins.back();
    bins.pop_back();
    bins.back().expected += rest.expected;
    bins.back().found += rest.found;
  }
  double statistic = 0;
  for (const Bin& bin : bins) {
    statistic += (bin.found - bin.expected) * (bin.found - bin.expected) / bin.expected;
  }
  const auto freedom = static_cast<double>(std::max<size_t>(bins.size() - 1, 1));
  const double spread = 2 / (9 * freedom);
  return (std::cbrt(statistic / freedom) - (1 - spread)) / std::sqrt(spread);
}

// Sets what a row's draw depends on, from the number of the draw.
using Vary = std::function<void(TestRow&, int64_t)>;

void by_request(TestRow& row, int64_t number) {
  row.key = sample_key(row.params.seed, static_cast<uint64_t>(number), 0);
}

std::vector<int64_t> count_draws(const TestDevice& device, const TestRow& row, const Vary& vary) {
  const auto vocabulary = static_cast<int64_t>(row.logits.size());
  const int64_t draws = vocabulary > 10000 ? kLargeDraws : kDraws;
  TestSampler sampler(device, kBatch, vocabulary, 2);
  std::vector<int64_t> count(row.logits.size());
  std::vector<TestRow> rows(kBatch, row);
  for (int64_t draw = 0; draw < draws; draw += kBatch) {
    for (int64_t b = 0; b < kBatch; ++b) vary(rows[static_cast<size_t>(b)], draw + b);
    for (const Sampled& sampled : sampler.sample(rows)) {
      ++count[static_cast<size_t>(sampled.token)];
    }
  }
  return count;
}

void expect_distribution(const TestDevice& device, const TestRow& row, const std::string& what,
                         const Vary& vary = by_request) {
  const std::vector<double> probability = probabilities_of(row);
  const std::vector<int64_t> count = count_draws(device, row, vary);
  for (size_t token = 0; token < count.size(); ++token) {
    if (probability[token] == 0) {
      EXPECT_EQ(count[token], 0) << what << ": token " << token;
    }
  }
  const double excess = excess_of(probability, count);
  EXPECT_LT(excess, 4) << what;
  EXPECT_GT(excess, -5) << what << ": too even to be random";
}

TestRow small_row() {
  return {.logits = {1.0F, 2.5F, -0.5F, 2.0F, 0.3F, 2.4F, -3.0F, 1.7F, 1.0F, -1.0F, 0.0F, 2.0F},
          .tokens = {0, 1, 1, 3, 5, 5, 3, 7, 5},
          .prompt_length = 3};
}

// Like a model's: some likely tokens and a long tail.
TestRow large_row() {
  std::mt19937_64 engine(11);
  std::normal_distribution<float> normal(0, 1.5F);
  TestRow row{.tokens = {5, 6, 7, 8, 9, 10, 5, 6, 5}, .prompt_length = 4};
  for (int token = 0; token < 49152; ++token) {
    row.logits.push_back(normal(engine) + (token % 700 == 5 ? 6.0F : 0.0F));
  }
  for (size_t token = 5; token < 11; ++token) row.logits[token] = 9;
  return row;
}

struct Case {
  const char* what;
  Params params;
};

std::vector<Case> cases() {
  return {
      {"plain", {}},
      {"cold", {.temperature = 0.4}},
      {"hot", {.temperature = 2.5}},
      {"top_k", {.top_k = 4}},
      {"top_p", {.top_p = 0.7}},
      {"min_p", {.min_p = 0.3}},
      {"repetition", {.repetition_penalty = 1.7}},
      {"presence", {.presence_penalty = 1.2}},
      {"frequency", {.frequency_penalty = 0.6}},
      {"bias", {.logit_bias = {{2, 3.0F}, {5, -2.0F}}}},
      {"temperature and top_p", {.temperature = 1.8, .top_p = 0.8}},
      {"top_k and top_p", {.temperature = 0.8, .top_k = 6, .top_p = 0.9}},
      {"all masks", {.temperature = 1.5, .top_k = 8, .top_p = 0.95, .min_p = 0.1}},
      {"all rules",
       {.temperature = 1.3,
        .top_k = 9,
        .top_p = 0.9,
        .min_p = 0.05,
        .repetition_penalty = 1.2,
        .presence_penalty = 0.3,
        .frequency_penalty = 0.2,
        .logit_bias = {{2, 2.5F}},
        .bad_tokens = {{11}}}},
  };
}

class Distribution : public OnDevices {};
INSTANTIATE_TEST_SUITE_P(Devices, Distribution, sampling_devices(), device_name);
class Draws : public OnDevices {};
INSTANTIATE_TEST_SUITE_P(Devices, Draws, sampling_devices(), device_name);

// So many draws tell a temperature of 1.1 from one of 1.
TEST_P(Distribution, TheTestSeesSmallFaults) {
  TestRow row = small_row();
  const std::vector<int64_t> count = count_draws(GetParam(), row, by_request);
  row.params.temperature = 1.1;
  EXPECT_GT(excess_of(probabilities_of(row), count), 4);
}

TEST_P(Distribution, SmallVocabulary) {
  for (const Case& one : cases()) {
    TestRow row = small_row();
    row.params = one.params;
    expect_distribution(GetParam(), row, one.what);
  }
}

TEST_P(Distribution, VocabularyOfAModel) {
  for (const Case& one : cases()) {
    const std::set<std::string_view> chosen{"plain", "top_k",     "top_p",
                                            "min_p", "all masks", "all rules"};
    if (chosen.count(one.what) == 0) continue;
    TestRow row = large_row();
    row.params = one.params;
    expect_distribution(GetParam(), row, one.what);
  }
}

// The noise must be fine enough for many tokens of equal logits.
TEST_P(Distribution, EqualLogits) {
  expect_distribution(GetParam(), {.logits = std::vector<float>(4096, 1.0F)}, "equal");
}

TEST_P(Distribution, EachPartOfTheKeyMakesDraws) {
  const TestRow row = small_row();
  expect_distribution(GetParam(), row, "seeds", [](TestRow& one, int64_t number) {
    one.key = sample_key(static_cast<uint64_t>(number), 1, 0);
  });
  expect_distribution(GetParam(), row, "samples",
                      [](TestRow& one, int64_t number) { one.key = sample_key(3, 1, number); });
  expect_distribution(GetParam(), row, "positions", [](TestRow& one, int64_t number) {
    one.key = 12345;
    one.tokens.assign(static_cast<size_t>(number + 1), 0);
  });
}

// Pairs of draws are independent: all 16 pairs of 4 tokens are equally frequent, for neighbours in
// the batch, successive samples and successive positions.
TEST_P(Distribution, DrawsAreIndependent) {
  TestSampler sampler(GetParam(), kBatch, 4);
  const auto expect_pairs = [&](const char* what,
                                const std::function<void(TestRow&, int64_t, int64_t)>& vary) {
    std::vector<int64_t> count(16);
    std::vector<TestRow> rows(kBatch, TestRow{.logits = {1, 1, 1, 1}});
    for (int64_t draw = 0; draw < 2 * kDraws; draw += kBatch) {
      for (int64_t b = 0; b < kBatch; ++b) {
        vary(rows[static_cast<size_t>(b)], (draw + b) / 2, b % 2);
      }
      const std::vector<Sampled> out = sampler.sample(rows);
      for (size_t b = 0; b < out.size(); b += 2) {
        ++count[static_cast<size_t>(4 * out[b].token + out[b + 1].token)];
      }
    }
    EXPECT_LT(excess_of(std::vector<double>(16, 1.0 / 16), count), 4) << what;
  };
  expect_pairs("requests", [](TestRow& one, int64_t pair, int64_t side) {
    one.key = sample_key(0, static_cast<uint64_t>(2 * pair + side), 0);
  });
  expect_pairs("samples", [](TestRow& one, int64_t pair, int64_t side) {
    one.key = sample_key(0, static_cast<uint64_t>(pair), side);
  });
  expect_pairs("positions", [](TestRow& one, int64_t pair, int64_t side) {
    one.key = sample_key(0, static_cast<uint64_t>(pair), 0);
    one.tokens.assign(static_cast<size_t>(5 + side), 0);
  });
}

// Temperature 0 is greedy whatever else is asked for; it must not be read as "not given".
TEST_P(Draws, TemperatureZeroIsGreedy) {
  TestSampler sampler(GetParam(), 1, 12);
  for (uint64_t key = 0; key < 300; ++key) {
    TestRow row = small_row();
    row.params = {.temperature = 0, .top_k = 5, .top_p = 0.9, .min_p = 0.01};
    row.key = key;
    EXPECT_EQ(sampler.sample(row).token, 1);
  }
}

// A row with a temperature and no masks is drawn, not taken greedily.
TEST_P(Draws, TemperatureAloneDraws) {
  TestSampler sampler(GetParam(), kBatch, 12);
  std::vector<TestRow> rows(kBatch, small_row());
  for (int64_t b = 0; b < kBatch; ++b) by_request(rows[static_cast<size_t>(b)], b);
  std::map<Token, int> count;
  for (const Sampled& sampled : sampler.sample(rows)) ++count[sampled.token];
  EXPECT_GT(count.size(), 5U);
}

// Rows of all kinds together give what they give alone, in any order and with any number of
// threads.
TEST_P(Draws, DoNotDependOnTheBatch) {
  const std::vector<Case> list = cases();
  std::vector<TestRow> rows;
  for (int i = 0; i < 42; ++i) {
    TestRow row = i % 3 == 2 ? large_row() : small_row();
    row.logits.resize(49152, -4.0F);
    row.params = list[static_cast<size_t>(i) % list.size()].params;
    if (i % 7 == 6) row.params.temperature = 0;
    if (i % 4 == 1) row.params.logprobs = i;
    row.key = sample_key(9, static_cast<uint64_t>(i), i % 2);
    rows.push_back(std::move(row));
  }
  TestSampler one(GetParam(), 64, 49152), three(GetParam(), 64, 49152, 3);
  const std::vector<Sampled> together = one.sample(rows);
  const std::vector<Sampled> threaded = three.sample(rows);
  const std::vector<Sampled> reversed =
      three.sample(std::vector<TestRow>(rows.rbegin(), rows.rend()));
  const auto expect_same = [](const Sampled& a, const Sampled& b, size_t row) {
    EXPECT_EQ(a.token, b.token) << "row " << row;
    ASSERT_EQ(a.logprob.has_value(), b.logprob.has_value());
    if (!a.logprob) return;
    EXPECT_EQ(a.logprob->logprob, b.logprob->logprob) << "row " << row;
    EXPECT_EQ(a.logprob->rank, b.logprob->rank) << "row " << row;
    EXPECT_EQ(a.logprob->top, b.logprob->top) << "row " << row;
  };
  for (size_t i = 0; i < rows.size(); ++i) {
    expect_same(together[i], threaded[i], i);
    expect_same(together[i], reversed[rows.size() - 1 - i], i);
    expect_same(together[i], one.sample(rows[i]), i);
    expect_same(together[i], three.sample(rows[i]), i);
  }
}

}  // namespace
}  // namespace spate
