// The slopes of linear attention against the definition that the published models have, which is
// written differently there (see tools/make_bailing_linear_golden.py).
#include "nn/linear_attention.h"

#include <gtest/gtest.h>

namespace spate {
namespace {

TEST(LinearAttention, SlopesFallFromHeadToHead) {
  const std::vector<float> two = linear_attention_slopes(2, 0, 9);
  ASSERT_EQ(two.size(), 2U);
  EXPECT_NEAR(two[0], 1.0 / 16 * 1.00001, 1e-9);
  EXPECT_NEAR(two[1], 1.0 / 256 * 1.00001, 1e-9);
  // Every other one of sixteen heads follows those of eight.
  const std::vector<float> ten = linear_attention_slopes(10, 0, 9);
  const std::vector<float> eight = linear_attention_slopes(8, 0, 9);
  const std::vector<float> sixteen = linear_attention_slopes(16, 0, 9);
  ASSERT_EQ(ten.size(), 10U);
  for (size_t h = 0; h < 8; ++h) EXPECT_EQ(ten[h], eight[h]);
  EXPECT_EQ(ten[8], sixteen[0]);
  EXPECT_EQ(ten[9], sixteen[2]);
}

TEST(LinearAttention, SlopesFallFromLayerToLayer) {
  for (const int64_t layer : {0, 3, 7, 8}) {
    const double left = 1 - static_cast<double>(layer) / 8 + 1e-5;
    EXPECT_NEAR(linear_attention_slopes(1, layer, 9)[0] / (left / 256), 1, 1e-6) << layer;
  }
  EXPECT_NEAR(linear_attention_slopes(1, 0, 1)[0], 1.00001 / 256, 1e-9);
}

}  // namespace
}  // namespace spate
