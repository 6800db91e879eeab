// Products in e4m3 on a GPU: against a double loop over rows rounded on the host, against the
// products of the rows themselves for what rounding changes, and a row's bits in any batch.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/ops/products.h"
#include "tests/ops/support.h"
#include "tests/reference/e4m3.h"

namespace spate {
namespace {

using test::expect_same_bits;
using test::Owned;
using test::Random;
using test::RandomWeight;

struct Setup {
  DType type;
  std::string kernels;
  bool deterministic = false;
};

// Calls body(backend, name) for every type of hidden states and kernel, where a GPU is.
template <class Body>
void for_each_f8_setup(const Body& body, Quantize quantize = Quantize::fp8) {
  if (!test::has_gpu()) return;
  std::vector<Setup> setups;
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const char* kernels :
         {"", "linear=medium_rows", "linear=few_rows", "linear=cublaslt", "linear=tiles"}) {
      setups.push_back({type, kernels});
    }
    setups.push_back({type, "", true});
  }
  for (const Setup& setup : setups) {
    const auto backend = open_cuda_backend({.activation = setup.type,
                                            .deterministic = setup.deterministic,
                                            .quantize = quantize,
                                            .kernels = setup.kernels},
                                           0);
    backend->set_waiting(true);
    test::run_setup(*backend,
                    cat("GPU, ", name_of(setup.type), " ", setup.kernels,
                        setup.deterministic ? "deterministic" : ""),
                    !setup.kernels.empty(), body);
  }
}

// A weight as the device rounds it: from the type of hidden states.
std::vector<double> meant_values(const HostWeight& weight, DType type) {
  std::vector<double> values;
  for (const float value : reference::decode(weight)) values.push_back(test::rounded(value, type));
  return values;
}

// A product on the host.
struct Expected {
  std::vector<double> values, magnitudes, exact;

  Expected(const Owned& x, const std::vector<double>& weight, const Owned& bias) {
    const int64_t in = x.columns();
    const auto out = static_cast<int64_t>(weight.size()) / in;
    const reference::RoundedRows rows(x.values(), in), outputs(weight, in);
    for (int64_t t = 0; t < x.rows(); ++t) {
      for (int64_t o = 0; o < out; ++o) {
        double sum = 0, magnitude = 0, plain = 0;
        for (int64_t i = 0; i < in; ++i) {
          const double product = rows.codes[static_cast<size_t>(t * in + i)] *
                                 outputs.codes[static_cast<size_t>(o * in + i)];
          sum += product;
          magnitude += std::abs(product);
          plain += x.at(t, i) * weight[static_cast<size_t>(o * in + i)];
        }
        const double scale =
            rows.scales[static_cast<size_t>(t)] * outputs.scales[static_cast<size_t>(o)];
        values.push_back(sum * scale + bias.at(0, o));
        magnitudes.push_back(magnitude * scale);
        exact.push_back(plain + bias.at(0, o));
      }
    }
  }
  // Tensor cores add products of e4m3 with about 13 bits: `sum_error` of their magnitudes is lost.
  std::vector<double> tolerances(DType out_type, const Owned& bias, double sum_error) const {
    std::vector<double> out;
    for (size_t i = 0; i < values.size(); ++i) {
      const double added = std::abs(bias.at(0, static_cast<int64_t>(i) % bias.columns()));
      out.push_back(sum_error * magnitudes[i] +
                    test::epsilon_of(out_type) * (2 * std::abs(values[i]) + added));
    }
    return out;
  }
};

