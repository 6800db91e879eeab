// Ops that move or combine rows, and gated activations.
#include "tests/reference/basic.h"

#include <gtest/gtest.h>

#include "tests/ops/support.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;

// `gap` elements lie between the rows of one tensor, twice and three times as many of the others:
// with 8, vectors of a row are aligned.
struct Size {
  int64_t rows, columns, gap = 1;
};
// One element, one vector and a bit, rows enough to be shared among threads.
const std::vector<Size> kSizes = {{1, 1},     {1, 16}, {2, 19},        {3, 576},
                                  {3, 72, 8}, {7, 31}, {129, 1536, 8}, {130, 1530}};

std::vector<double> rounded(std::vector<double> values, DType type) {
  for (double& value : values) value = test::rounded(value, type);
  return values;
}

void check_gather(DType type, const Size& size, Random& random) {
  Owned x({size.rows, size.columns}, type, size.gap);
  x.fill([&](int64_t, int64_t) {
    return type == DType::i32 ? static_cast<double>(random.whole(INT32_MIN, INT32_MAX))
                              : random.normal();
  });
  std::vector<int64_t> index{size.rows - 1, 0, size.rows / 2, 0};
  for (int64_t i = 0; i < size.rows; ++i) index.push_back(random.whole(0, size.rows - 1));
  const auto count = static_cast<int64_t>(index.size());
  const Owned rows = test::integers({count}, index);
  std::vector<double> expected;
  for (const int64_t row : index) {
    for (int64_t i = 0; i < size.columns; ++i) expected.push_back(x.at(row, i));
  }
  const auto body = [&](Backend& backend, const std::string& name) {
    Owned out({count, size.columns}, type, 2 * size.gap);
    backend.run(op::GatherRows{.x = x.tensor, .rows = rows.tensor, .out = out.tensor});
    test::expect_close(out, expected, 0, name);
  };
  if (type == DType::i32) {
    test::for_each_setup("gather_rows", body);
  } else {
    test::for_each_setup("gather_rows", type, body);
  }
}

// Every other row from the last one on is put, in both aligned and unaligned tensors.
TEST(PutRows, ReplacesTheRowsOfTheIndexAlone) {
  Random random(2);
  for (const Size& size : kSizes) {
    std::vector<int64_t> index;
    for (int64_t row = size.rows - 1; row >= 0; row -= 2) index.push_back(row);
    const auto count = static_cast<int64_t>(index.size());
    const Owned places = test::integers({count}, index);
    const Owned rows = random.normal_tensor({count, size.columns}, DType::f32, size.gap);
    for (const DType type : test::activation_types()) {
      const Owned before = random.normal_tensor({size.rows, size.columns}, type, 2 * size.gap);
      std::vector<double> expected = before.values();
      for (int64_t n = 0; n < count; ++n) {
        for (int64_t i = 0; i < size.columns; ++i) {
          expected[static_cast<size_t>(index[static_cast<size_t>(n)] * size.columns + i)] =
              test::rounded(rows.at(n, i), type);
        }
      }
      test::for_each_setup("put_rows", type, [&](Backend& backend, const std::string& name) {
        Owned x(before);
        backend.run(op::PutRows{.rows = rows.tensor, .index = places.tensor, .x = x.tensor});
        test::expect_close(x, expected, 0, name);
      });
    }
  }
}

TEST(GatherRows, CopiesRows) {
  Random random(1);
  std::vector<DType> types = test::activation_types();
  types.push_back(DType::i32);
  for (const DType type : types) {
    for (const Size& size : kSizes) check_gather(type, size, random);
  }
}

TEST(TakeDrawn, ReplacesTokensThatAreStillDrawn) {
  const Owned drawn = test::integers({3}, {70, -1, 90});
  test::for_each_setup("take_drawn", [&](Backend& backend, const std::string& name) {
    const Owned tokens = test::integers({7}, {5, -1, 0, -3, -2, 8, -1});
    backend.run(op::TakeDrawn{.tokens = tokens.tensor, .drawn = drawn.tensor});
    test::expect_close(tokens, {5, 70, 0, 90, 0, 8, 70}, 0, name);
  });
}

