// Mixtures of experts: the choice of experts, the sorting of pairs, products of every format with
// the weights of each row's expert, and the whole layer, against plain double loops and against
// themselves for the promise that a token's bits do not depend on the batch.
#include "tests/reference/moe.h"

#include <gtest/gtest.h>

#include <cstring>
#include <iostream>
#include <set>

#include "tests/ops/products.h"
#include "tests/ops/support.h"
#include "tests/reference/basic.h"
#include "tests/reference/e4m3.h"

namespace spate {
namespace {

using op::Routing;
using test::Case;
using test::expect_close;
using test::expect_same_bits;
using test::for_each_setup;
using test::Owned;
using test::Preparer;
using test::Random;
using test::RandomWeight;

// ---- Route.

struct RouteCase {
  int64_t tokens, experts, chosen;
  Routing routing;
  bool bias = false;
};

void check_route(const RouteCase& c, const Owned& logits, const Owned& bias) {
  std::vector<double> chosen, weights;
  for (int64_t t = 0; t < c.tokens; ++t) {
    std::vector<double> row;
    for (int64_t e = 0; e < c.experts; ++e) row.push_back(logits.at(t, e));
    const auto want =
        reference::route(row, c.bias ? bias.values() : std::vector<double>(), c.chosen, c.routing);
    chosen.insert(chosen.end(), want.experts.begin(), want.experts.end());
    weights.insert(weights.end(), want.weights.begin(), want.weights.end());
  }
  std::vector<double> tolerance;
  for (const double weight : weights) tolerance.push_back(1e-5 * std::abs(weight) + 1e-12);
  for_each_setup("route", [&](Backend& backend, const std::string& name) {
    Owned found({c.tokens, c.chosen}, DType::i32, 2), found_weights({c.tokens, c.chosen});
    backend.run(op::Route{.logits = logits.tensor,
                          .bias = c.bias ? bias.tensor : Tensor{},
                          .chosen = found.tensor,
                          .weights = found_weights.tensor,
                          .routing = c.routing});
    const std::string what = cat(c.chosen, " of ", c.experts, " experts, ", c.routing.top_groups,
                                 " of ", c.routing.groups, " groups, ", name);
    expect_close(found, chosen, 0, what);
    expect_close(found_weights, weights, tolerance, what);
  });
}

TEST(Route, AgreesWithTheReference) {
  const auto sigmoid = Routing::Score::sigmoid;
  const auto two_best = Routing::GroupScore::two_best;
  const RouteCase cases[] = {
      {1, 1, 1, {}},
      {5, 8, 2, {.normalize = true}},
      {70, 60, 4, {.scale = 2.5F}},
      {33, 128, 8, {.normalize = true}},
      {3, 7, 7, {}},
      {40, 64, 6, {.scale = 16, .groups = 8, .top_groups = 3}},
      {40,
       256,
       8,
       {.score = sigmoid,
        .normalize = true,
        .scale = 2.5F,
        .groups = 8,
        .top_groups = 4,
        .group_score = two_best},
       true},
      {9, 16, 4, {.score = sigmoid, .groups = 16, .top_groups = 4, .group_score = two_best}, true},
      {9, 33, 3, {.score = sigmoid}, true},
      {2, 512, 40, {.normalize = true, .groups = 64, .top_groups = 9}},
  };
  Random random(1);
  for (const RouteCase& c : cases) {
    const Owned logits = random.normal_tensor({c.tokens, c.experts}, DType::f32, 3);
    const Owned bias = random.normal_tensor({c.experts});
    check_route(c, logits, bias);
  }
}

TEST(Route, TiesGoToTheSmallerIndex) {
  Owned logits({3, 8});
  logits.fill([](int64_t t, int64_t e) { return t == 0 ? 1 : t == 1 ? e % 2 : -(e % 3); });
  const Owned bias = Random(1).normal_tensor({8});
  check_route({3, 8, 5, {.normalize = true}}, logits, bias);
  check_route({3, 8, 3, {.groups = 4, .top_groups = 2}}, logits, bias);
  check_route(
      {3, 8, 4, {.groups = 4, .top_groups = 2, .group_score = Routing::GroupScore::two_best}},
      logits, bias);
}

// The bias makes an expert win whose score is small; its weight is the score.
TEST(Route, BiasIsForTheChoiceAlone) {
  Owned logits({1, 4}), bias({4});
  logits.fill([](int64_t, int64_t e) { return static_cast<double>(-e); });
  bias.fill([](int64_t e, int64_t) { return e == 3 ? 5 : e == 0 ? -5 : 0; });
  for_each_setup("route", [&](Backend& backend, const std::string& name) {
    Owned chosen({1, 2}, DType::i32), weights({1, 2});
    backend.run(op::Route{.logits = logits.tensor,
                          .bias = bias.tensor,
                          .chosen = chosen.tensor,
                          .weights = weights.tensor,
                          .routing = {.score = Routing::Score::sigmoid}});
    expect_close(chosen, {3, 1}, 0, name);
    expect_close(weights, {reference::sigmoid(-3), reference::sigmoid(-1)}, 1e-6, name);
  });
}

// Hidden states that went wrong must not make indices that are wrong.
TEST(Route, ChoosesDifferentExpertsWhateverTheLogits) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double infinity = std::numeric_limits<double>::infinity();
  Owned logits({4, 6});
  logits.fill([&](int64_t t, int64_t e) {
    return t == 0 ? nan : t == 1 ? infinity : t == 2 ? -infinity : e == 2 ? nan : 0;
  });
  for (const Routing& routing : {Routing{}, Routing{.score = Routing::Score::sigmoid},
                                 Routing{.normalize = true,
                                 .groups = 3,
                                 .top_groups = 2,
                                 .group_score = Routing::GroupScore::two_best}}) {
    for_each_setup("route", [&](Backend& backend, const std::string& name) {
      Owned chosen({4, 4}, DType::i32), weights({4, 4});
      backend.run(op::Route{.logits = logits.tensor,
                            .bias = {},
                            .chosen = chosen.tensor,
                            .weights = weights.tensor,
                            .routing = routing});
      for (int64_t t = 0; t < 4; ++t) {
        std::set<double> experts;
        for (int64_t k = 0; k < 4; ++k) experts.insert(chosen.at(t, k));
        EXPECT_EQ(experts.size(), 4U) << t << ", " << name;
        EXPECT_GE(*experts.begin(), 0) << t << ", " << name;
        EXPECT_LT(*experts.rbegin(), 6) << t << ", " << name;
      }
    });
  }
}

// ---- Pairs.

// T tokens that choose K different experts of `experts`, but never number `never`.
Owned choose(int64_t tokens, int64_t each, int64_t experts, int64_t never, Random& random) {
  Owned chosen({tokens, each}, DType::i32);
  for (int64_t t = 0; t < tokens; ++t) {
    std::vector<int64_t> left;
    for (int64_t e = 0; e < experts; ++e) {
      if (e != never) left.push_back(e);
    }
    for (int64_t k = 0; k < each; ++k) {
      const int64_t index = random.whole(0, static_cast<int64_t>(left.size()) - 1);
      chosen.set(t, k, static_cast<double>(left[static_cast<size_t>(index)]));
      left.erase(left.begin() + index);
    }
  }
  return chosen;
}

// A choice [T, K] and how its pairs are sorted.
struct Choice {
  int64_t tokens, each, experts;
  Owned chosen, begin, places, of_place;  // as in op::GroupPairs; of_place: its tokens