// Of weights [out, in], with each kernel that takes them.
void compare_products(const Format& format, int64_t out, int64_t in,
                      std::initializer_list<int64_t> numbers_of_rows, double sum_error,
                      Quantize quantize = Quantize::fp8) {
  RandomWeight weight(format, out, in, static_cast<uint64_t>(out + in));
  weight.host.of_layer = true;
  Random random(7);
  const Owned bias = random.normal_tensor({out});
  for (const int64_t rows : numbers_of_rows) {
    std::map<DType, std::pair<Owned, Expected>> prepared;
    for_each_f8_setup(
        [&](Backend& backend, const std::string& name) {
          const DType type = backend.activation_type();
          const Weight placed = backend.place(weight.host);
          EXPECT_LT(backend.placed_bytes(weight.host),
                    static_cast<size_t>(out * (in + 64 + 4)) + 256);
          if (!prepared.contains(type)) {
            Owned x = random.normal_tensor({rows, in}, type, rows % 2 == 0 ? 8 - in % 8 : 3);
            Expected expected(x, meant_values(weight.host, type), bias);
            prepared.emplace(type, std::pair(std::move(x), std::move(expected)));
          }
          const auto& [x, expected] = prepared.at(type);
          for (const DType out_type : {type, DType::f32}) {
            Owned found({rows, out}, out_type, 5);
            backend.run(op::Linear{
                .x = x.tensor, .weight = &placed, .bias = bias.tensor, .out = found.tensor});
            test::expect_close(found, expected.values,
                               expected.tolerances(out_type, bias, sum_error),
                               cat(format.name, " [", out, ", ", in, "], ", rows, " rows to ",
                                   name_of(out_type), ", ", name));
          }
        },
        quantize);
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(LinearF8, AgreesWithTheReference) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  const std::pair<int64_t, int64_t> shapes[] = {{1, 8},    {7, 24},    {73, 160}, {33, 43},
                                                {64, 512}, {256, 512}, {40, 2048}};
  for (const auto& [out, in] : shapes) {
    for (const Format* format : {&kBf16, &kF32, &kF16, &kQ8_0}) {
      if (in % format->block != 0) continue;
      compare_products(*format, out, in, {1, 3, 8, 16, 17, 64, 130}, 0x1p-12);
      if (testing::Test::HasFatalFailure()) return;
    }
  }
}

// Tiles of outputs for two blocks that share the inputs, and for one. Of so many sums one has lost
// 1.3 times what none of the small products above loses.
TEST(LinearF8, CutsOutputsIntoTilesOfBlocks) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  const std::pair<int64_t, int64_t> shapes[] = {
      {2900, 1304}, {4100, 200}, {4300, 1304}, {6001, 88}};
  for (const auto& [out, in] : shapes) {
    compare_products(kBf16, out, in, {1, 9, 17, 64}, 0x1p-11);
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Tensor cores add all products of a sum themselves, with about 13 bits. Tiles for four blocks, for
// two and for one.
TEST(LinearF8, AddsFastWhereItMay) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  const std::pair<int64_t, int64_t> shapes[] = {{1100, 1304}, {6001, 88}, {8448, 40}, {17000, 24}};
  for (const auto& [out, in] : shapes) {
    compare_products(kBf16, out, in, {33, 100}, 0x1p-9, Quantize::fp8_fast);
    if (testing::Test::HasFatalFailure()) return;
  }
}

// Each element is off by at most 2^-4 of itself, so sums of many are off by a few percent of their
// usual size.
TEST(LinearF8, RoundingIsBounded) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kOut = 64, kIn = 1024, kRows = 40;
  RandomWeight weight(kBf16, kOut, kIn, 3);
  weight.host.of_layer = true;
  Random random(4);
  const Owned none = Owned({kOut}).fill([](int64_t, int64_t) { return 0; });
  const Owned x = random.normal_tensor({kRows, kIn}, DType::bf16);
  const Expected expected(x, meant_values(weight.host, DType::bf16), none);
  for_each_f8_setup([&](Backend& backend, const std::string& name) {
    if (backend.activation_type() != DType::bf16) return;
    const Weight placed = backend.place(weight.host);
    Owned found({kRows, kOut}, DType::f32);
    backend.run(op::Linear{.x = x.tensor, .weight = &placed, .bias = {}, .out = found.tensor});
    double error = 0, size = 0;
    for (int64_t i = 0; i < kRows * kOut; ++i) {
      const double exact = expected.exact[static_cast<size_t>(i)];
      error += std::pow(found.at(i / kOut, i % kOut) - exact, 2);
      size += std::pow(exact, 2);
    }
    EXPECT_LT(std::sqrt(error / size), 0.05) << name;
    EXPECT_GT(std::sqrt(error / size), 0.005) << name;  // it does round
  });
}

