// RMS norm of rows and of heads, and the fused addition before it.
#include "tests/reference/norm.h"

#include <gtest/gtest.h>

#include "tests/ops/support.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;

struct NormCase {
  int64_t rows, heads, width;  // heads 0: rows of [T, C]
};
const std::vector<NormCase> kCases = {{1, 0, 1},   {2, 0, 15},   {3, 0, 16}, {1, 0, 576},
                                      {5, 0, 577}, {70, 0, 960}, {3, 9, 64}, {40, 16, 128},
                                      {2, 3, 20},  {9, 1, 96}};

Shape shape_of(const NormCase& c) {
  return c.heads == 0 ? Shape{c.rows, c.width} : Shape{c.rows, c.heads, c.width};
}

std::vector<double> expected_of(const std::vector<double>& x, const Owned& weight, double eps) {
  const std::span<const float> weights(weight.tensor.as<float>(),
                                       static_cast<size_t>(weight.rows()));
  std::vector<double> out;
  for (size_t i = 0; i < x.size(); i += weights.size()) {
    const std::vector<double> row =
        reference::rms_norm(std::span(x).subspan(i, weights.size()), weights, eps);
    out.insert(out.end(), row.begin(), row.end());
  }
  return out;
}

// The sum of squares in f32 is good to about sqrt(C) roundings; three more follow.
std::vector<double> tolerance_of(const std::vector<double>& expected, int64_t width) {
  std::vector<double> out;
  for (const double value : expected) {
    out.push_back(test::kF32Epsilon * (6 + std::sqrt(static_cast<double>(width))) *
                  std::abs(value));
  }
  return out;
}

TEST(RmsNorm, MatchesThePlainNorm) {
  Random random(1);
  for (const NormCase& c : kCases) {
    for (const double size : {1.0, 1e-3, 1e4}) {  // 1e-3: eps matters
      Owned x(shape_of(c), DType::f32, 3);
      x.fill([&](int64_t, int64_t) { return random.normal(size); });
      const Owned weight = random.normal_tensor({c.width});
      const std::vector<double> expected = expected_of(x.values(), weight, 1e-5F);
      const std::vector<double> tolerance = tolerance_of(expected, c.width);
      test::for_each_setup("rms_norm", [&](Backend& backend, const std::string& name) {
        Owned out(shape_of(c), DType::f32, 2);
        backend.run(
            op::RmsNorm{.x = x.tensor, .weight = weight.tensor, .out = out.tensor, .eps = 1e-5F});
        test::expect_close(out, expected, tolerance, name);
        Owned in_place = x;
        backend.run(op::RmsNorm{
            .x = in_place.tensor, .weight = weight.tensor, .out = in_place.tensor, .eps = 1e-5F});
        test::expect_same_bits(in_place, out, name + ", in place");
      });
    }
  }
}

TEST(RmsNorm, BitsDependOnTheRowAlone) {
  Random random(2);
  const Owned x = random.normal_tensor({100, 576}), weight = random.normal_tensor({576});
  test::for_each_setup("rms_norm", [&](Backend& backend, const std::string& name) {
    Owned all({100, 576});
    backend.run(op::RmsNorm{.x = x.tensor, .weight = weight.tensor, .out = all.tensor});
    for (const int64_t row : {0, 57, 99}) {
      Owned one({1, 576});
      backend.run(
          op::RmsNorm{.x = x.tensor.slice(row, 1), .weight = weight.tensor, .out = one.tensor});
      EXPECT_EQ(std::memcmp(one.tensor.data, all.tensor.row<float>(row), 576 * sizeof(float)), 0)
          << name << ", row " << row;
    }
  });
}

TEST(AddRmsNorm, IsAddThenRmsNorm) {
  Random random(3);
  for (const NormCase& c : kCases) {
    if (c.heads != 0) continue;
    const Owned residual = random.normal_tensor(shape_of(c), DType::f32, 1);
    const Owned x = random.normal_tensor(shape_of(c), DType::f32, 3);
    const Owned weight = random.normal_tensor({c.width});
    std::vector<double> sums;
    const std::vector<double> a = residual.values(), b = x.values();
    for (size_t i = 0; i < a.size(); ++i) sums.push_back(static_cast<float>(a[i] + b[i]));
    const std::vector<double> expected = expected_of(sums, weight, 1e-6F);
    const std::vector<double> tolerance = tolerance_of(expected, c.width);
    test::for_each_setup("add_rms_norm", [&](Backend& backend, const std::string& name) {
      Owned sum = residual;
      Owned out(shape_of(c), DType::f32, 2);
      backend.run(op::AddRmsNorm{
          .residual = sum.tensor, .x = x.tensor, .weight = weight.tensor, .out = out.tensor});
      test::expect_close(sum, sums, 0, name + ", residual");
      test::expect_close(out, expected, tolerance, name);

      Owned plain_sum = residual, plain(shape_of(c), DType::f32, 2);
      backend.run(op::Add{.a = plain_sum.tensor, .b = x.tensor, .out = plain_sum.tensor});
      backend.run(op::RmsNorm{.x = plain_sum.tensor, .weight = weight.tensor, .out = plain.tensor});
      test::expect_same_bits(out, plain, name + ", fused against plain");

      Owned in_place_sum = residual, in_place = x;
      backend.run(op::AddRmsNorm{.residual = in_place_sum.tensor,
                                 .x = in_place.tensor,
                                 .weight = weight.tensor,
                                 .out = in_place.tensor});
      test::expect_same_bits(in_place, out, name + ", out is x");
    });
  }
}

}  // namespace
}  // namespace spate
