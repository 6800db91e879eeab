// Penalize, LogitEdit, KeepOnly, MaskTop, Draw and Logprobs against plain double loops.
#include "tests/reference/sampling.h"

#include <map>

#include "tests/ops/support.h"

namespace spate {
namespace {

using test::Owned;

constexpr double kInf = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

// All setups once: logits are f32 whatever hidden states are.
void for_each_setup(std::string_view op, const test::SetupBody& body) {
  test::for_each_setup(op, DType::f32, body);
}

std::vector<double> row_of(const Owned& tensor, int64_t row) {
  std::vector<double> out;
  for (int64_t i = 0; i < tensor.columns(); ++i) out.push_back(tensor.at(row, i));
  return out;
}

Owned floats(const std::vector<double>& values) {
  Owned out({static_cast<int64_t>(values.size())});
  out.fill([&](int64_t row, int64_t) { return values[static_cast<size_t>(row)]; });
  return out;
}

Owned whole(const std::vector<int64_t>& values) {
  return test::integers({static_cast<int64_t>(values.size())}, values);
}

// Rows of logits as models and accidents make them.
enum class Kind { normal, peaked, flat, ties, equal, banned, broken, infinite };
constexpr Kind kKinds[] = {Kind::normal, Kind::peaked, Kind::flat,   Kind::ties,
                           Kind::equal,  Kind::banned, Kind::broken, Kind::infinite};

double logit_of(Kind kind, test::Random& random) {
  switch (kind) {
    case Kind::normal: return random.normal(2) + 5;
    case Kind::peaked: return random.uniform(0, 1) < 0.01 ? random.normal(8) : random.normal(1) - 9;
    case Kind::flat: return random.normal(0.01);
    case Kind::ties: return std::round(random.normal(2));
    case Kind::equal: return 0.25;
    case Kind::banned: return random.uniform(0, 1) < 0.9 ? -kInf : random.normal(2);
    case Kind::broken: return random.uniform(0, 1) < 0.3 ? kNan : random.normal(2);
    case Kind::infinite: return random.uniform(0, 1) < 0.3 ? kInf : random.normal(2);
  }
  return 0;
}

Owned logits_of(int64_t rows, int64_t vocabulary, uint64_t seed) {
  test::Random random(seed);
  const int64_t gap = vocabulary % 4 == 0 ? 4 : 3;  // where they can be, vectors are aligned
  Owned out({rows, vocabulary}, DType::f32, gap);
  out.fill([&](int64_t row, int64_t) {
    return logit_of(kKinds[static_cast<size_t>(row) % std::size(kKinds)], random);
  });
  return out;
}

// --- tables of tokens ----------------------------------------------------------------------------

struct Ragged {
  std::vector<int64_t> begin{0}, tokens;
  // `most` distinct tokens a row at most; every third row has none.
  Ragged(int64_t rows, int64_t vocabulary, int64_t most, test::Random& random) {
    for (int64_t b = 0; b < rows; ++b) {
      const int64_t count = b % 3 == 2 ? 0 : std::min(vocabulary, random.whole(1, most));
      const int64_t stride = std::max<int64_t>(vocabulary / std::max<int64_t>(count, 1), 1);
      for (int64_t n = 0; n < count; ++n) tokens.push_back(n * stride);
      begin.push_back(static_cast<int64_t>(tokens.size()));
    }
  }
  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
};

TEST(Penalize, AgreesWithTheReference) {
  test::Random random(1);
  for (const auto& [rows, vocabulary, most] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {5, 100, 30}, {7, 9000, 6000}}) {
    const Owned logits = random.normal_tensor({rows, vocabulary}, DType::f32, 2);
    const Ragged table(rows, vocabulary, most, random);
    std::vector<int64_t> count;
    for (int64_t n = 0; n < table.size(); ++n) count.push_back(random.whole(0, 3));
    std::vector<double> repetition, frequency, presence;
    for (int64_t b = 0; b < rows; ++b) {
      repetition.push_back(b == 0 ? 1 : random.uniform(0.5, 2));
      frequency.push_back(b == 1 ? 0 : random.uniform(-2, 2));
      presence.push_back(b == 1 ? 0 : random.uniform(-2, 2));
    }
    std::vector<double> expected = logits.values();
    for (int64_t b = 0; b < rows; ++b) {
      const auto i = static_cast<size_t>(b);
      for (int64_t n = table.begin[i]; n < table.begin[i + 1]; ++n) {
        const auto at = static_cast<size_t>(b * vocabulary + table.tokens[static_cast<size_t>(n)]);
        expected[at] = reference::penalized(expected[at], count[static_cast<size_t>(n)],
                                            repetition[i], frequency[i], presence[i]);
      }
    }
    for_each_setup("penalize", [&](Backend& backend, const std::string& name) {
      const Owned found = logits;
      backend.run(op::Penalize{.logits = found.tensor,
                               .begin = whole(table.begin).tensor,
                               .tokens = whole(table.tokens).tensor,
                               .count = whole(count).tensor,
                               .repetition = floats(repetition).tensor,
                               .frequency = floats(frequency).tensor,
                               .presence = floats(presence).tensor});
      test::expect_close(found, expected, 16 * 16 * test::kF32Epsilon, name);
    });
  }
}

TEST(LogitEdit, AddsAndBans) {
  test::Random random(2);
  for (const auto& [rows, vocabulary, most] :
       {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1}, {5, 100, 30}, {7, 9000, 6000}}) {
    const Owned logits = random.normal_tensor({rows, vocabulary}, DType::f32, 2);
    const Ragged table(rows, vocabulary, most, random);
    std::vector<double> values;
    for (int64_t n = 0; n < table.size(); ++n) {
      values.push_back(n % 4 == 0 ? -kInf : random.uniform(-100, 100));
    }
    std::vector<double> expected = logits.values();
    for (size_t b = 0; b < static_cast<size_t>(rows); ++b) {
      for (int64_t n = table.begin[b]; n < table.begin[b + 1]; ++n) {
        const auto token = table.tokens[static_cast<size_t>(n)];
        expected[b * static_cast<size_t>(vocabulary) + static_cast<size_t>(token)] +=
            values[static_cast<size_t>(n)];
      }
    }
    for_each_setup("logit_edit", [&](Backend& backend, const std::string& name) {
      const Owned found = logits;
      backend.run(op::LogitEdit{.logits = found.tensor,
                                .begin = whole(table.begin).tensor,
                                .tokens = whole(table.tokens).tensor,
                                .values = floats(values).tensor});
      test::expect_close(found, expected, 128 * test::kF32Epsilon, name);
    });
  }
}