TEST(Add, AddsAlsoInPlace) {
  Random random(2);
  for (const DType type : test::activation_types()) {
    for (const Size& size : kSizes) {
      const Shape shape{size.rows, size.columns};
      const Owned a = random.normal_tensor(shape, type, 3 * size.gap);
      const Owned b = random.normal_tensor(shape, type, size.gap);
      std::vector<double> sums = a.values();
      const std::vector<double> b_values = b.values();
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += b_values[i];
      const std::vector<double> expected = rounded(sums, type);
      test::for_each_setup("add", type, [&](Backend& backend, const std::string& name) {
        Owned out(shape, type, 2 * size.gap);
        backend.run(op::Add{.a = a.tensor, .b = b.tensor, .out = out.tensor});
        test::expect_close(out, expected, 0, name);
        Owned in_place = a;
        backend.run(op::Add{.a = in_place.tensor, .b = b.tensor, .out = in_place.tensor});
        test::expect_close(in_place, expected, 0, name + ", in place");
      });
    }
  }
}

TEST(Scale, MultipliesInPlace) {
  Random random(3);
  for (const DType type : test::activation_types()) {
    for (const Size& size : kSizes) {
      const Owned x = random.normal_tensor({size.rows, size.columns}, type, 3 * size.gap);
      std::vector<double> products = x.values();
      for (double& value : products) value *= 1.75;
      const std::vector<double> expected = rounded(products, type);
      test::for_each_setup("scale", type, [&](Backend& backend, const std::string& name) {
        Owned out = x;
        backend.run(op::Scale{.x = out.tensor, .factor = 1.75F});
        test::expect_close(out, expected, 0, name);
      });
    }
  }
}

constexpr op::Activation kActivations[] = {op::Activation::silu, op::Activation::gelu_tanh,
                                           op::Activation::clipped_silu};

void check_gated(op::Activation activation, DType type, const Size& size, Random& random) {
  const Shape shape{size.rows, size.columns};
  Owned gate(shape, type, 3 * size.gap);
  gate.fill([&](int64_t row, int64_t column) {  // also far out, where exponentials end
    const double spread = (row + column) % 7 == 0 ? 60 : 3;
    return random.normal(spread);
  });
  Owned up(shape, type, size.gap);
  up.fill([&](int64_t, int64_t) { return random.normal(4); });
  std::vector<double> expected, tolerance;
  const std::vector<double> gates = gate.values(), ups = up.values();
  for (size_t i = 0; i < gates.size(); ++i) {
    expected.push_back(reference::gated(activation, gates[i], ups[i]));
    // The exponent is rounded at its own size, which the result multiplies; and the plain form
    // of gelu subtracts numbers near 1, in double precision.
    const double exponent = activation == op::Activation::gelu_tanh
                                ? 2 * gates[i] * (1 + gates[i] * gates[i] / 20)
                                : 1.702 * gates[i];
    tolerance.push_back(test::kF32Epsilon * (8 + 4 * std::abs(exponent)) * std::abs(expected[i]) +
                        0x1p-52 * std::abs(gates[i] * ups[i]));
    if (type != DType::f32) tolerance.back() += test::epsilon_of(type) * std::abs(expected[i]);
  }
  test::for_each_setup("gated", type, [&](Backend& backend, const std::string& name) {
    Owned out(shape, type, 2 * size.gap);
    op::Gated op{.gate = gate.tensor, .up = up.tensor, .out = out.tensor, .activation = activation};
    backend.run(op);
    test::expect_close(out, expected, tolerance, name);
    Owned in_place = gate;
    op.gate = op.out = in_place.tensor;
    backend.run(op);
    test::expect_same_bits(in_place, out, name + ", in place");
  });
}