  Choice(int64_t tokens, int64_t each, int64_t experts, int64_t never, Random& random)
      : Choice(experts, choose(tokens, each, experts, never, random)) {}
  Choice(int64_t experts, const Owned& choice)
      : tokens(choice.rows()),
        each(choice.columns()),
        experts(experts),
        chosen(choice),
        begin({experts + 1}, DType::i32),
        places({tokens, each}, DType::i32),
        of_place({tokens * each}, DType::i32) {
    int64_t place = 0;
    for (int64_t e = 0; e < experts; ++e) {
      begin.set(e, 0, static_cast<double>(place));
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t k = 0; k < each; ++k) {
          if (expert(t, k) != e) continue;
          of_place.set(place, 0, static_cast<double>(t));
          places.set(t, k, static_cast<double>(place++));
        }
      }
    }
    begin.set(experts, 0, static_cast<double>(place));
  }

  int64_t expert(int64_t t, int64_t k) const { return static_cast<int64_t>(chosen.at(t, k)); }
  int64_t place(int64_t t, int64_t k) const { return static_cast<int64_t>(places.at(t, k)); }
  int64_t pairs() const { return tokens * each; }
};

TEST(GroupPairs, SortsByExpertAndKeepsTheOrderOfTokens) {
  Random random(2);
  const int64_t sizes[][3] = {{1, 1, 1}, {1, 8, 128}, {2, 2, 3}, {130, 4, 9}, {700, 6, 64}};
  for (const auto& [tokens, each, experts] : sizes) {
    const Choice choice(tokens, each, experts, experts > each ? experts / 2 : -1, random);
    for_each_setup("group_pairs", [&](Backend& backend, const std::string& name) {
      const Owned begin({experts + 1}, DType::i32), places({tokens, each}, DType::i32),
          of_place({tokens * each}, DType::i32);
      backend.run(op::GroupPairs{.chosen = choice.chosen.tensor,
                                 .begin = begin.tensor,
                                 .tokens = of_place.tensor,
                                 .places = places.tensor});
      expect_close(begin, choice.begin.values(), 0, name);
      expect_close(of_place, choice.of_place.values(), 0, name);
      expect_close(places, choice.places.values(), 0, name);
    });
  }
}