TEST(KeepOnly, KeepsListedTokensAndLeavesRowsWithoutAList) {
  test::Random random(3);
  for (const auto& [rows, vocabulary, most] : {std::tuple<int64_t, int64_t, int64_t>{1, 1, 1},
                                               {5, 100, 30},
                                               {7, 9000, 6000},
                                               {4, 70001, 40}}) {
    const Owned logits = random.normal_tensor({rows, vocabulary}, DType::f32, 2);
    const Ragged table(rows, vocabulary, most, random);
    std::vector<double> expected;
    for (size_t b = 0; b < static_cast<size_t>(rows); ++b) {
      const auto first = table.tokens.begin() + table.begin[b];
      const auto last = table.tokens.begin() + table.begin[b + 1];
      for (int64_t token = 0; token < vocabulary; ++token) {
        const bool kept = first == last || std::find(first, last, token) != last;
        expected.push_back(kept ? logits.at(static_cast<int64_t>(b), token) : -kInf);
      }
    }
    for_each_setup("keep_only", [&](Backend& backend, const std::string& name) {
      const Owned found = logits;
      backend.run(op::KeepOnly{.logits = found.tensor,
                               .begin = whole(table.begin).tensor,
                               .tokens = whole(table.tokens).tensor});
      test::expect_close(found, expected, 0, name);
    });
  }
}

// --- mask_top ------------------------------------------------------------------------------------

const std::vector<reference::MaskLimits> kLimits = {
    {.temperature = 0, .top_k = 3, .top_p = 0.5, .min_p = 0.5},
    {.temperature = 0.7},
    {.temperature = 2, .top_k = 1},
    {.top_k = 5},
    {.top_k = 100},
    {.top_k = 5000},
    {.top_p = 0.5},
    {.top_p = 0.9},
    {.top_p = 0.999},
    {.top_p = 1e-6},
    {.min_p = 0.1},
    {.min_p = 1},
    {.temperature = 1.5, .top_k = 40, .top_p = 0.9},
    {.temperature = 0.6, .top_k = 20, .top_p = 0.95, .min_p = 0.05},
    {.temperature = 3, .top_k = 3000, .top_p = 0.8, .min_p = 1e-4},
    {.temperature = 1, .top_p = 0.9, .min_p = 0.02},
    {.temperature = 0.001, .top_p = 0.9},
};

