// Rotary positions, the writing of keys and values, and the fused op that does both after the
// norms.
#include "tests/reference/rope.h"

#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "tests/ops/support.h"
#include "tests/reference/norm.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;

struct RopeCase {
  int64_t tokens, heads, width, rotated;
  RopePairs pairs = RopePairs::halves;
  float magnitude = 1;
};

const std::vector<RopeCase> kCases = {
    {1, 1, 2, 2},
    {5, 9, 64, 64},
    {5, 9, 64, 64, RopePairs::neighbours},
    {7, 4, 80, 32, RopePairs::halves, 1.25F},  // only a part turns
    {7, 4, 80, 20, RopePairs::neighbours, 0.5F},
    {3, 2, 96, 96},
    {70, 8, 128, 128},
    {70, 8, 128, 128, RopePairs::neighbours},
};

Owned frequencies_of(const RopeCase& c) {
  Owned out({c.rotated / 2});
  out.fill([&](int64_t i, int64_t) {
    return std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(c.rotated));
  });
  return out;
}

// Small ones, and as far out as contexts go.
Owned positions_of(int64_t tokens, Random& random) {
  std::vector<int64_t> positions{0};
  for (int64_t t = 1; t < tokens; ++t) {
    positions.push_back(t % 3 == 0 ? random.whole(0, 1 << 20) : random.whole(0, 4096));
  }
  return test::integers({tokens}, positions);
}

std::vector<double> turned(const RopeCase& c, const std::vector<double>& x, int64_t heads,
                           const Owned& positions, const Owned& frequencies) {
  std::vector<double> out;
  const std::span<const float> angles(frequencies.tensor.as<float>(),
                                      static_cast<size_t>(c.rotated / 2));
  const auto width = static_cast<size_t>(c.width);
  for (size_t i = 0; i < x.size(); i += width) {
    const auto token = static_cast<int64_t>(i / width) / heads;
    const std::vector<double> head =
        reference::rope(std::span(x).subspan(i, width), static_cast<int>(positions.at(token, 0)),
                        angles, static_cast<double>(c.magnitude), c.pairs == RopePairs::neighbours);
    out.insert(out.end(), head.begin(), head.end());
  }
  return out;
}

// Sine and cosine are good to 1e-7, whatever the position; x is of size 1 to 5.
constexpr double kTolerance = 2e-6;

TEST(RopeApply, MatchesThePlainRotation) {
  Random random(1);
  for (const RopeCase& c : kCases) {
    const Owned x = random.normal_tensor({c.tokens, c.heads, c.width}, DType::f32, 8);
    const Owned frequencies = frequencies_of(c), positions = positions_of(c.tokens, random);
    const std::vector<double> expected = turned(c, x.values(), c.heads, positions, frequencies);
    test::for_each_setup("rope", [&](Backend& backend, const std::string& name) {
      Owned out = x;
      backend.run(op::RopeApply{
          .x = out.tensor,
          .positions = positions.tensor,
          .rope = {.frequencies = frequencies.tensor, .magnitude = c.magnitude, .pairs = c.pairs}});
      test::expect_close(out, expected, kTolerance, name);
    });
  }
}

// Sines and cosines themselves: a head of pairs (1, 0) at every position.
TEST(RopeApply, AnglesAreExactFarOut) {
  const std::vector<float> angles{1,     0.7853982F, 1.5707964F, 3.1415927F,
                                  1e-3F, 0.1F,       6.2831853F, 2};
  const auto pairs = static_cast<int64_t>(angles.size());
  Owned frequencies({pairs});
  frequencies.fill([&](int64_t i, int64_t) { return angles[static_cast<size_t>(i)]; });
  std::vector<int64_t> wanted;
  for (int64_t p = 0; p < 2000; ++p) wanted.push_back(p < 1000 ? p : p * 1047);
  const Owned positions = test::integers({2000}, wanted);
  Owned x({2000, 1, 2 * pairs});
  x.fill([&](int64_t, int64_t i) { return i < pairs ? 1 : 0; });
  std::vector<double> expected;
  for (const int64_t p : wanted) {
    for (int64_t i = 0; i < 2 * pairs; ++i) {
      const double angle =
          static_cast<double>(p) * static_cast<double>(angles[static_cast<size_t>(i % pairs)]);
      expected.push_back(i < pairs ? std::cos(angle) : std::sin(angle));
    }
  }
  test::for_each_setup("rope", [&](Backend& backend, const std::string& name) {
    Owned out = x;
    backend.run(op::RopeApply{.x = out.tensor,
                              .positions = positions.tensor,
                              .rope = {.frequencies = frequencies.tensor}});
    test::expect_close(out, expected, 1.5e-7, name);
  });
}