TEST(ExpertSum, AddsThePairsOfEachToken) {
  Random random(3);
  const int64_t sizes[][3] = {{1, 1, 16}, {3, 2, 19}, {130, 6, 576}};  // tokens, each, width
  for (const DType type : test::activation_types()) {
    for (const auto& [tokens, each, width] : sizes) {
      const Choice choice(tokens, each, 8, 3, random);
      const Owned pairs = random.normal_tensor({tokens * each, width}, type, 5);
      const Owned weights = random.normal_tensor({tokens, each});
      std::vector<double> expected, tolerance;
      for (int64_t t = 0; t < tokens; ++t) {
        for (int64_t c = 0; c < width; ++c) {
          double sum = 0, magnitude = 0;
          for (int64_t k = 0; k < each; ++k) {
            const double part = weights.at(t, k) * pairs.at(choice.place(t, k), c);
            sum += part;
            magnitude += std::abs(part);
          }
          expected.push_back(sum);
          tolerance.push_back(8 * test::kF32Epsilon * magnitude +
                              test::epsilon_of(type) * std::abs(sum));
        }
      }
      for_each_setup("expert_sum", type, [&](Backend& backend, const std::string& name) {
        Owned out({tokens, width}, type, 3);
        backend.run(op::ExpertSum{.pairs = pairs.tensor,
                                  .places = choice.places.tensor,
                                  .weights = weights.tensor,
                                  .out = out.tensor});
        expect_close(out, expected, tolerance, name);
      });
    }
  }
}

