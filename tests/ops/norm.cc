// RMS norm of rows and of heads, the fused addition before it, and that of groups with a gate.
#include "tests/reference/norm.h"

#include <gtest/gtest.h>

#include "tests/ops/support.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;

struct NormCase {
  int64_t rows, heads, width;  // heads 0: rows of [T, C]
  int64_t gap = 1;             // between rows, up to three times; with 8, vectors are aligned
};
const std::vector<NormCase> kCases = {
    {1, 0, 1},      {2, 0, 15},      {3, 0, 16},       {1, 0, 576},
    {5, 0, 577},    {70, 0, 960},    {3, 9, 64},       {40, 16, 128},
    {2, 3, 20},     {9, 1, 96},      {3, 9, 64, 8},    {40, 16, 128, 8},
    {9, 0, 960, 8}, {5, 0, 4096, 8}, {2, 0, 20000, 8}, {2, 0, 20001, 1}};

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

// The sum of squares in f32 is good to about sqrt(C) roundings; three more follow, and that to the
// type of the result.
std::vector<double> tolerance_of(const std::vector<double>& expected, int64_t width, DType type) {
  const double sum = test::kF32Epsilon * (6 + std::sqrt(static_cast<double>(width)));
  const double last = type == DType::f32 ? 0 : test::epsilon_of(type);
  std::vector<double> out;
  for (const double value : expected) out.push_back((sum + last) * std::abs(value));
  return out;
}

void check_norm(const NormCase& c, DType type, double size, Random& random) {
  Owned x(shape_of(c), type, 3 * c.gap);
  x.fill([&](int64_t, int64_t) { return random.normal(size); });
  const Owned weight = random.normal_tensor({c.width});
  const std::vector<double> expected = expected_of(x.values(), weight, 1e-5F);
  const std::vector<double> tolerance = tolerance_of(expected, c.width, type);
  test::for_each_setup("rms_norm", type, [&](Backend& backend, const std::string& name) {
    Owned out(shape_of(c), type, 2 * c.gap);
    backend.run(
        op::RmsNorm{.x = x.tensor, .weight = weight.tensor, .out = out.tensor, .eps = 1e-5F});
    test::expect_close(out, expected, tolerance, name);
    Owned in_place = x;
    backend.run(op::RmsNorm{
        .x = in_place.tensor, .weight = weight.tensor, .out = in_place.tensor, .eps = 1e-5F});
    test::expect_same_bits(in_place, out, name + ", in place");
  });
}

TEST(RmsNorm, MatchesThePlainNorm) {
  Random random(1);
  for (const NormCase& c : kCases) {
    for (const DType type : test::activation_types()) {
      for (const double size : {1.0, 1e-3, 1e4}) check_norm(c, type, size, random);  // 1e-3: eps
    }
  }
}

// Alone and in a batch; and wherever the row lies, aligned or not.
TEST(RmsNorm, BitsDependOnTheRowAlone) {
  Random random(2);
  const Owned weight = random.normal_tensor({576});
  for (const DType type : test::activation_types()) {
    const Owned x = random.normal_tensor({100, 576}, type);
    test::for_each_setup("rms_norm", type, [&](Backend& backend, const std::string& name) {
      Owned all({100, 576}, type);
      backend.run(op::RmsNorm{.x = x.tensor, .weight = weight.tensor, .out = all.tensor});
      for (const int64_t row : {0, 57, 99}) {
        for (const int64_t gap : {0, 1}) {
          Owned some({2, 576}, type, gap), expected({2, 576}, type);
          some.fill([&](int64_t, int64_t i) { return x.at(row, i); });
          expected.fill([&](int64_t, int64_t i) { return all.at(row, i); });
          backend.run(op::RmsNorm{.x = some.tensor, .weight = weight.tensor, .out = some.tensor});
          test::expect_same_bits(some, expected, cat(name, ", row ", row, ", gap ", gap));
        }
      }
    });
  }
}