TEST(LinearF8, RowsHaveTheSameBitsInAnyBatchWhereItIsAskedFor) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kOut = 200, kIn = 320, kRows = 70;
  RandomWeight weight(kBf16, kOut, kIn, 5);
  weight.host.of_layer = true;
  for (const DType type : {DType::f32, DType::bf16}) {
    const auto backend = open_cuda_backend(
        {.activation = type, .deterministic = true, .quantize = Quantize::fp8}, 0);
    backend->set_waiting(true);
    const Weight placed = backend->place(weight.host);
    Random random(6);
    const Owned x = random.normal_tensor({kRows, kIn}, type);
    Owned all({kRows, kOut}, type), alone({1, kOut}, type);
    backend->run(op::Linear{.x = x.tensor, .weight = &placed, .bias = {}, .out = all.tensor});
    for (int64_t t = 0; t < kRows; ++t) {
      backend->run(op::Linear{
          .x = x.tensor.slice(t, 1), .weight = &placed, .bias = {}, .out = alone.tensor});
      for (int64_t o = 0; o < kOut; ++o) ASSERT_EQ(alone.at(0, o), all.at(t, o)) << t << ", " << o;
    }
  }
}

// q, k and v, and gate and up, share the rounded rows.
TEST(LinearF8, FusedProductsAreTheirParts) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kIn = 128, kRows = 20;
  std::vector<RandomWeight> weights;
  for (const int64_t out : {96, 32, 32}) {
    weights.emplace_back(kBf16, out, kIn, static_cast<uint64_t>(out + weights.size()));
    weights.back().host.of_layer = true;
  }
  for_each_f8_setup([&](Backend& backend, const std::string& name) {
    const DType type = backend.activation_type();
    Random random(8);
    const Owned x = random.normal_tensor({kRows, kIn}, type);
    std::vector<Weight> placed;
    std::vector<Owned> together, alone;
    for (const RandomWeight& weight : weights) {
      placed.push_back(backend.place(weight.host));
      together.emplace_back(Shape{kRows, weight.host.out}, type);
      alone.emplace_back(Shape{kRows, weight.host.out}, type);
    }
    const auto part = [&](size_t i) {
      return op::LinearQkv::Part{.weight = &placed[i], .bias = {}, .out = together[i].tensor};
    };
    backend.run(op::LinearQkv{.x = x.tensor, .q = part(0), .k = part(1), .v = part(2)});
    for (size_t i = 0; i < 3; ++i) {
      backend.run(
          op::Linear{.x = x.tensor, .weight = &placed[i], .bias = {}, .out = alone[i].tensor});
      EXPECT_EQ(together[i].values(), alone[i].values()) << name;
    }
    Owned scratch({kRows, 32}, type), gated({kRows, 32}, type), expected({kRows, 32}, type);
    backend.run(op::LinearGated{.x = x.tensor,
                                .gate = &placed[1],
                                .up = &placed[2],
                                .scratch = scratch.tensor,
                                .out = gated.tensor});
    backend.run(op::Gated{.gate = alone[1].tensor, .up = alone[2].tensor, .out = expected.tensor});
    EXPECT_EQ(gated.values(), expected.values()) << name;
  });
}

// Rows that take part rounded, where codes lie in the memory of the plain ones.
struct InPlace {
  Owned rows, scales;
  op::RoundedRows rounded;