TEST(GateRows, MultipliesWithTheSigmoidOfTheGate) {
  Random random(4);
  for (const DType type : test::activation_types()) {
    const Owned x = random.normal_tensor({37, 45}, type, 3), gate = random.normal_tensor({37, 1});
    std::vector<double> expected, tolerance;
    for (int64_t t = 0; t < 37; ++t) {
      for (int64_t c = 0; c < 45; ++c) {
        expected.push_back(x.at(t, c) * reference::sigmoid(gate.at(t, 0)));
        tolerance.push_back((8 * test::kF32Epsilon + test::epsilon_of(type)) *
                            std::abs(expected.back()));
      }
    }
    for_each_setup("gate_rows", type, [&](Backend& backend, const std::string& name) {
      const Owned out(x);
      backend.run(op::GateRows{.x = out.tensor, .gate = gate.tensor});
      expect_close(out, expected, tolerance, name);
    });
  }
}

// ---- Products.

// An expert's weights as the checkpoint has them.
HostWeight part_of(const HostWeight& whole, int64_t index, int64_t outputs) {
  HostWeight part = whole;
  part.out = outputs;
  part.bytes += index * outputs * whole.format->row_bytes(whole.in);
  return part;
}

Weight place_experts(Backend& backend, const HostWeight& whole, int64_t experts) {
  std::vector<HostWeight> parts;
  for (int64_t e = 0; e < experts; ++e) parts.push_back(part_of(whole, e, whole.out / experts));
  return backend.place_joined(parts);
}

constexpr int64_t kExperts = 5, kNever = 2;

std::vector<Case> expert_cases() {
  std::vector<Case> all;
  for (const Format* format : all_formats()) {
    const int64_t block = format->block == 1 ? 8 : format->block;
    all.push_back({format, kExperts * 16, block, false});
    all.push_back({format, kExperts * 80, block == 256 ? 512 : 5 * block, true});
    if (format->block == 1) all.push_back({format, kExperts * 32, 43, false});
  }
  return all;
}

// What all experts would give for all rows of `whole` [rows, E * O], at the places of a choice.
std::vector<double> at_places(const std::vector<double>& whole, const Choice& choice,
                              int64_t outputs) {
  std::vector<double> out(static_cast<size_t>(choice.pairs() * outputs));
  for (int64_t t = 0; t < choice.tokens; ++t) {
    for (int64_t k = 0; k < choice.each; ++k) {
      const int64_t from = (t * choice.experts + choice.expert(t, k)) * outputs;
      std::copy_n(whole.begin() + from, outputs, out.begin() + choice.place(t, k) * outputs);
    }
  }
  return out;
}

// The rows of x at each place, in rows with such a gap.
Owned sorted_rows(const Tensor& x, const Choice& choice, int64_t gap) {
  Owned out({choice.pairs(), x.row_size()}, x.dtype, gap);
  const size_t bytes = static_cast<size_t>(x.row_size()) * size_of(x.dtype);
  for (int64_t place = 0; place < choice.pairs(); ++place) {
    const auto token = static_cast<int64_t>(choice.of_place.at(place, 0));
    std::memcpy(out.tensor.slice(place, 1).data, x.slice(token, 1).data, bytes);
  }
  return out;
}

// False where a forced kernel does not accept the product.
bool run_if_accepted(Backend& backend, const op::ExpertLinear& op) {
  try {
    backend.run(op);
    return true;
  } catch (const Error& error) {
    if (error.code() != ExitCode::usage) throw;
    return false;
  }
}

bool is_gpu(const Backend& backend) { return backend.device().kind == Device::Kind::cuda; }

