// Gate and up as one product with the activation at its end: against double loops, for hidden
// states of both types and in eight bits, with tokens and outputs that fill no tile.
#include <gtest/gtest.h>

#include "tests/ops/support.h"
#include "tests/ops/weights.h"
#include "tests/reference/basic.h"
#include "tests/reference/e4m3.h"
#include "tests/reference/linear.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;
using test::RandomWeight;

struct Choice {
  std::string name;
  BackendOptions options;
};

const Choice kChoices[] = {
    {"cpu", {.device = "cpu"}},
    {"gpu_f32", {.device = "0", .activation = DType::f32}},
    {"gpu_deterministic", {.device = "0", .deterministic = true}},
    {"gpu_bf16", {.device = "0"}},
    {"gpu_bf16_hopper", {.device = "0", .kernels = "joined_gated=hopper"}},
    {"gpu_bf16_apart", {.device = "0", .kernels = "joined_gated=apart"}},
    {"gpu_fp8", {.device = "0", .quantize = Quantize::fp8}},
    {"gpu_fp8_fast", {.device = "0", .quantize = Quantize::fp8_fast}},
};

// The sums of a product as the device makes them, and how far off they may be.
struct Sums {
  std::vector<double> value, error;

  Sums(const Owned& x, const HostWeight& weight, DType type, bool coded) {
    std::vector<float> decoded = reference::decode(weight);
    for (float& element : decoded) {
      if (type == DType::bf16) element = bf16_to_f32(f32_to_bf16(element));
    }
    const HostWeight meant{.format = &kF32,
                           .out = weight.out,
                           .in = weight.in,
                           .bytes = reinterpret_cast<const std::byte*>(decoded.data())};
    std::vector<double> rows = x.values();
    if (coded) {
      rows = multiplied(reference::RoundedRows(rows, weight.in), weight.in);
      const std::vector<double> exact(decoded.begin(), decoded.end());
      const std::vector<double> codes =
          multiplied(reference::RoundedRows(exact, weight.in), weight.in);
      decoded.assign(codes.begin(), codes.end());
    }
    const reference::Products products = reference::linear(rows, meant, {});
    value = products.value;
    const double relative = coded ? 0x1p-11 : type == DType::f32 ? 0x1p-20 : 0x1p-17;
    for (size_t i = 0; i < value.size(); ++i) {
      error.push_back(relative * products.magnitude[i] +
                      test::epsilon_of(type) * std::abs(value[i]));
    }
  }

 private:
  static std::vector<double> multiplied(const reference::RoundedRows& rows, int64_t width) {
    std::vector<double> out;
    for (size_t i = 0; i < rows.codes.size(); ++i) {
      out.push_back(rows.codes[i] * rows.scales[i / static_cast<size_t>(width)]);
    }
    return out;
  }
};

void expect_agreement(Backend& backend, const Owned& x, const RandomWeight& weight,
                      op::Activation activation, bool coded, const std::string& name) {
  const int64_t rows = x.rows(), inner = weight.host.out / 2;
  const DType type = backend.activation_type();
  const Sums sums(x, weight.host, type, coded);
  std::vector<double> expected, tolerance;
  for (int64_t t = 0; t < rows; ++t) {
    for (int64_t o = 0; o < inner; ++o) {
      const auto gate = static_cast<size_t>(t * 2 * inner + o);
      const size_t up = gate + static_cast<size_t>(inner);
      const double g = sums.value[gate], u = sums.value[up];
      const double active = reference::gated(activation, g, 1);
      expected.push_back(reference::gated(activation, g, u));
      // No activation is steeper than 1.13.
      const double shift = activation == op::Activation::clipped_silu ? 1 : 0;
      tolerance.push_back(1.13 * sums.error[gate] * (std::abs(u) + shift + sums.error[up]) +
                          std::abs(active) * sums.error[up] +
                          0x1p-17 * (std::abs(g) + 1) * (std::abs(u) + 1) +
                          test::epsilon_of(type) * std::abs(expected.back()));
    }
  }
  const Weight placed = backend.place(weight.host);
  Owned both({rows, 2 * inner}, type, 8), found({rows, inner}, type, 8);
  const op::Linear product{.x = x.tensor, .weight = &placed, .bias = {}, .out = both.tensor};
  op::JoinedGated op{.product = product, .out = found.tensor, .activation = activation};
  Owned codes({rows, op::rounded_width(x.columns())}, DType::u8), scales({rows}, DType::f32);
  if (coded) {
    op.product.rounded = {.codes = codes.tensor, .scales = scales.tensor};
    backend.run(op::RoundRows{.x = x.tensor, .to = op.product.rounded});
    op.product.x = {};
  }
  backend.run(op);
  test::expect_close(found, expected, tolerance, name);
  both.expect_guarded(name);
  if (!coded) return;
  // Rounded where the gate would be; the same bits as rounded by itself.
  Owned apart({rows, op::rounded_width(inner)}, DType::u8), apart_scales({rows}, DType::f32);
  backend.run(op::RoundRows{.x = found.tensor,
                            .to = {.codes = apart.tensor, .scales = apart_scales.tensor}});
  Owned found_scales({rows}, DType::f32);
  op.out = both.tensor.columns(0, {inner});
  op::RoundedRows to{.codes = view_of(both.tensor.data, DType::u8, {rows, op::rounded_width(inner)},
                                      both.tensor.device),
                     .scales = found_scales.tensor};
  to.codes.row_stride = 2 * both.tensor.row_stride;
  backend.run(op::Rounded<op::JoinedGated>{.op = op, .to = to});
  EXPECT_EQ(found_scales.values(), apart_scales.values()) << name;
  for (int64_t t = 0; t < rows; ++t) {
    const auto* row = to.codes.row<uint8_t>(t);
    const auto* same = apart.tensor.row<uint8_t>(t);
    ASSERT_TRUE(std::equal(row, row + to.codes.row_size(), same)) << name << ", row " << t;
  }
}