// A cache of `slots` slots and a table that sends T tokens to some of them.
struct Cache {
  Cache(int64_t tokens, int64_t kv_heads, int64_t width, DType type)
      : keys({3 * tokens + 1, kv_heads, width}, type, 4),
        values({3 * tokens + 1, kv_heads, width}, type, 4) {
    for (int64_t t = 0; t < tokens; ++t) slots.push_back(1 + 3 * (tokens - 1 - t));
    slot.emplace(test::integers({tokens}, slots));
  }
  KvView view() const {
    return {.keys = keys.tensor, .values = values.tensor, .slot = slot->tensor};
  }
  // The written rows in order of the tokens; all other rows must still be NaN.
  Owned written(const Owned& from, const std::string& what) const {
    Owned out({static_cast<int64_t>(slots.size()), from.tensor.shape[1], from.tensor.shape[2]},
              from.tensor.dtype);
    std::vector<bool> used(static_cast<size_t>(from.rows()));
    for (size_t t = 0; t < slots.size(); ++t) {
      used[static_cast<size_t>(slots[t])] = true;
      for (int64_t i = 0; i < from.columns(); ++i) {
        out.set(static_cast<int64_t>(t), i, from.at(slots[t], i));
      }
    }
    for (int64_t row = 0; row < from.rows(); ++row) {
      if (used[static_cast<size_t>(row)]) continue;
      for (int64_t i = 0; i < from.columns(); ++i) {
        EXPECT_TRUE(std::isnan(from.at(row, i))) << what << ": slot " << row << " was written";
      }
    }
    from.expect_guarded(what);
    return out;
  }
  Owned keys, values;
  std::vector<int64_t> slots;
  std::optional<Owned> slot;
};

// What an element of the cache's type may be off by, of a value of this size.
double rounding(DType type, double value) {
  const double half_unit = type == DType::f16 ? 0x1p-11 : type == DType::bf16 ? 0x1p-8 : 0x1p-24;
  return half_unit * std::abs(value) + (type == DType::f16 ? 0x1p-25 : 0);
}

TEST(KvWrite, ConvertsToTheCachesTypeInTheRightSlots) {
  Random random(2);
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    for (const auto& [tokens, kv_heads, width] :
         {std::array<int64_t, 3>{1, 1, 64}, {11, 3, 64}, {13, 2, 20}, {200, 2, 80}, {5, 1, 1}}) {
      Owned key = random.normal_tensor({tokens, kv_heads, width}, DType::f32, 3);
      Owned value = random.normal_tensor({tokens, kv_heads, width}, DType::f32, 5);
      key.set(0, 0, 1e-7);  // subnormal in f16
      value.set(0, 0, type == DType::f16 ? 65504 : 1e30);
      test::for_each_setup("kv_write", [&](Backend& backend, const std::string& name) {
        const Cache cache(tokens, kv_heads, width, type);
        backend.run(op::KvWrite{.key = key.tensor, .value = value.tensor, .kv = cache.view()});
        // To the nearest: the same bits as the conversion of one element.
        Owned expected_key({tokens, kv_heads, width}, type);
        Owned expected_value({tokens, kv_heads, width}, type);
        expected_key.fill([&](int64_t t, int64_t i) { return key.at(t, i); });
        expected_value.fill([&](int64_t t, int64_t i) { return value.at(t, i); });
        test::expect_same_bits(cache.written(cache.keys, name), expected_key, name + ", keys");
        test::expect_same_bits(cache.written(cache.values, name), expected_value,
                               name + ", values");
      });
    }
  }
}

