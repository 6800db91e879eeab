// Random weights: every device places the bits that the host makes, in the same layout.
#include <gtest/gtest.h>

#include "tests/ops/support.h"

namespace spate {
namespace {

using test::for_each_setup;

std::vector<std::byte> placed_bytes(Backend& backend, const HostWeight& weight) {
  const Weight placed = backend.place(weight);
  EXPECT_EQ(placed.format, weight.format);
  EXPECT_EQ(Shape({placed.out, placed.in}), Shape({weight.out, weight.in}));
  std::vector<std::byte> bytes(placed.storage.bytes());
  backend.download(bytes.data(),
                   placed.storage.view({static_cast<int64_t>(bytes.size())}, DType::u8));
  return bytes;
}

TEST(RandomWeights, ArePlacedAsIfTheirBytesWereStored) {
  const RandomValues values{.key = 0x123456789ABCDEF0, .mean = 1, .deviation = 0.02F};
  for (const Format* format : {&kF32, &kF16, &kBf16}) {
    for (const Shape shape : {Shape{3, 64}, Shape{1, 1}, Shape{70, 33}, Shape{300, 1027}}) {
      const auto bytes = make_random(values, *format, shape.elements());
      for_each_setup("embed", [&](Backend& backend, const std::string& setup) {
        const HostWeight stored{
            .format = format, .out = shape[0], .in = shape[1], .bytes = bytes.get()};
        const HostWeight random{
            .format = format, .out = shape[0], .in = shape[1], .random = values};
        EXPECT_TRUE(placed_bytes(backend, random) == placed_bytes(backend, stored))
            << format->name << " " << shape.text() << ", " << setup;
      });
    }
  }
}

TEST(RandomWeights, DependOnTheKey) {
  for_each_setup("embed", [](Backend& backend, const std::string& setup) {
    const auto of_key = [&](uint64_t key) {
      return placed_bytes(
          backend, {.format = &kBf16, .out = 5, .in = 40, .random = RandomValues{.key = key}});
    };
    EXPECT_TRUE(of_key(1) == of_key(1)) << setup;
    EXPECT_FALSE(of_key(1) == of_key(2)) << setup;
  });
}

}  // namespace
}  // namespace spate
