// Products by head: against plain double loops, and against themselves for the promise that a
// token's bits do not depend on the batch.
#include <gtest/gtest.h>

#include "tests/ops/products.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;
using test::RandomWeight;

struct HeadsCase {
  const Format* format;
  int64_t tokens, heads, in, outputs, carried, gap;
};

// A case with its inputs and expected values, for hidden states of a type.
struct Prepared {
  Prepared(const HeadsCase& c, DType type)
      : weight(*c.format, c.heads * c.outputs, c.in, 3),
        x({c.tokens, c.heads, c.in + c.carried}, type, c.gap) {
    Random random(4);
    x.fill([&](int64_t, int64_t) { return random.normal(); });
    std::vector<float> weights = reference::decode(weight.host);
    if (type == DType::bf16) {
      for (float& value : weights) value = bf16_to_f32(f32_to_bf16(value));
    }
    for (int64_t t = 0; t < c.tokens; ++t) {
      for (int64_t h = 0; h < c.heads; ++h) {
        const int64_t begin = h * (c.in + c.carried);
        for (int64_t o = 0; o < c.outputs; ++o) {
          double sum = 0, magnitude = 0;
          for (int64_t i = 0; i < c.in; ++i) {
            const double product =
                x.at(t, begin + i) *
                static_cast<double>(weights[static_cast<size_t>((h * c.outputs + o) * c.in + i)]);
            sum += product;
            magnitude += std::abs(product);
          }
          expected.push_back(sum);
          tolerance.push_back(test::kF32Epsilon * 4 * std::sqrt(c.in + 1) * magnitude +
                              (type == DType::f32 ? 0 : test::epsilon_of(type) * std::abs(sum)));
        }
        for (int64_t i = 0; i < c.carried; ++i) {
          expected.push_back(x.at(t, begin + c.in + i));
          tolerance.push_back(0);
        }
      }
    }
  }
  RandomWeight weight;
  Owned x;
  std::vector<double> expected, tolerance;
};

TEST(LinearHeads, AgreesWithPlainLoops) {
  for (const HeadsCase& c :
       {HeadsCase{&kF32, 1, 1, 8, 16, 0, 0}, HeadsCase{&kF32, 7, 3, 43, 32, 5, 3},
        HeadsCase{&kBf16, 1, 16, 128, 512, 64, 8}, HeadsCase{&kBf16, 1, 16, 512, 128, 0, 0},
        HeadsCase{&kF16, 33, 2, 24, 80, 8, 8}, HeadsCase{&kBf16, 150, 4, 64, 48, 16, 8},
        HeadsCase{&kF32, 70, 5, 96, 16, 0, 1}}) {
    SCOPED_TRACE(cat(c.format->name, ", ", c.tokens, " tokens, ", c.heads, " heads, ", c.in, " to ",
                     c.outputs));
    for (const DType type : test::activation_types()) {
      const Prepared prepared(c, type);
      test::for_each_setup("linear_heads", type, [&](Backend& backend, const std::string& name) {
        const Weight weight = backend.place(prepared.weight.host);
        Owned out({c.tokens, c.heads, c.outputs + c.carried}, type, c.gap);
        backend.run(op::LinearHeads{.x = prepared.x.tensor, .weight = &weight, .out = out.tensor});
        test::expect_close(out, prepared.expected, prepared.tolerance, name);

        // Each token alone, and two at once.
        for (const int64_t count : {1, 2}) {
          if (c.tokens < count) continue;
          Owned parts({c.tokens, c.heads, c.outputs + c.carried}, type, c.gap);
          for (int64_t t = 0; t < c.tokens; t += count) {
            const int64_t taken = std::min(count, c.tokens - t);
            backend.run(op::LinearHeads{.x = prepared.x.tensor.slice(t, taken),
                                        .weight = &weight,
                                        .out = parts.tensor.slice(t, taken)});
          }
          test::expect_same_bits(parts, out, cat(name, ", tokens by ", count));
        }
      });
    }
  }
}

}  // namespace
}  // namespace spate