TEST(ExpertLinear, AgreesWithTheReference) {
  constexpr int64_t kMostTokens = 150;
  Preparer preparer(expert_cases(), 300, kMostTokens);
  for_each_setup("expert_linear", [&](Backend& backend, const std::string& setup) {
    Random random(5);
    int accepted = 0, all = 0;
    for (const test::Prepared& prepared : preparer.of(backend)) {
      const DType type = backend.activation_type();
      const int64_t outputs = prepared.c.out / kExperts;
      const Weight weight = place_experts(backend, prepared.weight.host, kExperts);
      const Weight whole = backend.place(prepared.weight.host);
      for (const int64_t tokens : {int64_t{1}, int64_t{2}, int64_t{19}, kMostTokens}) {
        const Choice choice(tokens, tokens == 2 ? 1 : 3, kExperts, kNever, random);
        // Rows of whole vectors of 16 bytes, or not. The CPU has no use for them.
        for (const bool aligned : {false, true}) {
          if (aligned && !is_gpu(backend)) continue;
          const std::string what = cat(text_of(prepared.c), ", ", tokens, " tokens",
                                       aligned ? " aligned, " : ", ", setup);
          const Tensor x = (aligned ? prepared.aligned_x : prepared.x).tensor.slice(0, tokens);
          const int64_t gap = aligned ? 8 : 5;
          Owned out({choice.pairs(), outputs}, type, gap),
              again({choice.pairs(), outputs}, type, gap),
              of_sorted({choice.pairs(), outputs}, type, gap);
          const Owned sorted = sorted_rows(x, choice, x.row_stride - x.row_size());
          op::ExpertLinear op{.x = x,
                              .tokens = choice.of_place.tensor,
                              .begin = choice.begin.tensor,
                              .weight = &weight,
                              .bias = prepared.c.bias ? prepared.bias.tensor : Tensor{},
                              .out = out.tensor};
          ++all;
          if (!run_if_accepted(backend, op)) continue;
          ++accepted;
          expect_close(out, at_places(prepared.values(tokens), choice, outputs),
                       at_places(prepared.tolerances(tokens, type), choice, outputs), what);
          op.weight = &whole;
          op.out = again.tensor;
          backend.run(op);
          expect_same_bits(again, out, cat(what, ", placed as one"));
          op.x = sorted.tensor;
          op.tokens = {};
          op.out = of_sorted.tensor;
          backend.run(op);
          expect_same_bits(of_sorted, out, cat(what, ", sorted rows"));
          if (testing::Test::HasFailure()) return;
        }
      }
    }
    if (is_gpu(backend)) std::cout << setup << ": " << accepted << " of " << all << " products\n";
  });
}

// Experts with none, one and many rows; outputs and inputs that end inside of tiles. The result of
// a row is the same, bit for bit, when it is alone.
void check_sizes(const std::vector<int64_t>& sizes, int64_t outputs, int64_t inputs) {
  const auto experts = static_cast<int64_t>(sizes.size());
  Random random(12);
  std::vector<double> order;  // the expert of each token
  for (int64_t e = 0; e < experts; ++e) order.insert(order.end(), sizes[static_cast<size_t>(e)], e);
  for (size_t i = order.size(); i > 1; --i) {
    std::swap(order[i - 1],
              order[static_cast<size_t>(random.whole(0, static_cast<int64_t>(i) - 1))]);
  }
  const auto tokens = static_cast<int64_t>(order.size());
  Owned chosen({tokens, 1}, DType::i32);
  chosen.fill([&](int64_t t, int64_t) { return order[static_cast<size_t>(t)]; });
  const Choice choice(experts, chosen);
  const RandomWeight weight(kBf16, experts * outputs, inputs, 13);
  for (const DType type : test::activation_types()) {
    const Owned x = random.normal_tensor({tokens, inputs}, type, 8);
    std::vector<double> expected, tolerance;
    for (int64_t e = 0; e < experts; ++e) {
      const auto begin = static_cast<int64_t>(choice.begin.at(e, 0)),
                 end = static_cast<int64_t>(choice.begin.at(e + 1, 0));
      if (begin == end) continue;
      std::vector<double> rows;
      for (int64_t place = begin; place < end; ++place) {
        const auto token = static_cast<int64_t>(choice.of_place.at(place, 0));
        for (int64_t i = 0; i < inputs; ++i) rows.push_back(x.at(token, i));
      }
      const reference::Products products =
          reference::linear(rows, part_of(weight.host, e, outputs), {});
      for (size_t i = 0; i < products.value.size(); ++i) {
        expected.push_back(products.value[i]);
        tolerance.push_back(300 * test::kF32Epsilon * products.magnitude[i] +
                            test::epsilon_of(type) * std::abs(products.value[i]));
      }
    }
    test::for_each_gpu_setup("expert_linear", [&](Backend& backend, const std::string& setup) {
      if (backend.activation_type() != type) return;
      const Weight placed = place_experts(backend, weight.host, experts);
      const std::string what = cat(experts, " x [", outputs, ", ", inputs, "], ", setup);
      const Owned out({tokens, outputs}, type, 8);
      op::ExpertLinear op{.x = x.tensor,
                          .tokens = choice.of_place.tensor,
                          .begin = choice.begin.tensor,
                          .weight = &placed,
                          .out = out.tensor};
      backend.run(op);
      expect_close(out, expected, tolerance, what);
      for (const int64_t token : {int64_t{0}, tokens / 2, tokens - 1}) {
        Owned one({1, 1}, DType::i32);
        one.set(0, 0, chosen.at(token, 0));
        const Choice alone(experts, one);
        const Owned found({1, outputs}, type);
        Owned same({1, outputs}, type);
        same.fill([&](int64_t, int64_t o) { return out.at(choice.place(token, 0), o); });
        op.x = x.tensor.slice(token, 1);
        op.tokens = alone.of_place.tensor;
        op.begin = alone.begin.tensor;
        op.out = found.tensor;
        backend.run(op);
        expect_same_bits(found, same, cat(what, ", token ", token, " alone"));
      }
    });
  }
}