// All kinds of rows with the limits of `which` and its neighbours, so that rows of a batch differ.
void check_mask_top(int64_t vocabulary, size_t which) {
  const auto rows = static_cast<int64_t>(std::size(kKinds));
  const Owned logits = logits_of(rows, vocabulary, static_cast<uint64_t>(vocabulary) + which);
  std::vector<double> temperature, top_p, min_p;
  std::vector<int64_t> top_k;
  std::vector<reference::Masked> expected;
  for (int64_t b = 0; b < rows; ++b) {
    const auto& limits = kLimits[(which + static_cast<size_t>(b)) % kLimits.size()];
    temperature.push_back(limits.temperature);
    top_p.push_back(limits.top_p);
    min_p.push_back(limits.min_p);
    top_k.push_back(limits.top_k);
    reference::MaskLimits rounded = limits;  // ops take f32
    rounded.top_p = static_cast<float>(limits.top_p);
    rounded.min_p = static_cast<float>(limits.min_p);
    expected.push_back(reference::mask_top(row_of(logits, b), rounded));
  }
  for_each_setup("mask_top", [&](Backend& backend, const std::string& name) {
    const Owned found = logits;
    backend.run(op::MaskTop{.logits = found.tensor,
                            .temperature = floats(temperature).tensor,
                            .top_p = floats(top_p).tensor,
                            .min_p = floats(min_p).tensor,
                            .top_k = whole(top_k).tensor});
    for (int64_t b = 0; b < rows; ++b) {
      const auto& [values, doubtful] = expected[static_cast<size_t>(b)];
      // GPUs leave rows as they are that nothing is asked of, with their NaNs and infinities.
      const auto& limits = kLimits[(which + static_cast<size_t>(b)) % kLimits.size()];
      const bool left = backend.device().kind == Device::Kind::cuda && limits.temperature == 1 &&
                        (limits.top_k == 0 || limits.top_k >= vocabulary) && limits.top_p >= 1 &&
                        limits.min_p <= 0;
      for (int64_t token = 0; token < vocabulary; ++token) {
        const auto i = static_cast<size_t>(token);
        const double value = found.at(b, token);
        const auto is = [&](double other) {
          return value == other || (std::isnan(value) && std::isnan(other));
        };
        ASSERT_TRUE(is(values[i]) || doubtful[i] || (left && is(logits.at(b, token))))
            << name << ": row " << b << " of " << vocabulary << " tokens, limits "
            << (which + static_cast<size_t>(b)) % kLimits.size() << ", token " << token
            << ": found " << value << ", expected " << values[i];
      }
    }
    found.expect_guarded(name);
  });
}

TEST(MaskTop, AgreesWithTheReference) {
  for (const int64_t vocabulary : {1, 2, 63, 64, 65, 1000, 4097}) {
    for (size_t which = 0; which < kLimits.size(); ++which) check_mask_top(vocabulary, which);
  }
}

TEST(MaskTop, AgreesWithTheReferenceOnVocabulariesOfModels) {
  for (const size_t which : {0U, 5U, 8U, 12U}) check_mask_top(49152, which);
  check_mask_top(262144, 7);
}

// The nucleus keeps the most probable tokens. One that sums from the wrong end keeps the others,
// and one without the token that reaches top_p is a token short.
TEST(MaskTop, KeepsTheSmallestSetThatReachesTopP) {
  for_each_setup("mask_top", [&](Backend& backend, const std::string& name) {
    Owned logits({1, 4});
    const double probabilities[] = {0.1, 0.4, 0.2, 0.3};
    logits.fill([&](int64_t, int64_t token) { return std::log(probabilities[token]); });
    backend.run(op::MaskTop{.logits = logits.tensor,
                            .temperature = floats({1}).tensor,
                            .top_p = floats({0.6}).tensor,
                            .min_p = floats({0}).tensor,
                            .top_k = whole({0}).tensor});
    EXPECT_EQ(logits.at(0, 0), -kInf) << name;
    EXPECT_GT(logits.at(0, 1), -kInf) << name;
    EXPECT_EQ(logits.at(0, 2), -kInf) << name;
    EXPECT_GT(logits.at(0, 3), -kInf) << name;
  });
}