  InPlace(Shape shape, DType type, int64_t gap)
      : rows(shape, type, gap), scales({shape[0]}, DType::f32) {
    const auto size = static_cast<int64_t>(size_of(type));
    rounded.codes =
        view_of(rows.tensor.data, DType::u8, {shape[0], op::rounded_width(shape[1])}, {});
    rounded.codes.row_stride = rows.tensor.row_stride * size;
    rounded.scales = scales.tensor;
  }
  std::vector<uint8_t> codes() const {
    std::vector<uint8_t> all;
    for (int64_t t = 0; t < rounded.codes.rows(); ++t) {
      const auto* row = rounded.codes.row<uint8_t>(t);
      all.insert(all.end(), row, row + rounded.codes.row_size());
    }
    return all;
  }
};

// Calls body(width, gap): rows that whole packs fit and others, and more than threads keep.
template <class Body>
void for_each_width(const Body& body) {
  for (const auto& [width, gap] : {std::pair<int64_t, int64_t>{64, 0},
                                   {136, 8},
                                   {200, 56},
                                   {75, 5},
                                   {4096, 0},
                                   {14336, 64},
                                   {16384, 0},
                                   {50000, 48}}) {
    body(width, gap);
  }
}

// The fused ops give the bits of their parts; these round as the reference does.
TEST(RoundedF8, FusedOpsAreTheirParts) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kRows = 3;
  for (const DType type : {DType::f32, DType::bf16}) {
    const auto backend = open_cuda_backend({.activation = type, .quantize = Quantize::fp8}, 0);
    backend->set_waiting(true);
    for_each_width([&](int64_t width, int64_t gap) {
      SCOPED_TRACE(cat(name_of(type), ", width ", width));
      if (width * static_cast<int64_t>(size_of(type)) < op::rounded_width(width)) return;
      if ((width + gap) * static_cast<int64_t>(size_of(type)) % 16 != 0)
        gap += 16 - (width + gap) % 16;
      Random random(static_cast<uint64_t>(width));
      const Owned x = random.normal_tensor({kRows, width}, type, gap);
      const Owned y = random.normal_tensor({kRows, width}, type, gap);
      const Owned weight = random.normal_tensor({width});
      const auto compare = [&](auto op, const char* what) {
        Owned plain({kRows, width}, type, gap);
        op.out = plain.tensor;
        backend->run(op);
        const reference::RoundedRows expected(plain.values(), width);
        InPlace parts({kRows, width}, type, gap), fused({kRows, width}, type, gap);
        backend->run(op::RoundRows{.x = plain.tensor, .to = parts.rounded});
        op.out = fused.rows.tensor;
        backend->run(op::Rounded<decltype(op)>{.op = op, .to = fused.rounded});
        EXPECT_EQ(fused.scales.values(), expected.scales) << what;
        EXPECT_EQ(parts.scales.values(), expected.scales) << what;
        EXPECT_EQ(fused.codes(), parts.codes()) << what;
        // In place.
        InPlace same({kRows, width}, type, gap);
        same.rows.fill([&](int64_t row, int64_t column) { return plain.at(row, column); });
        backend->run(op::RoundRows{.x = same.rows.tensor, .to = same.rounded});
        EXPECT_EQ(same.codes(), parts.codes()) << what;
      };
      compare(op::RmsNorm{.x = x.tensor, .weight = weight.tensor}, "norm");
      for (const op::Activation activation : {op::Activation::silu, op::Activation::gelu_tanh}) {
        compare(op::Gated{.gate = x.tensor, .up = y.tensor, .activation = activation}, "gated");
      }
      // The sum is the residual that both leave.
      Owned residual = x, again = x;
      InPlace fused({kRows, width}, type, gap), parts({kRows, width}, type, gap);
      const op::AddRmsNorm norm{.residual = residual.tensor,
                                .x = y.tensor,
                                .weight = weight.tensor,
                                .out = fused.rows.tensor};
      backend->run(op::Rounded<op::AddRmsNorm>{.op = norm, .to = fused.rounded});
      Owned plain({kRows, width}, type, gap);
      backend->run(op::AddRmsNorm{
          .residual = again.tensor, .x = y.tensor, .weight = weight.tensor, .out = plain.tensor});
      backend->run(op::RoundRows{.x = plain.tensor, .to = parts.rounded});
      EXPECT_EQ(residual.values(), again.values());
      EXPECT_EQ(fused.codes(), parts.codes());
      EXPECT_EQ(fused.scales.values(), parts.scales.values());
    });
  }
}