TEST(Gated, MatchesThePlainActivations) {
  Random random(4);
  for (const op::Activation activation : kActivations) {
    for (const DType type : test::activation_types()) {
      for (const Size& size : kSizes) check_gated(activation, type, size, random);
    }
  }
}

TEST(Gated, NanStaysAndLargeValuesPass) {
  const std::vector<double> gates{NAN, 1e30, -1e30, 100, -100, 0, 3e38, -3e38};
  for (const DType type : test::activation_types()) {
    Owned gate({1, 8}, type), up({1, 8}, type);
    gate.fill([&](int64_t, int64_t column) { return gates[static_cast<size_t>(column)]; });
    up.fill([](int64_t, int64_t) { return 1.0; });
    for (const op::Activation activation : {op::Activation::silu, op::Activation::gelu_tanh}) {
      test::for_each_setup("gated", type, [&](Backend& backend, const std::string& name) {
        Owned out({1, 8}, type);
        backend.run(op::Gated{
            .gate = gate.tensor, .up = up.tensor, .out = out.tensor, .activation = activation});
        EXPECT_TRUE(std::isnan(out.at(0, 0))) << name;
        for (const int64_t i : {1, 3, 5, 6}) EXPECT_EQ(out.at(0, i), gate.at(0, i)) << name;
        for (const int64_t i : {2, 4, 7}) EXPECT_NEAR(out.at(0, i), 0, 3) << name;
      });
    }
  }
}

TEST(Gated, ClippedKeepsNansAndBounds) {
  const double gates[] = {NAN, 1, 3e38, -1e30, 7.5, 1e30}, ups[] = {1, NAN, 3e38, 1, -3e38, -1};
  const double most = 7 / (1 + std::exp(-7 * 1.702));
  const double expected[] = {NAN, NAN, most * 8, 0, most * -6, 0};
  for (const DType type : test::activation_types()) {
    Owned gate({1, 6}, type), up({1, 6}, type);
    gate.fill([&](int64_t, int64_t column) { return gates[column]; });
    up.fill([&](int64_t, int64_t column) { return ups[column]; });
    test::for_each_setup("gated", type, [&](Backend& backend, const std::string& name) {
      Owned out({1, 6}, type);
      backend.run(op::Gated{.gate = gate.tensor,
                            .up = up.tensor,
                            .out = out.tensor,
                            .activation = op::Activation::clipped_silu});
      for (int64_t i = 0; i < 6; ++i) {
        EXPECT_EQ(std::isnan(out.at(0, i)), std::isnan(expected[i])) << name << ", " << i;
        if (i < 2) continue;
        EXPECT_NEAR(out.at(0, i), expected[i], 0.2) << name << ", " << i;
      }
    });
  }
}

// An element's bits do not depend on where in a row or in which batch it stands.
TEST(Gated, BitsDependOnTheElementAlone) {
  Random random(5);
  for (const DType type : test::activation_types()) {
    const Owned gate = random.normal_tensor({64, 1000}, type);
    const Owned up = random.normal_tensor({64, 1000}, type);
    test::for_each_setup("gated", type, [&](Backend& backend, const std::string& name) {
      Owned whole({64, 1000}, type);
      backend.run(op::Gated{.gate = gate.tensor, .up = up.tensor, .out = whole.tensor});
      for (const int64_t columns : {1, 7, 13, 990}) {
        Owned part({64, columns}, type);
        backend.run(op::Gated{.gate = gate.tensor.columns(5, {columns}),
                              .up = up.tensor.columns(5, {columns}),
                              .out = part.tensor});
        Owned expected({64, columns}, type);
        expected.fill([&](int64_t row, int64_t column) { return whole.at(row, 5 + column); });
        test::expect_same_bits(part, expected, name);
      }
    });
  }
}

}  // namespace
}  // namespace spate