// min_p is relative to the most probable token: with 0.3 as the largest probability, 0.5 keeps
// those from 0.15 on. Taken as an absolute probability it would keep none.
TEST(MaskTop, MinPIsRelative) {
  for_each_setup("mask_top", [&](Backend& backend, const std::string& name) {
    Owned logits({1, 5});
    const double probabilities[] = {0.3, 0.2, 0.2, 0.16, 0.14};
    logits.fill([&](int64_t, int64_t token) { return std::log(probabilities[token]); });
    backend.run(op::MaskTop{.logits = logits.tensor,
                            .temperature = floats({1}).tensor,
                            .top_p = floats({1}).tensor,
                            .min_p = floats({0.5}).tensor,
                            .top_k = whole({0}).tensor});
    for (int64_t token = 0; token < 4; ++token) EXPECT_GT(logits.at(0, token), -kInf) << name;
    EXPECT_EQ(logits.at(0, 4), -kInf) << name;
  });
}

// A row's bits are the same alone, in any batch and every time.
TEST(MaskTop, DependsOnTheRowAlone) {
  for (const int64_t vocabulary : {5000, 40000}) {
    const auto rows = static_cast<int64_t>(std::size(kKinds));
    const Owned logits = logits_of(rows, vocabulary, 3);
    for_each_setup("mask_top", [&](Backend& backend, const std::string& name) {
      const auto run = [&](const Tensor& some, double top_p, int64_t top_k) {
        const auto count = static_cast<size_t>(some.rows());
        backend.run(op::MaskTop{.logits = some,
                                .temperature = floats(std::vector<double>(count, 0.9)).tensor,
                                .top_p = floats(std::vector<double>(count, top_p)).tensor,
                                .min_p = floats(std::vector<double>(count, 0)).tensor,
                                .top_k = whole(std::vector<int64_t>(count, top_k)).tensor});
      };
      for (const auto& [top_p, top_k] : {std::pair<double, int64_t>{0.7, 0}, {0.8, 300}}) {
        const Owned together = logits, alone = logits;
        run(together.tensor, top_p, top_k);
        for (int64_t b = 0; b < rows; ++b) run(alone.tensor.slice(b, 1), top_p, top_k);
        test::expect_same_bits(alone, together, name);
      }
    });
  }
}

// --- draw ----------------------------------------------------------------------------------------

struct Draws {
  std::vector<double> temperature;
  std::vector<int64_t> key, position;
};

Draws draws_of(int64_t rows, uint64_t seed) {
  test::Random random(seed);
  Draws draws;
  for (int64_t b = 0; b < rows; ++b) {
    draws.temperature.push_back(b % 5 == 4 ? 0 : 1);
    draws.key.push_back(random.whole(INT32_MIN, INT32_MAX));
    draws.key.push_back(random.whole(INT32_MIN, INT32_MAX));
    draws.position.push_back(random.whole(0, 100000));
  }
  return draws;
}

uint64_t key_of(const Draws& draws, int64_t row) {
  const auto word = [&](int64_t i) {
    return uint64_t{static_cast<uint32_t>(draws.key[static_cast<size_t>(2 * row + i)])};
  };
  return word(0) | word(1) << 32;
}

std::vector<int64_t> draw(Backend& backend, const Tensor& logits, const Draws& draws) {
  const int64_t rows = logits.rows();
  Owned out({rows}, DType::i32);
  backend.run(op::Draw{.logits = logits,
                       .temperature = floats(draws.temperature).tensor,
                       .key = test::integers({rows, 2}, draws.key).tensor,
                       .position = whole(draws.position).tensor,
                       .out = out.tensor});
  out.expect_guarded("draw");
  std::vector<int64_t> tokens;
  for (int64_t b = 0; b < rows; ++b) tokens.push_back(static_cast<int64_t>(out.at(b, 0)));
  return tokens;
}

TEST(Draw, AgreesWithTheReference) {
  for (const auto& [rows, vocabulary] : {std::pair<int64_t, int64_t>{16, 1},
                                         {16, 5},
                                         {16, 64},
                                         {16, 1000},
                                         {16, 20001},
                                         {9, 49152},
                                         {2, 200003}}) {
    const Owned logits = logits_of(rows, vocabulary, 77);
    const Draws draws = draws_of(rows, static_cast<uint64_t>(vocabulary));
    std::vector<reference::Drawn> expected;
    for (int64_t b = 0; b < rows; ++b) {
      const auto i = static_cast<size_t>(b);
      expected.push_back(reference::draw(row_of(logits, b), draws.temperature[i], key_of(draws, b),
                                         static_cast<uint64_t>(draws.position[i])));
    }
    for_each_setup("draw", [&](Backend& backend, const std::string& name) {
      const std::vector<int64_t> found = draw(backend, logits.tensor, draws);
      for (size_t b = 0; b < found.size(); ++b) {
        const bool near_tie = draws.temperature[b] > 0 && expected[b].lead < 1e-4;
        EXPECT_TRUE(found[b] == expected[b].token || near_tie)
            << name << ": row " << b << " of " << found.size() << ": found " << found[b]
            << ", expected " << expected[b].token << ", which leads by " << expected[b].lead;
      }
    });
  }
}

