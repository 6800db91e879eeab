// tensor/half.h over all 65536 values of both 16-bit floats, against the definition of the formats
// (sign, exponent, fraction) in double arithmetic, and rounding against the neighbours in order.
#include "tensor/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace spate {
namespace {

struct Layout {
  int exponent_bits, fraction_bits;
  float (*widen)(uint16_t);
  uint16_t (*narrow)(float);
};

constexpr Layout kF16Layout{5, 10, f16_to_f32, f32_to_f16};
constexpr Layout kBf16Layout{8, 7, bf16_to_f32, f32_to_bf16};

// What IEEE 754 says the bits mean.
double meaning(const Layout& layout, uint32_t bits) {
  const int fraction = static_cast<int>(bits & ((1U << layout.fraction_bits) - 1));
  const int top = (1 << layout.exponent_bits) - 1;
  const int exponent = static_cast<int>(bits >> layout.fraction_bits) & top;
  const int bias = top / 2;
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  if (exponent == top) {
    return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                         : std::numeric_limits<double>::quiet_NaN();
  }
  if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias - layout.fraction_bits);
  return sign *
         std::ldexp(fraction + (1 << layout.fraction_bits), exponent - bias - layout.fraction_bits);
}

void every_value_widens_and_returns(const Layout& layout) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const double expected = meaning(layout, bits);
    const float found = layout.widen(static_cast<uint16_t>(bits));
    const uint16_t back = layout.narrow(found);
    if (std::isnan(expected)) {
      ASSERT_TRUE(std::isnan(found)) << bits;
      ASSERT_TRUE(std::isnan(layout.widen(back))) << bits;
      continue;
    }
    ASSERT_EQ(static_cast<double>(found), expected) << bits;
    ASSERT_EQ(std::signbit(found), std::signbit(expected)) << bits;
    ASSERT_EQ(back, bits);
  }
}

// Between neighbours a < b of the narrow format: values below the middle give a, above it b, and
// the middle itself the one whose last bit is 0. Past the largest value, the middle to where the
// next one would be gives infinity.
void rounds_to_nearest_even(const Layout& layout) {
  const uint32_t infinity = ((1U << layout.exponent_bits) - 1) << layout.fraction_bits;
  for (uint32_t bits = 0; bits < infinity; ++bits) {
    const double low = meaning(layout, bits);
    const double high =
        bits + 1 == infinity ? 2 * low - meaning(layout, bits - 1) : meaning(layout, bits + 1);
    const auto middle = static_cast<float>((low + high) / 2);  // one bit more: exact in f32
    ASSERT_EQ(static_cast<double>(middle), (low + high) / 2);
    const uint16_t even = static_cast<uint16_t>(bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(layout.narrow(middle), even) << bits;
    ASSERT_EQ(layout.narrow(std::nextafter(middle, 0.0F)), bits);
    ASSERT_EQ(layout.narrow(std::nextafter(middle, HUGE_VALF)), bits + 1);
    ASSERT_EQ(layout.narrow(-middle), even | 0x8000U) << bits;
  }
}

TEST(Half, EveryF16) { every_value_widens_and_returns(kF16Layout); }
TEST(Half, EveryBf16) { every_value_widens_and_returns(kBf16Layout); }
TEST(Half, F16RoundsToNearestEven) { rounds_to_nearest_even(kF16Layout); }
TEST(Half, Bf16RoundsToNearestEven) { rounds_to_nearest_even(kBf16Layout); }

TEST(Half, TheEnds) {
  EXPECT_EQ(f32_to_f16(65504.0F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65519.99F), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0F), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::max()), 0x7C00);
  EXPECT_EQ(f32_to_f16(std::numeric_limits<float>::denorm_min()), 0);
  EXPECT_EQ(f32_to_f16(-0.0F), 0x8000);
  EXPECT_EQ(f32_to_bf16(std::numeric_limits<float>::max()), 0x7F80);
  EXPECT_EQ(f32_to_bf16(-0.0F), 0x8000);
}

}  // namespace
}  // namespace spate
