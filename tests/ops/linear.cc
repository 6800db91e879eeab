// Matrix products of every format and instruction set: against a plain double loop over the rounded
// rows, against one over the rows themselves for the bound on what rounding changes, and against
// themselves for the promise that a row's bits do not depend on the batch.
#include "tests/reference/linear.h"

#include <gtest/gtest.h>

#include <map>

#include "tests/ops/support.h"
#include "tests/ops/weights.h"

namespace spate {
namespace {

using test::expect_close;
using test::expect_same_bits;
using test::for_each_setup;
using test::Owned;
using test::RandomWeight;

constexpr int64_t kRows[] = {1, 2, 3, 5, 8, 16, 17, 64, 130};
constexpr int64_t kMostRows = 130;

struct Case {
  const Format* format;
  int64_t out, in;
  bool bias;
};

// Widths around a tile of 16 outputs, inputs of one and of several blocks; plain floats also with
// inputs that are no multiple of anything.
std::vector<Case> cases() {
  std::vector<Case> all;
  for (const Format* format : all_formats()) {
    const int64_t block = format->block == 1 ? 8 : format->block;
    all.push_back({format, 1, block, true});
    all.push_back({format, 7, 3 * block, false});
    all.push_back({format, 73, block == 256 ? 512 : 5 * block, true});
    if (format->block == 1) {
      all.push_back({format, 17, 1, false});
      all.push_back({format, 33, 43, true});
    }
  }
  return all;
}

std::string text_of(const Case& c) {
  return cat(c.format->name, " [", c.out, ", ", c.in, "]", c.bias ? " with bias" : "");
}

// A case with its inputs and expected values for kMostRows rows.
struct Prepared {
  explicit Prepared(const Case& c, uint64_t seed)
      : c(c),
        weight(*c.format, c.out, c.in, seed),
        x({kMostRows, c.in}, DType::f32, 3),
        bias({c.out}) {
    test::Random random(seed + 1);
    x.fill([&](int64_t, int64_t) { return random.normal(); });
    bias.fill([&](int64_t, int64_t) { return random.normal(); });
    const std::vector<double> added = c.bias ? bias.values() : std::vector<double>{};
    exact = reference::linear(x.values(), weight.host, added);
    const int64_t part = reference::rounded_part(*c.format);
    expected = part == 0
                   ? exact
                   : reference::linear(reference::rounded(x.values(), part), weight.host, added);
  }
  op::Linear op(const Weight& placed, int64_t begin, const Owned& out) const {
    return {.x = x.tensor.slice(begin, out.rows()),
            .weight = &placed,
            .bias = c.bias ? bias.tensor : Tensor{},
            .out = out.tensor};
  }
  // Of the first rows.
  std::vector<double> values(int64_t rows) const {
    return {expected.value.begin(), expected.value.begin() + rows * c.out};
  }
  std::vector<double> tolerances(int64_t rows) const {
    std::vector<double> out;
    // Codes are summed without their shift, which is taken off after: a few more bits are lost.
    const double factor = test::kF32Epsilon * (4 * std::sqrt(static_cast<double>(c.in)) + 4) *
                          (c.format->block == 1 ? 1 : 4);
    for (int64_t i = 0; i < rows * c.out; ++i) {
      out.push_back(factor * expected.magnitude[static_cast<size_t>(i)]);
    }
    return out;
  }

  Case c;
  RandomWeight weight;
  Owned x, bias;
  reference::Products expected, exact;  // of rounded rows; of the rows themselves
};

std::vector<Prepared> prepare(const std::vector<Case>& all) {
  std::vector<Prepared> out;
  for (const Case& c : all) out.emplace_back(c, 100 + out.size());
  return out;
}

TEST(Linear, AgreesWithTheReference) {
  const std::vector<Prepared> all = prepare(cases());
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    for (const Prepared& prepared : all) {
      const Weight weight = backend.place(prepared.weight.host);
      EXPECT_EQ(weight.storage.bytes(),
                backend.placed_bytes(*prepared.c.format, prepared.c.out, prepared.c.in));
      for (const int64_t rows : kRows) {
        Owned out({rows, prepared.c.out}, DType::f32, 5);
        backend.run(prepared.op(weight, 0, out));
        expect_close(out, prepared.values(rows), prepared.tolerances(rows),
                     cat(text_of(prepared.c), ", ", rows, " rows, ", setup));
        if (::testing::Test::HasFailure()) return;
      }
    }
  });
}