// A row's token is the same alone and in any batch, with any number of threads and instruction set.
TEST(Draw, DependsOnTheRowAlone) {
  for (const int64_t vocabulary : {300, 200003}) {
    const int64_t rows = 5;
    const Owned logits = logits_of(rows, vocabulary, 5);
    const Draws draws = draws_of(rows, 6);
    std::vector<int64_t> first;
    for_each_setup("draw", [&](Backend& backend, const std::string& name) {
      const std::vector<int64_t> together = draw(backend, logits.tensor, draws);
      if (first.empty()) first = together;
      EXPECT_EQ(together, first) << name;
      for (int64_t b = 0; b < rows; ++b) {
        const auto i = static_cast<size_t>(b);
        const Draws one{.temperature = {draws.temperature[i]},
                        .key = {draws.key[2 * i], draws.key[2 * i + 1]},
                        .position = {draws.position[i]}};
        EXPECT_EQ(draw(backend, logits.tensor.slice(b, 1), one).front(), first[i]) << name;
      }
    });
  }
}

// The noise has the same bits everywhere, so the tokens are the same.
TEST(Draw, GpusDrawTheTokensOfTheCpu) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  const auto cpu = open_cpu_backend({.threads = 1});
  for (const int64_t rows : {3, 80}) {
    for (const int64_t vocabulary : {9, 4000, 30001, 128256}) {
      const Owned logits = logits_of(rows, vocabulary, 9);
      const Draws draws = draws_of(rows, 10);
      const std::vector<int64_t> expected = draw(*cpu, logits.tensor, draws);
      test::for_each_gpu_setup("draw", [&](Backend& backend, const std::string& name) {
        EXPECT_EQ(draw(backend, logits.tensor, draws), expected)
            << name << ", " << vocabulary << " tokens";
      });
    }
  }
}

TEST(Draw, GreedyTakesTheFirstOfEqualLogits) {
  for_each_setup("draw", [&](Backend& backend, const std::string& name) {
    Owned logits({1, 30000});
    logits.fill([](int64_t, int64_t token) { return token % 9999 == 9998 ? 4 : -token * 1e-3; });
    const Draws greedy{.temperature = {0}, .key = {1, 2}, .position = {3}};
    EXPECT_EQ(draw(backend, logits.tensor, greedy).front(), 9998) << name;
  });
}

TEST(Draw, NothingToDrawIsMinusOne) {
  for_each_setup("draw", [&](Backend& backend, const std::string& name) {
    for (const double temperature : {0.0, 1.0}) {
      Owned logits({2, 20000});
      logits.fill([](int64_t row, int64_t) { return row == 0 ? -kInf : kNan; });
      const Draws draws{
          .temperature = {temperature, temperature}, .key = {1, 2, 3, 4}, .position = {3, 4}};
      EXPECT_EQ(draw(backend, logits.tensor, draws), (std::vector<int64_t>{-1, -1})) << name;
      logits.set(0, 19999, -1e30);
      logits.set(1, 64, 0);
      EXPECT_EQ(draw(backend, logits.tensor, draws), (std::vector<int64_t>{19999, 64})) << name;
    }
  });
}

// --- logprobs ------------------------------------------------------------------------------------