// In the mean few rows an expert, and many.
TEST(ExpertLinear, TakesExpertsOfAnySize) {
  const std::vector<int64_t> few = {0,  1,   2,   15,  16,  17,  0, 31, 33,  48,  63,  65,  80,
                                    97, 112, 127, 129, 144, 145, 0, 0,  160, 161, 1,   0,   0,
                                    0,  0,   0,   0,   0,   0,   0, 7,  320, 321, 335, 500, 0};
  std::vector<int64_t> many = few;
  many.back() = 4000;
  for (const std::vector<int64_t>& sizes : {few, many}) {
    check_sizes(sizes, 144, 72);
    check_sizes(sizes, 272, 200);
  }
}

// So many rows that the CPU packs their panels in two parts.
TEST(ExpertLinear, TakesManyRows) {
  constexpr int64_t kTokens = 2100, kOut = 16;
  Preparer preparer({{&kF32, 2 * kOut, 4096, false}}, 60, kTokens);
  for_each_setup("expert_linear", [&](Backend& backend, const std::string& setup) {
    Random random(6);
    const test::Prepared& prepared = preparer.first_of(backend);
    const DType type = backend.activation_type();
    const Weight weight = place_experts(backend, prepared.weight.host, 2);
    const Choice choice(kTokens, 2, 2, -1, random);
    Owned out({choice.pairs(), kOut}, type);
    backend.run(op::ExpertLinear{.x = prepared.x.tensor,
                                 .tokens = choice.of_place.tensor,
                                 .begin = choice.begin.tensor,
                                 .weight = &weight,
                                 .out = out.tensor});
    expect_close(out, at_places(prepared.values(kTokens), choice, kOut),
                 at_places(prepared.tolerances(kTokens, type), choice, kOut), setup);
  });
}