TEST(LinearF8, TakesRowsThatAreRounded) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kOut = 200, kIn = 320;
  RandomWeight weight(kBf16, kOut, kIn, 11);
  weight.host.of_layer = true;
  for (const int64_t rows : {1, 20, 64, 100}) {
    for_each_f8_setup([&](Backend& backend, const std::string& name) {
      const DType type = backend.activation_type();
      const Weight placed = backend.place(weight.host);
      EXPECT_TRUE(backend.rounds_rows(placed));
      Random random(12);
      const Owned x = random.normal_tensor({rows, kIn}, type, 8);
      InPlace rounded({rows, kIn}, type, 8);
      Owned plain({rows, kOut}, type), found({rows, kOut}, type);
      backend.run(op::RoundRows{.x = x.tensor, .to = rounded.rounded});
      backend.run(op::Linear{.x = x.tensor, .weight = &placed, .bias = {}, .out = plain.tensor});
      backend.run(op::Linear{
          .x = {}, .weight = &placed, .bias = {}, .out = found.tensor, .rounded = rounded.rounded});
      EXPECT_EQ(found.values(), plain.values()) << rows << " rows, " << name;
    });
  }
}

TEST(LinearF8, OtherRowsDoNotSeeANan) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kOut = 48, kIn = 96, kRows = 20;
  RandomWeight weight(kBf16, kOut, kIn, 9);
  weight.host.of_layer = true;
  for_each_f8_setup([&](Backend& backend, const std::string& name) {
    Random random(10);
    Owned x = random.normal_tensor({kRows, kIn}, backend.activation_type());
    x.set(3, 5, std::numeric_limits<double>::quiet_NaN());
    x.set(11, 7, std::numeric_limits<double>::infinity());
    x.tensor.row_stride = kIn;
    const Weight placed = backend.place(weight.host);
    Owned out({kRows, kOut}, DType::f32);
    backend.run(op::Linear{.x = x.tensor, .weight = &placed, .bias = {}, .out = out.tensor});
    for (int64_t t = 0; t < kRows; ++t) {
      for (int64_t o = 0; o < kOut; ++o) {
        EXPECT_EQ(std::isnan(out.at(t, o)), t == 3 || t == 11) << t << ", " << o << ", " << name;
      }
    }
  });
}

// Kernels that begin early read weights before the one ahead of them has ended. Those that were
// placed just before are whole even so: here rounding takes longer than two such kernels to begin.
TEST(LinearF8, WeightsMayJustHaveBeenPlaced) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kOut = 24, kIn = 1 << 18, kRows = 3, kBusy = 2048;
  const auto backend =
      open_cuda_backend({.quantize = Quantize::fp8, .kernels = "linear=few_rows"}, 0);
  Random random(11);
  const Owned x = random.normal_tensor({kRows, kIn}, DType::bf16);
  const Owned narrow = random.normal_tensor({kRows, kBusy}, DType::bf16);
  const auto multiply = [&](const Owned& with, const Weight& weight, const Owned& out) {
    backend->run(op::Linear{.x = with.tensor, .weight = &weight, .bias = {}, .out = out.tensor});
  };
  RandomWeight large(kBf16, kBusy, kBusy, 12);
  large.host.of_layer = true;
  const Weight busy = backend->place(large.host);
  const Owned unused({kRows, kBusy}, DType::bf16);
  for (uint64_t seed = 0; seed < 4; ++seed) {
    RandomWeight weight(kBf16, kOut, kIn, seed);
    weight.host.of_layer = true;
    const Owned early({kRows, kOut}, DType::f32), late({kRows, kOut}, DType::f32);
    for (int i = 0; i < 1000; ++i) multiply(narrow, busy, unused);  // what follows waits together
    const Weight placed = backend->place(weight.host);
    multiply(x, placed, early);
    backend->finish();
    multiply(x, placed, late);
    backend->finish();
    expect_same_bits(early, late, cat("weight ", seed));
  }
}