void check_logprobs(int64_t vocabulary, int64_t top) {
  const int64_t rows = 7;  // all kinds but the infinite ones
  const Owned logits = logits_of(rows, vocabulary, static_cast<uint64_t>(vocabulary + top));
  test::Random random(8);
  std::vector<int64_t> chosen;
  for (int64_t b = 0; b < rows; ++b) chosen.push_back(random.whole(0, vocabulary - 1));
  for_each_setup("logprobs", [&](Backend& backend, const std::string& name) {
    Owned logprob({rows}), rank({rows}, DType::i32);
    Owned top_tokens({rows, std::max<int64_t>(top, 1)}, DType::i32);
    Owned top_logprobs({rows, std::max<int64_t>(top, 1)});
    const Owned ids = whole(chosen);
    op::Logprobs op{.logits = logits.tensor,
                    .chosen = ids.tensor,
                    .logprob = logprob.tensor,
                    .rank = rank.tensor};
    if (top > 0) {
      op.top_tokens = top_tokens.tensor;
      op.top_logprobs = top_logprobs.tensor;
    }
    backend.run(op);
    std::vector<double> logprobs, ranks, tokens, values;
    for (int64_t b = 0; b < rows; ++b) {
      const auto expected = reference::logprobs(
          row_of(logits, b), static_cast<int32_t>(chosen[static_cast<size_t>(b)]), top);
      logprobs.push_back(expected.logprob);
      ranks.push_back(static_cast<double>(expected.rank));
      for (const auto& [token, value] : expected.top) {
        tokens.push_back(token);
        values.push_back(value);
      }
    }
    constexpr double kTolerance = 1e-5;  // logprobs of 40 have 4e-6 between two numbers
    test::expect_close(logprob, logprobs, kTolerance, name + ", logprob");
    test::expect_close(rank, ranks, 0, name + ", rank");
    if (top > 0) {
      test::expect_close(top_tokens, tokens, 0, name + ", top_tokens");
      test::expect_close(top_logprobs, values, kTolerance, name + ", top_logprobs");
    }
  });
}

TEST(Logprobs, AgreesWithTheReference) {
  for (const auto& [vocabulary, top] :
       {std::pair<int64_t, int64_t>{1, 1}, {2, 0}, {63, 63}, {130, 5}, {1000, 20}, {49152, 128}}) {
    check_logprobs(vocabulary, top);
  }
}

TEST(Logprobs, InfiniteLogitsHaveNoNan) {
  for_each_setup("logprobs", [&](Backend& backend, const std::string& name) {
    Owned logits({2, 100});
    logits.fill([](int64_t row, int64_t token) {
      return row == 0 ? -kInf : token == 7 ? kInf : 1;
    });
    const Owned chosen = whole({3, 7});
    Owned logprob({2}), rank({2}, DType::i32), top({2, 2}, DType::i32), values({2, 2});
    backend.run(op::Logprobs{.logits = logits.tensor,
                             .chosen = chosen.tensor,
                             .logprob = logprob.tensor,
                             .rank = rank.tensor,
                             .top_tokens = top.tensor,
                             .top_logprobs = values.tensor});
    test::expect_close(logprob, {-kInf, 0}, 0, name);
    test::expect_close(top, {0, 1, 7, 0}, 0, name);
    test::expect_close(values, {-kInf, -kInf, 0, -kInf}, 0, name);
  });
}

TEST(Logprobs, OfNoTokenAreMinusInfinity) {
  for_each_setup("logprobs", [&](Backend& backend, const std::string& name) {
    Owned logits({2, 5});
    logits.fill([](int64_t row, int64_t token) { return row == 0 || token > 2 ? -kInf : 1; });
    const Owned chosen = whole({-1, -1});
    Owned logprob({2}), rank({2}, DType::i32);
    backend.run(op::Logprobs{.logits = logits.tensor,
                             .chosen = chosen.tensor,
                             .logprob = logprob.tensor,
                             .rank = rank.tensor});
    test::expect_close(logprob, {-kInf, -kInf}, 0, name);
    test::expect_close(rank, {1, 4}, 0, name);
  });
}

// Results of a row are the same bits alone and in a batch, with any number of threads.
TEST(Logprobs, DependOnTheRowAlone) {
  const int64_t rows = 7, vocabulary = 5000;
  const Owned logits = logits_of(rows, vocabulary, 4);
  std::map<std::string, std::vector<double>> first;  // by instruction set, or the GPU
  for_each_setup("logprobs", [&](Backend& backend, const std::string& name) {
    const auto run = [&](int64_t begin, int64_t count) {
      Owned logprob({count}), rank({count}, DType::i32);
      const Owned chosen = whole(std::vector<int64_t>(static_cast<size_t>(count), 17));
      backend.run(op::Logprobs{.logits = logits.tensor.slice(begin, count),
                               .chosen = chosen.tensor,
                               .logprob = logprob.tensor,
                               .rank = rank.tensor});
      return logprob.values();
    };
    const std::vector<double> together = run(0, rows);
    std::vector<double>& expected = first[name.substr(0, name.find(','))];
    if (expected.empty()) expected = together;
    EXPECT_EQ(together, expected) << name;
    for (int64_t b = 0; b < rows; ++b) {
      EXPECT_EQ(run(b, 1).front(), expected[static_cast<size_t>(b)]) << name;
    }
  });
}

}  // namespace
}  // namespace spate