// Rounding moves an input by at most half a step, 1/254 of the largest of its part, so a product by
// no more than the sum of these times its weights. Errors mostly cancel: typical ones are far less.
TEST(Linear, RoundingIsBounded) {
  constexpr int64_t kTested = 16;
  for (const Format* format : all_formats()) {
    const int64_t part = reference::rounded_part(*format);
    if (part == 0) continue;
    const Prepared prepared(Case{format, 64, 1024, false}, 40);
    std::vector<double> largest = prepared.x.values();
    largest.resize(static_cast<size_t>(kTested * prepared.c.in));
    for (size_t begin = 0; begin < largest.size(); begin += static_cast<size_t>(part)) {
      const auto first = largest.begin() + static_cast<ptrdiff_t>(begin);
      const auto [low, high] = std::minmax_element(first, first + part);
      std::fill_n(first, part, std::max(-*low, *high));
    }
    const reference::Products bound = reference::linear(largest, prepared.weight.host, {});
    for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
      const Weight weight = backend.place(prepared.weight.host);
      Owned out({kTested, prepared.c.out});
      backend.run(prepared.op(weight, 0, out));
      double error = 0, size = 0;
      const std::vector<double> found = out.values();
      for (size_t i = 0; i < found.size(); ++i) {
        const double off = found[i] - prepared.exact.value[i];
        ASSERT_LE(std::abs(off), bound.magnitude[i] / 254) << format->name << ", " << setup;
        error += off * off;
        size += prepared.exact.value[i] * prepared.exact.value[i];
      }
      EXPECT_LT(std::sqrt(error / size), 0.01) << format->name << ", " << setup;
    });
  }
}

// All kernels and thread counts of an instruction set must give these bits.
TEST(Linear, RowsHaveTheSameBitsInAnyBatch) {
  std::vector<Case> all;
  for (const Format* format : all_formats()) {
    all.push_back({format, 73, format->block == 256 ? 512 : 160, true});
  }
  const std::vector<Prepared> prepared_cases = prepare(all);
  std::map<std::string, Owned> first;  // by instruction set and case
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    const std::string isa = setup.substr(0, setup.find(','));
    for (const Prepared& prepared : prepared_cases) {
      const Weight weight = backend.place(prepared.weight.host);
      Owned whole({kMostRows, prepared.c.out});
      backend.run(prepared.op(weight, 0, whole));
      const std::string what = cat(text_of(prepared.c), ", ", setup);
      const auto [found, added] = first.emplace(cat(isa, text_of(prepared.c)), whole);
      if (!added) expect_same_bits(whole, found->second, what);
      int64_t begin = 0;
      for (const int64_t rows : {1, 2, 3, 4, 1, 5, 6, 7, 12, 13, 16, 20, 25, 15}) {
        Owned part({rows, prepared.c.out}), expected({rows, prepared.c.out});
        backend.run(prepared.op(weight, begin, part));
        expected.fill([&](int64_t row, int64_t column) { return whole.at(begin + row, column); });
        expect_same_bits(part, expected, cat(what, ", rows from ", begin));
        begin += rows;
      }
      ASSERT_EQ(begin, kMostRows);
      if (::testing::Test::HasFailure()) return;
    }
  });
}

// More rows than one part of the panels, and more tiles than tasks.
TEST(Linear, TakesManyRowsAndOutputs) {
  const Prepared few(Case{&kQ4_1, 1000, 64, false}, 7);
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    const Weight weight = backend.place(few.weight.host);
    Owned out({kMostRows, few.c.out});
    backend.run(few.op(weight, 0, out));
    expect_close(out, few.values(kMostRows), few.tolerances(kMostRows), setup);
  });
}

TEST(Linear, NoRowsIsFine) {
  const Prepared prepared(Case{&kQ8_0, 20, 32, true}, 3);
  for_each_setup("linear", [&](Backend& backend, const std::string&) {
    const Weight weight = backend.place(prepared.weight.host);
    Owned out({0, 20});
    backend.run(prepared.op(weight, 0, out));
  });
}

// Parts of very small numbers, and of zeros, count as nothing.
TEST(Linear, VerySmallNumbersAreZeros) {
  Prepared prepared(Case{&kQ8_0, 40, 64, false}, 5);
  for (int64_t i = 0; i < 32; ++i) {
    prepared.x.set(0, i, i % 3 == 0 ? 1e-40 : -3e-39);
    prepared.x.set(0, 32 + i, 0);
  }
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    const Weight weight = backend.place(prepared.weight.host);
    Owned out({1, 40});
    backend.run(prepared.op(weight, 0, out));
    for (int64_t o = 0; o < 40; ++o) EXPECT_LT(std::abs(out.at(0, o)), 1e-30) << setup;
  });
}