// Experts in e4m3: weights are rounded, hidden states are not.
TEST(ExpertLinear, MultipliesWeightsOfE4m3) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kTokens = 70, kIn = 72, kOut = 48;
  for (const DType type : test::activation_types()) {
    const auto backend = open_cuda_backend({.activation = type, .quantize = Quantize::fp8}, 0);
    backend->set_waiting(true);
    RandomWeight weight(kF32, kExperts * kOut, kIn, 8);
    weight.host.of_layer = true;
    std::vector<double> meant;
    for (const float value : reference::decode(weight.host)) {
      meant.push_back(test::rounded(value, type));
    }
    const reference::RoundedRows rows(meant, kIn);
    Random random(9);
    const Owned x = random.normal_tensor({kTokens, kIn}, type, 3);
    const Choice choice(kTokens, 2, kExperts, kNever, random);
    std::vector<double> all, tolerance;
    for (int64_t t = 0; t < kTokens; ++t) {
      for (int64_t o = 0; o < kExperts * kOut; ++o) {
        double sum = 0, magnitude = 0;
        for (int64_t i = 0; i < kIn; ++i) {
          const double product = x.at(t, i) * rows.codes[static_cast<size_t>(o * kIn + i)] *
                                 rows.scales[static_cast<size_t>(o)];
          sum += product;
          magnitude += std::abs(product);
        }
        all.push_back(sum);
        tolerance.push_back(100 * test::kF32Epsilon * magnitude +
                            test::epsilon_of(type) * std::abs(sum));
      }
    }
    const Weight placed = place_experts(*backend, weight.host, kExperts);
    Owned out({choice.pairs(), kOut}, type);
    backend->run(op::ExpertLinear{.x = x.tensor,
                                  .tokens = choice.of_place.tensor,
                                  .begin = choice.begin.tensor,
                                  .weight = &placed,
                                  .out = out.tensor});
    expect_close(out, at_places(all, choice, kOut), at_places(tolerance, choice, kOut),
                 cat("e4m3, ", name_of(type)));
  }
}

// ---- The whole layer.

struct Layer {
  static constexpr int64_t kWidth = 64, kInner = 32, kEach = 3;
  RandomWeight gate, up, down;
  op::Activation activation;
  bool biased;
  Owned gate_bias, up_bias, down_bias;

  explicit Layer(const Format& format, op::Activation activation = op::Activation::silu,
                 bool biased = false)
      : gate(format, kExperts * kInner, kWidth, 70),
        up(format, kExperts * kInner, kWidth, 71),
        down(format, kExperts * kWidth, kInner, 72),
        activation(activation),
        biased(biased),
        gate_bias({kExperts * kInner}),
        up_bias({kExperts * kInner}),
        down_bias({kExperts * kWidth}) {
    Random random(73);
    for (Owned* bias : {&gate_bias, &up_bias, &down_bias}) {
      bias->fill([&](int64_t, int64_t) { return biased ? random.normal() : 0; });
    }
  }

  // Of tokens [begin, begin + count).
  Owned run(Backend& backend, const Owned& x, const Choice& choice, const Owned& weights,
            int64_t begin, int64_t count) const {
    const DType type = backend.activation_type();
    const int64_t pairs = count * kEach;
    const Weight gates = place_experts(backend, gate.host, kExperts),
                 ups = place_experts(backend, up.host, kExperts),
                 downs = place_experts(backend, down.host, kExperts);
    const Owned bounds({kExperts + 1}, DType::i32), tokens({pairs}, DType::i32),
        places({count, kEach}, DType::i32), inner({pairs, kInner}, type),
        second({pairs, kInner}, type), rows({pairs, kWidth}, type);
    Owned out({count, kWidth}, type, 1);
    backend.run(op::ExpertMlp{
        .x = x.tensor.slice(begin, count),
        .chosen = choice.chosen.tensor.slice(begin, count),
        .weights = weights.tensor.slice(begin, count),
        .gate = &gates,
        .up = &ups,
        .down = &downs,
        .biases = biased ? op::ExpertMlp::Biases{gate_bias.tensor, up_bias.tensor, down_bias.tensor}
                         : op::ExpertMlp::Biases{},
        .scratch = {.begin = bounds.tensor,
                    .tokens = tokens.tensor,
                    .places = places.tensor,
                    .inner = inner.tensor,
                    .up = second.tensor,
                    .pairs = rows.tensor},
        .out = out.tensor,
        .activation = activation});
    return out;
  }
};