TEST(KvWrite, SpecialValues) {
  const std::vector<double> special{NAN, INFINITY, -INFINITY, 0, -0.0, 1e6, -1e6, 65519.9, 65520};
  const auto count = static_cast<int64_t>(special.size());
  Owned key({1, 1, count});
  key.fill([&](int64_t, int64_t i) { return special[static_cast<size_t>(i)]; });
  for (const DType type : {DType::f32, DType::f16, DType::bf16}) {
    test::for_each_setup("kv_write", [&](Backend& backend, const std::string& name) {
      const Cache cache(1, 1, count, type);
      backend.run(op::KvWrite{.key = key.tensor, .value = key.tensor, .kv = cache.view()});
      for (int64_t i = 0; i < count; ++i) {
        Owned expected({1}, type);
        expected.set(0, 0, key.at(0, i));
        const double found = cache.keys.at(1, i);
        EXPECT_TRUE(found == expected.at(0, 0) || (i == 0 && std::isnan(found)))
            << name << ": " << special[static_cast<size_t>(i)] << " became " << found;
      }
    });
  }
}

TEST(QkvNormRopeWrite, IsNormThenRopeThenWrite) {
  Random random(3);
  for (const RopeCase& c : kCases) {
    for (const bool norm : {false, true}) {
      const int64_t kv_heads = c.heads % 2 == 0 ? c.heads / 2 : 1;
      const Owned q = random.normal_tensor({c.tokens, c.heads, c.width}, DType::f32, 8);
      const Owned key = random.normal_tensor({c.tokens, kv_heads, c.width}, DType::f32, 3);
      const Owned value = random.normal_tensor({c.tokens, kv_heads, c.width}, DType::f32, 3);
      const Owned q_norm = random.normal_tensor({c.width}),
                  k_norm = random.normal_tensor({c.width});
      const Owned frequencies = frequencies_of(c), positions = positions_of(c.tokens, random);
      const Rope rope{
          .frequencies = frequencies.tensor, .magnitude = c.magnitude, .pairs = c.pairs};
      const auto normed = [&](const Owned& x, const Owned& weight) {
        if (!norm) return x.values();
        const std::vector<double> values = x.values();
        const std::span<const float> weights(weight.tensor.as<float>(),
                                             static_cast<size_t>(c.width));
        std::vector<double> out;
        for (size_t i = 0; i < values.size(); i += weights.size()) {
          const std::vector<double> head =
              reference::rms_norm(std::span(values).subspan(i, weights.size()), weights, 1e-6F);
          out.insert(out.end(), head.begin(), head.end());
        }
        return out;
      };
      const auto expected_q = turned(c, normed(q, q_norm), c.heads, positions, frequencies);
      const auto expected_key = turned(c, normed(key, k_norm), kv_heads, positions, frequencies);
      std::vector<double> tolerance;
      for (const double v : expected_key)
        tolerance.push_back(2 * kTolerance + rounding(DType::f16, v));

      test::for_each_setup("qkv_norm_rope_write", [&](Backend& backend, const std::string& name) {
        Owned fused_q = q, fused_key = key;
        const Cache fused(c.tokens, kv_heads, c.width, DType::f16);
        backend.run(op::QkvNormRopeWrite{.q = fused_q.tensor,
                                         .key = fused_key.tensor,
                                         .value = value.tensor,
                                         .q_norm = norm ? q_norm.tensor : Tensor{},
                                         .k_norm = norm ? k_norm.tensor : Tensor{},
                                         .positions = positions.tensor,
                                         .rope = rope,
                                         .kv = fused.view()});
        test::expect_close(fused_q, expected_q, 2 * kTolerance, name + ", q");
        test::expect_close(fused.written(fused.keys, name), expected_key, tolerance,
                           name + ", cached keys");

        Owned plain_q = q, plain_key = key;
        const Cache plain(c.tokens, kv_heads, c.width, DType::f16);
        if (norm) {
          backend.run(
              op::RmsNorm{.x = plain_q.tensor, .weight = q_norm.tensor, .out = plain_q.tensor});
          backend.run(
              op::RmsNorm{.x = plain_key.tensor, .weight = k_norm.tensor, .out = plain_key.tensor});
        }
        for (const Tensor& x : {plain_q.tensor, plain_key.tensor}) {
          backend.run(op::RopeApply{.x = x, .positions = positions.tensor, .rope = rope});
        }
        backend.run(
            op::KvWrite{.key = plain_key.tensor, .value = value.tensor, .kv = plain.view()});
        test::expect_same_bits(fused_q, plain_q, name + ", q against plain");
        test::expect_same_bits(fused_key, plain_key, name + ", key against plain");
        test::expect_same_bits(fused.keys, plain.keys, name + ", cached keys against plain");
        test::expect_same_bits(fused.values, plain.values, name + ", cached values against plain");
      });
    }
  }
}

}  // namespace
}  // namespace spate