// Infinities and NaNs of a row stay in that row.
TEST(Linear, OtherRowsDoNotSeeANan) {
  Prepared prepared(Case{&kQ4_0, 40, 64, false}, 4);
  prepared.x.set(1, 7, std::numeric_limits<double>::quiet_NaN());
  for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
    const Weight weight = backend.place(prepared.weight.host);
    Owned out({5, 40});
    backend.run(prepared.op(weight, 0, out));
    for (int64_t o = 0; o < 40; ++o) {
      for (int64_t t = 0; t < 5; ++t) {
        ASSERT_EQ(std::isnan(out.at(t, o)), t == 1) << setup << " [" << t << ", " << o << "]";
      }
    }
  });
}

// The fused op gives the bits of its parts, whether they share panels or not.
TEST(LinearQkv, IsThreeProducts) {
  for (const Format* v_format : {&kQ4_1, &kQ8_0, &kQ6K, &kF16}) {
    const Prepared q(Case{&kQ4_1, 70, 256, true}, 21), k(Case{&kQ4_1, 33, 256, false}, 22),
        v(Case{v_format, 40, 256, true}, 23);
    for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
      const Weight weights[] = {backend.place(q.weight.host), backend.place(k.weight.host),
                                backend.place(v.weight.host)};
      for (const int64_t rows : {1, 3, 40}) {
        const Owned apart[] = {Owned({rows, 70}), Owned({rows, 33}), Owned({rows, 40})};
        const Owned together[] = {Owned({rows, 70}), Owned({rows, 33}), Owned({rows, 40})};
        const Tensor x = q.x.tensor.slice(0, rows);
        const Tensor biases[] = {q.bias.tensor, Tensor{}, v.bias.tensor};
        for (size_t i = 0; i < 3; ++i) {
          backend.run(
              op::Linear{.x = x, .weight = &weights[i], .bias = biases[i], .out = apart[i].tensor});
        }
        backend.run(op::LinearQkv{.x = x,
                                  .q = {&weights[0], biases[0], together[0].tensor},
                                  .k = {&weights[1], biases[1], together[1].tensor},
                                  .v = {&weights[2], biases[2], together[2].tensor}});
        for (size_t i = 0; i < 3; ++i) {
          expect_same_bits(together[i], apart[i], cat(v_format->name, ", ", setup, ", part ", i));
        }
      }
    });
  }
}

TEST(LinearGated, AgreesWithItsMeaningAndDoesNotDependOnTheBatch) {
  const Prepared gate(Case{&kQ4_1, 72, 96, false}, 11);
  const RandomWeight up_weight(kQ8_0, 72, 96, 13);
  const reference::Products up =
      reference::linear(reference::rounded(gate.x.values(), 32), up_weight.host, {});
  for (const op::Activation activation : {op::Activation::silu, op::Activation::gelu_tanh}) {
    std::vector<double> expected, tolerance;
    for (size_t i = 0; i < up.value.size(); ++i) {
      const double g = gate.expected.value[i];
      const double active =
          activation == op::Activation::silu
              ? g / (1 + std::exp(-g))
              : 0.5 * g * (1 + std::tanh(std::sqrt(2 / M_PI) * (g + 0.044715 * g * g * g)));
      expected.push_back(active * up.value[i]);
      const double relative = 64 * test::kF32Epsilon;
      tolerance.push_back(relative * (gate.expected.magnitude[i] + 1) * (up.magnitude[i] + 1));
    }
    for_each_setup("linear", [&](Backend& backend, const std::string& setup) {
      const Weight gate_placed = backend.place(gate.weight.host);
      const Weight up_placed = backend.place(up_weight.host);
      const auto run = [&](int64_t begin, const Owned& out) {
        Owned scratch({out.rows(), 72});
        backend.run(op::LinearGated{.x = gate.x.tensor.slice(begin, out.rows()),
                                    .gate = &gate_placed,
                                    .up = &up_placed,
                                    .scratch = scratch.tensor,
                                    .out = out.tensor,
                                    .activation = activation});
        scratch.expect_guarded(setup);
      };
      Owned whole({kMostRows, 72});
      run(0, whole);
      expect_close(whole, expected, tolerance, setup);
      for (const int64_t begin : {0, 3, 129}) {
        Owned alone({1, 72}), same({1, 72});
        run(begin, alone);
        same.fill([&](int64_t, int64_t column) { return whole.at(begin, column); });
        expect_same_bits(alone, same, cat(setup, ", row ", begin));
      }
    });
  }
}

}  // namespace
}  // namespace spate