class JoinedGated : public testing::TestWithParam<Choice> {};

TEST_P(JoinedGated, AgreesWithItsMeaning) {
  struct Case {
    int64_t inner, in, rows;
    op::Activation activation = op::Activation::silu;
  };
  const Case cases[] = {{128, 64, 128},
                        {72, 96, 1, op::Activation::gelu_tanh},
                        {200, 136, 300, op::Activation::clipped_silu},
                        {136, 1024, 65},
                        {384, 520, 513, op::Activation::gelu_tanh},
                        {1024, 256, 700},
                        // Items of 112 and of 128 outputs, where there are 132 multiprocessors.
                        {3584, 64, 260},
                        {4224, 72, 300, op::Activation::clipped_silu}};
  const BackendOptions& options = GetParam().options;
  if (options.device != "cpu" && !test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  const auto backend = open_backend(options);
  backend->set_waiting(true);
  for (const Case& c : cases) {
    RandomWeight weight(kBf16, 2 * c.inner, c.in, static_cast<uint64_t>(c.inner));
    weight.host.of_layer = true;
    Random random(static_cast<uint64_t>(c.rows));
    const Owned x = random.normal_tensor({c.rows, c.in}, backend->activation_type(), 8);
    expect_agreement(*backend, x, weight, c.activation, options.quantize != Quantize::none,
                     cat(c.rows, " x ", c.in, " x ", c.inner));
  }
}

INSTANTIATE_TEST_SUITE_P(Choices, JoinedGated, testing::ValuesIn(kChoices),
                         [](const auto& info) { return info.param.name; });

// The tokens of one section do not stay in the L2 cache with those of the next.
TEST(JoinedGatedHopper, GivesEveryItemOnce) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kRows = 9000, kIn = 1536, kInner = 264;
  RandomWeight weight(kBf16, 2 * kInner, kIn, 5);
  Random random(6);
  const Owned x = random.normal_tensor({kRows, kIn}, DType::bf16);
  std::vector<std::vector<double>> found;
  for (const char* kernels : {"joined_gated=hopper", "joined_gated=apart"}) {
    const auto backend = open_cuda_backend({.kernels = kernels}, 0);
    backend->set_waiting(true);
    const Weight placed = backend->place(weight.host);
    Owned both({kRows, 2 * kInner}, DType::bf16), out({kRows, kInner}, DType::bf16);
    backend->run(op::JoinedGated{
        .product = {.x = x.tensor, .weight = &placed, .bias = {}, .out = both.tensor},
        .out = out.tensor});
    found.push_back(out.values());
  }
  double error = 0, size = 0, largest = 0;
  for (size_t i = 0; i < found[0].size(); ++i) {
    const double difference = found[0][i] - found[1][i];
    error += difference * difference;
    size += found[1][i] * found[1][i];
    largest = std::max(largest, std::abs(difference) / (std::abs(found[1][i]) + 1));
  }
  EXPECT_GT(size, 0);
  EXPECT_LT(std::sqrt(error / size), 0.002);
  EXPECT_LT(largest, 0.05);
}

}  // namespace
}  // namespace spate