void check_add_norm(const NormCase& c, DType type, Random& random) {
  const Owned residual = random.normal_tensor(shape_of(c), type, c.gap);
  const Owned x = random.normal_tensor(shape_of(c), type, 3 * c.gap);
  const Owned weight = random.normal_tensor({c.width});
  std::vector<double> sums;
  const std::vector<double> a = residual.values(), b = x.values();
  for (size_t i = 0; i < a.size(); ++i) sums.push_back(test::rounded(a[i] + b[i], type));
  const std::vector<double> expected = expected_of(sums, weight, 1e-6F);
  const std::vector<double> tolerance = tolerance_of(expected, c.width, type);
  test::for_each_setup("add_rms_norm", type, [&](Backend& backend, const std::string& name) {
    Owned sum = residual;
    Owned out(shape_of(c), type, 2 * c.gap);
    backend.run(op::AddRmsNorm{
        .residual = sum.tensor, .x = x.tensor, .weight = weight.tensor, .out = out.tensor});
    test::expect_close(sum, sums, 0, name + ", residual");
    test::expect_close(out, expected, tolerance, name);

    Owned plain_sum = residual, plain(shape_of(c), type, 2 * c.gap);
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

TEST(AddRmsNorm, IsAddThenRmsNorm) {
  Random random(3);
  for (const NormCase& c : kCases) {
    if (c.heads != 0) continue;
    for (const DType type : test::activation_types()) check_add_norm(c, type, random);
  }
}

// Groups of one element, of parts of packs, of packs; more of them than a warp has lanes.
TEST(GatedGroupNorm, MatchesThePlainOne) {
  struct GroupCase {
    int64_t rows, width, groups, gap = 1;
  };
  const GroupCase cases[] = {{1, 6, 6},      {3, 48, 1},       {5, 63, 3},
                             {70, 96, 8},    {9, 2048, 4, 8},  {2, 2048, 128, 8},
                             {4, 960, 5, 8}, {3, 20000, 1, 8}, {3, 12003, 3, 1}};
  Random random(4);
  for (const GroupCase& c : cases) {
    for (const DType type : test::activation_types()) {
      const Shape shape{c.rows, c.width};
      const Owned x = random.normal_tensor(shape, type, 3 * c.gap);
      Owned gate(shape, type, c.gap);
      gate.fill([&](int64_t, int64_t i) {
        return i == 1 ? -200 : i == 2 ? 200 : random.normal(3);
      });
      const Owned weight = random.normal_tensor({c.width});
      const std::span<const float> weights(weight.tensor.as<float>(), static_cast<size_t>(c.width));
      const std::vector<double> xs = x.values(), gates = gate.values();
      std::vector<double> expected;
      for (size_t i = 0; i < xs.size(); i += weights.size()) {
        const auto row = reference::gated_group_norm(std::span(xs).subspan(i, weights.size()),
                                                     std::span(gates).subspan(i, weights.size()),
                                                     weights, static_cast<size_t>(c.groups), 1e-5F);
        expected.insert(expected.end(), row.begin(), row.end());
      }
      std::vector<double> tolerance = tolerance_of(expected, c.width / c.groups, type);
      // The sigmoid's few roundings; below all that f32 has it is 0.
      for (size_t i = 0; i < tolerance.size(); ++i) {
        tolerance[i] += 8 * test::kF32Epsilon * std::abs(expected[i]) + 1e-37;
      }
      test::for_each_setup(
          "gated_group_norm", type, [&](Backend& backend, const std::string& name) {
            Owned out(shape, type, 2 * c.gap);
            op::GatedGroupNorm run{.x = x.tensor,
                                   .gate = gate.tensor,
                                   .weight = weight.tensor,
                                   .out = out.tensor,
                                   .groups = c.groups,
                                   .eps = 1e-5F};
            backend.run(run);
            test::expect_close(out, expected, tolerance, cat(name, ", width ", c.width));
            Owned in_place = x;
            run.x = run.out = in_place.tensor;
            backend.run(run);
            test::expect_same_bits(in_place, out, name + ", in place");
            for (const int64_t row : {int64_t{0}, c.rows - 1}) {
              Owned some({1, c.width}, type), some_gate({1, c.width}, type),
                  one({1, c.width}, type);
              some.fill([&](int64_t, int64_t i) { return x.at(row, i); });
              some_gate.fill([&](int64_t, int64_t i) { return gate.at(row, i); });
              one.fill([&](int64_t, int64_t i) { return out.at(row, i); });
              run.x = run.out = some.tensor;
              run.gate = some_gate.tensor;
              backend.run(run);
              test::expect_same_bits(some, one, cat(name, ", row ", row, " alone"));
            }
          });
    }
  }
}

}  // namespace
}  // namespace spate