// Fast sums of numbers around zero are off by a tenth of what rounding costs, those of positive
// numbers by some percent of themselves.
TEST(LinearF8, FastSumsAreBounded) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  constexpr int64_t kOut = 256, kIn = 4096, kRows = 256;
  for (const bool positive : {false, true}) {
    RandomWeight weight(kBf16, kOut, kIn, 3);
    weight.host.of_layer = true;
    Random random(4);
    Owned x = random.normal_tensor({kRows, kIn}, DType::bf16);
    if (positive) {
      // Rows like the first weight's: its sums are of squares.
      const std::vector<float> values = reference::decode(weight.host);
      x.fill([&](int64_t, int64_t i) { return values[static_cast<size_t>(i)]; });
    }
    std::vector<std::vector<double>> found;
    for (const Quantize quantize : {Quantize::fp8, Quantize::fp8_fast}) {
      const auto backend = open_cuda_backend({.quantize = quantize}, 0);
      const Weight placed = backend->place(weight.host);
      Owned out({kRows, kOut}, DType::f32);
      backend->run(op::Linear{.x = x.tensor, .weight = &placed, .bias = {}, .out = out.tensor});
      backend->finish();
      found.push_back(out.values());
    }
    double error = 0, size = 0;
    for (size_t i = 0; i < found[0].size(); ++i) {
      const bool counts = !positive || i % kOut == 0;
      if (!counts) continue;
      error += std::pow(found[1][i] - found[0][i], 2);
      size += std::pow(found[0][i], 2);
    }
    const double share = std::sqrt(error / size);
    EXPECT_GT(share, 0) << "they are not fast";
    EXPECT_LT(share, positive ? 0.1 : 0.004);
  }
}

// Random weights are rounded as if their bytes were stored; weights that are not of a layer are
// not rounded at all.
TEST(LinearF8, PlacesRandomWeightsAsStoredOnes) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  const RandomValues values{.key = 77, .mean = 0, .deviation = 0.02F};
  for_each_f8_setup([&](Backend& backend, const std::string& name) {
    const auto bytes = make_random(values, kBf16, 70 * 100);
    const auto placed = [&](const HostWeight& weight) {
      const Weight on_device = backend.place(weight);
      std::vector<std::byte> found(on_device.storage.bytes());
      backend.download(found.data(),
                       on_device.storage.view({static_cast<int64_t>(found.size())}, DType::u8));
      return found;
    };
    const HostWeight stored{
        .format = &kBf16, .out = 70, .in = 100, .bytes = bytes.get(), .of_layer = true};
    const HostWeight random{
        .format = &kBf16, .out = 70, .in = 100, .random = values, .of_layer = true};
    EXPECT_TRUE(placed(stored) == placed(random)) << name;
    HostWeight table = stored;
    table.of_layer = false;
    EXPECT_GE(placed(table).size(), 70 * 100 * size_of(backend.activation_type())) << name;
  });
}

TEST(LinearF8, TheCpuSaysThatItNeedsAGpu) {
  try {
    open_cpu_backend({.quantize = Quantize::fp8});
    FAIL() << "a CPU took --quantize fp8";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::usage);
    EXPECT_NE(std::string(error.what()).find("needs a GPU"), std::string::npos);
  }
}

}  // namespace
}  // namespace spate
