// The loops behind floors: they must do all the operations they report.
#include "backend/cpu/rates.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "backend/cpu/isa.h"

namespace spate::cpu {
namespace {

void for_each_isa(const std::function<void(const RateKernels&)>& body) {
  for (const Isa& isa : all_isas()) {
    if (!isa.present) continue;
    SCOPED_TRACE(isa.name);
    body(*isa.kernels->rates);
  }
}

TEST(Rates, MultiplyAddsAreDone) {
  for_each_isa([](const RateKernels& kernels) {
    for (const int64_t rounds : {0, 1, 7}) {
      float sums[kRateSums] = {};
      const double operations = kernels.fma_loop(1.0F, 1.0F, rounds, sums);
      EXPECT_EQ(std::accumulate(sums, sums + kRateSums, 0.0), operations / 2);
      EXPECT_EQ(*std::max_element(sums, sums + kRateSums), static_cast<float>(rounds));
    }
    float sums[kRateSums] = {};
    kernels.fma_loop(3.0F, 2.0F, 3, sums);
    EXPECT_EQ(sums[0], 26.0F);  // ((0 * 3 + 2) * 3 + 2) * 3 + 2
  });
}

TEST(Rates, DotProductsAreDone) {
  for_each_isa([](const RateKernels& kernels) {
    uint8_t codes[kRateCodes];
    int8_t x[kRateInputs];
    std::fill(std::begin(codes), std::end(codes), uint8_t{kRateLargestCode});
    std::fill(std::begin(x), std::end(x), int8_t{-127});
    for (const int64_t rounds : {0, 1, 5}) {
      float sums[kRateSums] = {};
      const double operations = kernels.dot_loop(codes, x, rounds, sums);
      EXPECT_EQ(std::accumulate(sums, sums + kRateSums, 0.0),
                -127 * kRateLargestCode * operations / 2);
    }
  });
}

TEST(Rates, WordsAreSummed) {
  std::vector<uint64_t> words(1003);
  std::iota(words.begin(), words.end(), uint64_t{5});
  for_each_isa([&](const RateKernels& kernels) {
    for (const size_t count : {size_t{0}, size_t{1}, size_t{31}, words.size()}) {
      EXPECT_EQ(
          kernels.sum_words(words.data(), static_cast<int64_t>(count)),
          std::accumulate(words.begin(), words.begin() + static_cast<long>(count), uint64_t{0}));
    }
  });
}

TEST(Rates, AreMeasured) {
  const Rates rates = measure_rates(2, "generic");
  EXPECT_GT(rates.read_bytes, 1e8);
  EXPECT_GT(rates.float_ops, 1e7);
  EXPECT_GT(rates.byte_ops, 1e7);
  EXPECT_EQ(rates.isa, "generic");
  EXPECT_EQ(rates.dot, "plain code");
}

}  // namespace
}  // namespace spate::cpu