// One output of one expert.
double product(const std::vector<float>& weights, int64_t row, const std::vector<double>& x) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    sum += x[i] * static_cast<double>(weights[static_cast<size_t>(row) * x.size() + i]);
  }
  return sum;
}

double bias_of(const Owned& bias, int64_t output) { return bias.tensor.as<float>()[output]; }

void check_layer(const Layer& layer) {
  constexpr int64_t kTokens = 23;
  const auto gate = reference::decode(layer.gate.host), up = reference::decode(layer.up.host),
             down = reference::decode(layer.down.host);
  for (const DType type : test::activation_types()) {
    Random random(10);
    const Owned x = random.normal_tensor({kTokens, Layer::kWidth}, type);
    const Owned weights = random.normal_tensor({kTokens, Layer::kEach});
    const Choice choice(kTokens, Layer::kEach, kExperts, kNever, random);
    std::vector<double> expected;
    for (int64_t t = 0; t < kTokens; ++t) {
      std::vector<double> row, sums(Layer::kWidth, 0);
      for (int64_t c = 0; c < Layer::kWidth; ++c) row.push_back(x.at(t, c));
      for (int64_t k = 0; k < Layer::kEach; ++k) {
        const int64_t expert = choice.expert(t, k);
        std::vector<double> inner;
        for (int64_t f = 0; f < Layer::kInner; ++f) {
          const int64_t output = expert * Layer::kInner + f;
          inner.push_back(reference::gated(
              layer.activation, product(gate, output, row) + bias_of(layer.gate_bias, output),
              product(up, output, row) + bias_of(layer.up_bias, output)));
        }
        for (int64_t c = 0; c < Layer::kWidth; ++c) {
          sums[static_cast<size_t>(c)] +=
              weights.at(t, k) * (product(down, expert * Layer::kWidth + c, inner) +
                                  bias_of(layer.down_bias, expert * Layer::kWidth + c));
        }
      }
      expected.insert(expected.end(), sums.begin(), sums.end());
    }
    // Outputs are of size 10; every step between is rounded to the type.
    const double tolerance = type == DType::f32 ? 2e-4 : 0.6;
    for_each_setup("expert_linear", type, [&](Backend& backend, const std::string& name) {
      expect_close(layer.run(backend, x, choice, weights, 0, kTokens), expected, tolerance, name);
    });
  }
}

TEST(ExpertMlp, AgreesWithTheReference) {
  check_layer(Layer(kF32));
  check_layer(Layer(kF32, op::Activation::clipped_silu, true));
}

TEST(ExpertMlp, ATokensBitsDoNotDependOnTheBatch) {
  constexpr int64_t kTokens = 400;
  for (const Format* format : {&kF32, &kBf16, &kQ8_0, &kQ4_1}) {
    const Layer layer(*format);
    for_each_setup("expert_linear", [&](Backend& backend, const std::string& name) {
      Random random(11);
      const Owned x = random.normal_tensor({kTokens, Layer::kWidth}, backend.activation_type());
      const Owned weights = random.normal_tensor({kTokens, Layer::kEach});
      const Choice choice(kTokens, Layer::kEach, kExperts, kNever, random);
      Owned whole = layer.run(backend, x, choice, weights, 0, kTokens);
      const std::pair<int64_t, int64_t> parts[] = {
          {0, 1}, {kTokens - 1, 1}, {3, 2}, {5, 40}, {7, 290}};
      for (const auto& [begin, count] : parts) {
        const Owned part = layer.run(backend, x, choice, weights, begin, count);
        Owned same({count, Layer::kWidth}, whole.tensor.dtype, 1);
        same.fill([&](int64_t t, int64_t c) { return whole.at(begin + t, c); });
        expect_same_bits(part, same, cat(format->name, ", ", count, " tokens, ", name));
      }
    });
  }
}

}  // namespace
}  // namespace spate
