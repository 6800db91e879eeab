// Weights that are joined lie as the one weight that they are together.
#include <gtest/gtest.h>

#include "tests/ops/support.h"
#include "tests/ops/weights.h"

namespace spate {
namespace {

using test::RandomWeight;

std::vector<std::byte> bytes_of(Backend& backend, const Weight& placed) {
  std::vector<std::byte> bytes(placed.storage.bytes());
  backend.download(bytes.data(),
                   placed.storage.view({static_cast<int64_t>(bytes.size())}, DType::u8));
  return bytes;
}

// Parts of 32, 48 and 10 outputs, cut from a weight of 90.
void expect_same(Backend& backend, const Format& format, bool of_layer, const std::string& name) {
  const int64_t in = format.block == 1 ? 72 : 2 * format.block;
  RandomWeight whole(format, 90, in, 11);
  whole.host.of_layer = of_layer;
  std::vector<HostWeight> parts;
  int64_t begin = 0;
  for (const int64_t out : {32, 48, 10}) {
    HostWeight part = whole.host;
    part.out = out;
    part.bytes += begin * format.row_bytes(in);
    parts.push_back(part);
    begin += out;
  }
  const Weight joined = backend.place_joined(parts);
  EXPECT_EQ(joined.out, 90);
  EXPECT_TRUE(bytes_of(backend, joined) == bytes_of(backend, backend.place(whole.host)))
      << format.name << ", " << name;
}

TEST(JoinedWeights, LieAsOne) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const Quantize quantize : {Quantize::none, Quantize::fp8}) {
      const auto backend = open_cuda_backend({.activation = type, .quantize = quantize}, 0);
      for (const Format* format : all_formats()) {
        expect_same(*backend, *format, quantize == Quantize::fp8, std::string(name_of(type)));
      }
    }
  }
}

TEST(JoinedWeights, RandomOnesToo) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  for (const Quantize quantize : {Quantize::none, Quantize::fp8}) {
    const auto backend = open_cuda_backend({.quantize = quantize}, 0);
    std::vector<HostWeight> random, stored;
    std::vector<std::shared_ptr<const std::byte[]>> bytes;
    for (const int64_t out : {64, 16}) {
      const RandomValues values{.key = static_cast<uint64_t>(out)};
      bytes.push_back(make_random(values, kBf16, out * 40));
      HostWeight weight{.format = &kBf16, .out = out, .in = 40, .of_layer = true};
      weight.bytes = bytes.back().get();
      stored.push_back(weight);
      weight.bytes = nullptr;
      weight.random = values;
      random.push_back(weight);
    }
    EXPECT_TRUE(bytes_of(*backend, backend->place_joined(random)) ==
                bytes_of(*backend, backend->place_joined(stored)));
  }
}

TEST(JoinedWeights, TheCpuLaysThemAsOneButGainsNothing) {
  const auto backend = open_cpu_backend({.threads = 2});
  EXPECT_FALSE(backend->joins_weights());
  for (const Format* format : all_formats()) expect_same(*backend, *format, false, "CPU");
}

}  // namespace
}  // namespace spate
