// Rotary positions, the writing of keys and values, and the fused op that does both after the
// norms.
#include "tests/reference/rope.h"

#include <gtest/gtest.h>

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
  int64_t gap = 3;    // between rows; with 8, vectors are aligned
  int64_t begin = 0;  // the first element that turns
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
    {33, 32, 128, 128, RopePairs::halves, 1, 8},
    {9, 4, 128, 128, RopePairs::neighbours, 0.75F, 8},
    {5, 3, 64, 64, RopePairs::halves, 1.25F, 8},
    {5, 3, 32, 32, RopePairs::neighbours, 1, 8},
    {5, 3, 64, 32, RopePairs::halves, 1, 8},
    {6, 5, 80, 32, RopePairs::neighbours, 1.25F, 8},
    {3, 2, 256, 256, RopePairs::halves, 1, 8},
};

// The end of a head turns alone.
const std::vector<RopeCase> kEnds = {
    {7, 5, 24, 8, RopePairs::neighbours, 1, 3, 16},
    {9, 4, 192, 64, RopePairs::neighbours, 1.25F, 8, 128},
    {5, 3, 192, 64, RopePairs::halves, 1, 8, 128},
    {5, 3, 128, 32, RopePairs::halves, 1, 8, 64},
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
    const auto begin = static_cast<size_t>(c.begin);
    const std::vector<double> head = reference::rope(
        std::span(x).subspan(i + begin, width - begin), static_cast<int>(positions.at(token, 0)),
        angles, static_cast<double>(c.magnitude), c.pairs == RopePairs::neighbours);
    for (size_t d = 0; d < begin; ++d) out.push_back(x[i + d]);
    out.insert(out.end(), head.begin(), head.end());
  }
  return out;
}

// What an element of this type may be off by, of a value of this size.
double rounding(DType type, double value) {
  return test::epsilon_of(type) * std::abs(value) + (type == DType::f16 ? 0x1p-25 : 0);
}

// Sine and cosine are good to 1e-7, whatever the position; x is of size 1 to 5. Then comes the
// rounding to the type of the result.
constexpr double kTolerance = 2e-6;
std::vector<double> tolerance_of(const std::vector<double>& expected, double computed, DType type) {
  std::vector<double> out;
  for (const double value : expected) {
    out.push_back(computed + (type == DType::f32 ? 0 : rounding(type, value)));
  }
  return out;
}

void check_rope(const std::vector<RopeCase>& cases) {
  Random random(1);
  for (const RopeCase& c : cases) {
    for (const DType type : test::activation_types()) {
      const Owned x = random.normal_tensor({c.tokens, c.heads, c.width}, type, c.gap);
      const Owned frequencies = frequencies_of(c), positions = positions_of(c.tokens, random);
      const std::vector<double> expected = turned(c, x.values(), c.heads, positions, frequencies);
      const std::vector<double> tolerance = tolerance_of(expected, kTolerance, type);
      test::for_each_setup("rope", type, [&](Backend& backend, const std::string& name) {
        Owned out = x;
        backend.run(op::RopeApply{
            .x = out.tensor,
            .positions = positions.tensor,
            .rope = {.frequencies = frequencies.tensor, .magnitude = c.magnitude, .pairs = c.pairs},
            .begin = c.begin});
        test::expect_close(out, expected, tolerance, name);
      });
    }
  }
}

TEST(RopeApply, MatchesThePlainRotation) { check_rope(kCases); }
TEST(RopeApply, TurnsTheEndOfAHead) { check_rope(kEnds); }

// A row's bits are the same wherever it lies: aligned heads may take another way.
TEST(RopeApply, BitsDoNotDependOnTheGaps) {
  Random random(4);
  for (const RopePairs pairs : {RopePairs::halves, RopePairs::neighbours}) {
    const RopeCase c{20, 6, 128, 128, pairs};
    const Owned frequencies = frequencies_of(c), positions = positions_of(c.tokens, random);
    for (const DType type : test::activation_types()) {
      const Owned x = random.normal_tensor({c.tokens, c.heads, c.width}, type, 8);
      Owned other({c.tokens, c.heads, c.width}, type, 3);
      other.fill([&](int64_t row, int64_t column) { return x.at(row, column); });
      test::for_each_setup("rope", type, [&](Backend& backend, const std::string& name) {
        const Owned out = x, out_of_other = other;
        for (const Tensor& some : {out.tensor, out_of_other.tensor}) {
          backend.run(op::RopeApply{.x = some,
                                    .positions = positions.tensor,
                                    .rope = {.frequencies = frequencies.tensor, .pairs = pairs}});
        }
        test::expect_same_bits(out_of_other, out, name);
      });
    }
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
  std::vector<double> expected;
  for (const int64_t p : wanted) {
    for (int64_t i = 0; i < 2 * pairs; ++i) {
      const double angle =
          static_cast<double>(p) * static_cast<double>(angles[static_cast<size_t>(i % pairs)]);
      expected.push_back(i < pairs ? std::cos(angle) : std::sin(angle));
    }
  }
  for (const DType type : test::activation_types()) {
    Owned x({2000, 1, 2 * pairs}, type);
    x.fill([&](int64_t, int64_t i) { return i < pairs ? 1 : 0; });
    const std::vector<double> tolerance = tolerance_of(expected, 1.5e-7, type);
    test::for_each_setup("rope", type, [&](Backend& backend, const std::string& name) {
      Owned out = x;
      backend.run(op::RopeApply{.x = out.tensor,
                                .positions = positions.tensor,
                                .rope = {.frequencies = frequencies.tensor}});
      test::expect_close(out, expected, tolerance, name);
    });
  }
}

// A cache of `slots` slots and a table that sends T tokens to some of them.
struct Cache {
  Cache(int64_t tokens, int64_t kv_heads, int64_t width, DType type)
      : keys({3 * tokens + 1, kv_heads, width}, type, 8),
        values({3 * tokens + 1, kv_heads, width}, type, 8) {
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

constexpr DType kCacheTypes[] = {DType::f32, DType::f16, DType::bf16};

struct WriteCase {
  int64_t tokens, kv_heads, width, gap = 3;
};

void check_write(const WriteCase& c, DType type, DType cache_type, Random& random) {
  const Shape shape{c.tokens, c.kv_heads, c.width};
  Owned key = random.normal_tensor(shape, type, c.gap);
  Owned value = random.normal_tensor(shape, type, 2 * c.gap);
  key.set(0, 0, 1e-7);  // subnormal in f16
  value.set(0, 0, cache_type == DType::f16 ? 65504 : 1e30);
  test::for_each_setup("kv_write", type, [&](Backend& backend, const std::string& name) {
    const Cache cache(c.tokens, c.kv_heads, c.width, cache_type);
    backend.run(op::KvWrite{.key = key.tensor, .value = value.tensor, .kv = cache.view()});
    // To the nearest: the same bits as the conversion of one element.
    Owned expected_key(shape, cache_type), expected_value(shape, cache_type);
    expected_key.fill([&](int64_t t, int64_t i) { return key.at(t, i); });
    expected_value.fill([&](int64_t t, int64_t i) { return value.at(t, i); });
    test::expect_same_bits(cache.written(cache.keys, name), expected_key, name + ", keys");
    test::expect_same_bits(cache.written(cache.values, name), expected_value, name + ", values");
  });
}

TEST(KvWrite, ConvertsToTheCachesTypeInTheRightSlots) {
  Random random(2);
  for (const DType cache_type : kCacheTypes) {
    for (const DType type : test::activation_types()) {
      for (const WriteCase& c : {WriteCase{1, 1, 64},
                                 {11, 3, 64},
                                 {13, 2, 20},
                                 {200, 2, 80},
                                 {5, 1, 1},
                                 {11, 3, 64, 8},
                                 {200, 2, 80, 8},
                                 {2, 1, 2000}}) {
        check_write(c, type, cache_type, random);
      }
    }
  }
}

// Values of another width than keys, and those that lie in their keys.
TEST(KvWrite, NarrowValuesAndNone) {
  Random random(5);
  for (const DType type : test::activation_types()) {
    const Owned key = random.normal_tensor({7, 1, 40}, type, 8);
    const Owned value = random.normal_tensor({7, 1, 28}, type, 8);
    Owned expected_key({7, 1, 40}, DType::bf16), expected_value({7, 1, 28}, DType::bf16);
    expected_key.fill([&](int64_t t, int64_t i) { return key.at(t, i); });
    expected_value.fill([&](int64_t t, int64_t i) { return value.at(t, i); });
    test::for_each_setup("kv_write", type, [&](Backend& backend, const std::string& name) {
      const Cache cache(7, 1, 40, DType::bf16), narrow(7, 1, 28, DType::bf16);
      KvView kv = cache.view();
      kv.values = narrow.values.tensor;
      backend.run(op::KvWrite{.key = key.tensor, .value = value.tensor, .kv = kv});
      test::expect_same_bits(cache.written(cache.keys, name), expected_key, name + ", keys");
      test::expect_same_bits(narrow.written(narrow.values, name), expected_value, name);

      const Cache other(7, 1, 40, DType::bf16);
      kv = other.view();
      kv.values = kv.keys.columns(0, {1, 28});
      backend.run(op::KvWrite{.key = key.tensor, .kv = kv});
      test::expect_same_bits(other.written(other.keys, name), expected_key, name + ", alone");
    });
  }
}

// A cache in eight bits, and what its heads mean.
struct ScaledCache : Cache {
  ScaledCache(int64_t tokens, int64_t kv_heads, int64_t width)
      : Cache(tokens, kv_heads, width, DType::e4m3),
        scales({kv_heads, keys.rows(), 2}, DType::bf16) {}
  KvView view() const {
    KvView kv = Cache::view();
    kv.scales = scales.tensor;
    return kv;
  }
  // `which` is 0 for keys, 1 for values.
  double scale(int64_t token, int64_t head, int64_t which) const {
    return scales.at(head, 2 * slots[static_cast<size_t>(token)] + which);
  }
  // Codes times scales, token after token.
  std::vector<double> meant(const Owned& from, int64_t which, const std::string& what) const {
    const Owned codes = written(from, what);
    const int64_t width = codes.tensor.shape[2];
    std::vector<double> out;
    for (int64_t t = 0; t < codes.rows(); ++t) {
      for (int64_t i = 0; i < codes.columns(); ++i) {
        out.push_back(codes.at(t, i) * scale(t, i / width, which));
      }
    }
    return out;
  }
  Owned scales;
};

// Heads of very different sizes, one of them zeros; and elements just above the largest code.
Owned heads_of_many_sizes(const Shape& shape, DType type, int64_t gap, Random& random) {
  Owned out(shape, type, gap);
  for (int64_t t = 0; t < shape[0]; ++t) {
    for (int64_t h = 0; h < shape[1]; ++h) {
      const double size = std::ldexp(1, static_cast<int>(random.whole(-40, 20)));
      for (int64_t d = h * shape[2]; d < (h + 1) * shape[2]; ++d) {
        out.set(t, d, t % 5 == 4 ? 0 : random.normal(size));
      }
    }
  }
  out.set(0, 0, 448);
  if (shape[0] > 1) out.set(1, 0, type == DType::bf16 ? 450 : 448.0001);
  return out;
}

TEST(KvWrite, EightBitsWithAScaleAHead) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  Random random(7);
  for (const DType type : test::activation_types()) {
    for (const WriteCase& c : {WriteCase{1, 1, 64},
                               {11, 3, 64},
                               {13, 2, 20},
                               {200, 2, 80},
                               {11, 3, 64, 8},
                               {70, 8, 128, 8},
                               {7, 2, 256, 8}}) {
      const Shape shape{c.tokens, c.kv_heads, c.width};
      const Owned key = heads_of_many_sizes(shape, type, c.gap, random);
      const Owned value = heads_of_many_sizes(shape, type, 2 * c.gap, random);
      test::for_each_gpu_setup("kv_write", [&](Backend& backend, const std::string& name) {
        if (backend.activation_type() != type) return;
        const ScaledCache cache(c.tokens, c.kv_heads, c.width);
        backend.run(op::KvWrite{.key = key.tensor, .value = value.tensor, .kv = cache.view()});
        for (const int64_t which : {0, 1}) {
          const Owned& from = which == 0 ? key : value;
          const Owned codes = cache.written(which == 0 ? cache.keys : cache.values, name);
          for (int64_t t = 0; t < c.tokens; ++t) {
            for (int64_t h = 0; h < c.kv_heads; ++h) {
              std::vector<double> head;
              for (int64_t d = 0; d < c.width; ++d) head.push_back(from.at(t, h * c.width + d));
              const double scale = reference::head_scale(head);
              ASSERT_EQ(cache.scale(t, h, which), scale) << name << ", token " << t << ", " << h;
              for (int64_t d = 0; d < c.width; ++d) {
                ASSERT_EQ(codes.at(t, h * c.width + d),
                          reference::round_e4m3(head[static_cast<size_t>(d)] / scale))
                    << name << ", token " << t << ", head " << h << ", element " << d;
              }
            }
          }
        }
        cache.scales.expect_guarded(name);
      });
    }
  }
}

TEST(KvWrite, SpecialValues) {
  const std::vector<double> special{NAN, INFINITY, -INFINITY, 0, -0.0, 1e6, -1e6, 65519.9, 65520};
  const auto count = static_cast<int64_t>(special.size());
  for (const DType type : test::activation_types()) {
    Owned key({1, 1, count}, type);
    key.fill([&](int64_t, int64_t i) { return special[static_cast<size_t>(i)]; });
    for (const DType cache_type : kCacheTypes) {
      test::for_each_setup("kv_write", type, [&](Backend& backend, const std::string& name) {
        const Cache cache(1, 1, count, cache_type);
        backend.run(op::KvWrite{.key = key.tensor, .value = key.tensor, .kv = cache.view()});
        for (int64_t i = 0; i < count; ++i) {
          const double expected = test::rounded(key.at(0, i), cache_type);
          const double found = cache.keys.at(1, i);
          EXPECT_TRUE(found == expected || (i == 0 && std::isnan(found)))
              << name << ": " << special[static_cast<size_t>(i)] << " became " << found;
        }
      });
    }
  }
}

// The values with each head normed, unless there is no weight.
std::vector<double> normed(const Owned& x, const Owned* weight) {
  const std::vector<double> values = x.values();
  if (weight == nullptr) return values;
  const std::span<const float> weights(weight->tensor.as<float>(),
                                       static_cast<size_t>(weight->rows()));
  std::vector<double> out;
  for (size_t i = 0; i < values.size(); i += weights.size()) {
    const std::vector<double> head =
        reference::rms_norm(std::span(values).subspan(i, weights.size()), weights, 1e-6F);
    out.insert(out.end(), head.begin(), head.end());
  }
  return out;
}

// What the fused op and the plain ones are given.
struct QkvInputs {
  QkvInputs(const RopeCase& c, DType type, Random& random)
      : kv_heads(c.heads % 2 == 0 ? c.heads / 2 : 1),
        q(random.normal_tensor({c.tokens, c.heads, c.width}, type, 2 * c.gap)),
        key(random.normal_tensor({c.tokens, kv_heads, c.width}, type, c.gap)),
        value(random.normal_tensor({c.tokens, kv_heads, c.width}, type, c.gap)),
        q_norm(random.normal_tensor({c.width})),
        k_norm(random.normal_tensor({c.width})),
        frequencies(frequencies_of(c)),
        positions(positions_of(c.tokens, random)),
        rope{.frequencies = frequencies.tensor, .magnitude = c.magnitude, .pairs = c.pairs} {}

  int64_t kv_heads;
  Owned q, key, value, q_norm, k_norm, frequencies, positions;
  Rope rope;
};

// The plain ops on the same inputs give the same bits.
void expect_like_plain_ops(Backend& backend, const QkvInputs& in, bool norm, const Owned& q,
                           const Owned& key, const Cache& fused, const std::string& name) {
  Owned plain_q = in.q, plain_key = in.key;
  const Cache plain(q.rows(), in.kv_heads, q.tensor.shape[2], fused.keys.tensor.dtype);
  if (norm) {
    backend.run(
        op::RmsNorm{.x = plain_q.tensor, .weight = in.q_norm.tensor, .out = plain_q.tensor});
    backend.run(
        op::RmsNorm{.x = plain_key.tensor, .weight = in.k_norm.tensor, .out = plain_key.tensor});
  }
  for (const Tensor& x : {plain_q.tensor, plain_key.tensor}) {
    backend.run(op::RopeApply{.x = x, .positions = in.positions.tensor, .rope = in.rope});
  }
  backend.run(op::KvWrite{.key = plain_key.tensor, .value = in.value.tensor, .kv = plain.view()});
  test::expect_same_bits(q, plain_q, name + ", q against plain");
  test::expect_same_bits(key, plain_key, name + ", key against plain");
  test::expect_same_bits(fused.keys, plain.keys, name + ", cached keys against plain");
  test::expect_same_bits(fused.values, plain.values, name + ", cached values against plain");
}

void check_fused(const RopeCase& c, bool norm, DType type, DType cache_type, Random& random) {
  const QkvInputs in(c, type, random);
  const auto expected_q =
      turned(c, normed(in.q, norm ? &in.q_norm : nullptr), c.heads, in.positions, in.frequencies);
  const auto expected_key = turned(c, normed(in.key, norm ? &in.k_norm : nullptr), in.kv_heads,
                                   in.positions, in.frequencies);
  std::vector<double> expected_value = in.value.values();
  for (double& value : expected_value) value = test::rounded(value, cache_type);
  test::for_each_setup("qkv_norm_rope_write", type, [&](Backend& backend, const std::string& name) {
    Owned q = in.q, key = in.key;
    const Cache cache(c.tokens, in.kv_heads, c.width, cache_type);
    backend.run(op::QkvNormRopeWrite{.q = q.tensor,
                                     .key = key.tensor,
                                     .value = in.value.tensor,
                                     .q_norm = norm ? in.q_norm.tensor : Tensor{},
                                     .k_norm = norm ? in.k_norm.tensor : Tensor{},
                                     .positions = in.positions.tensor,
                                     .rope = in.rope,
                                     .kv = cache.view()});
    // Rounded once, whatever the type: nothing is rounded between norm and turn.
    constexpr double kComputed = 2 * kTolerance;
    test::expect_close(q, expected_q, tolerance_of(expected_q, kComputed, type), name + ", q");
    test::expect_close(key, expected_key, tolerance_of(expected_key, kComputed, type),
                       name + ", key");
    test::expect_close(cache.written(cache.keys, name), expected_key,
                       tolerance_of(expected_key, kComputed, cache_type), name + ", cached keys");
    test::expect_close(cache.written(cache.values, name), expected_value, 0,
                       name + ", cached values");
    if (backend.device().kind == Device::Kind::cpu) {
      expect_like_plain_ops(backend, in, norm, q, key, cache, name);
    }
  });
}

// An element in eight bits is off by 2^-4 of itself, or by half a step of the smallest codes.
TEST(QkvNormRopeWrite, WritesEightBits) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  Random random(8);
  for (const RopeCase& c : kCases) {
    for (const DType type : test::activation_types()) {
      const QkvInputs in(c, type, random);
      const auto expected_key =
          turned(c, normed(in.key, &in.k_norm), in.kv_heads, in.positions, in.frequencies);
      const std::vector<double> expected_value = in.value.values();
      test::for_each_gpu_setup(
          "qkv_norm_rope_write", [&](Backend& backend, const std::string& name) {
            if (backend.activation_type() != type) return;
            Owned q = in.q, key = in.key;
            const ScaledCache cache(c.tokens, in.kv_heads, c.width);
            backend.run(op::QkvNormRopeWrite{.q = q.tensor,
                                             .key = key.tensor,
                                             .value = in.value.tensor,
                                             .q_norm = in.q_norm.tensor,
                                             .k_norm = in.k_norm.tensor,
                                             .positions = in.positions.tensor,
                                             .rope = in.rope,
                                             .kv = cache.view()});
            test::expect_close(key, expected_key, tolerance_of(expected_key, 2 * kTolerance, type),
                               name + ", key");
            for (const int64_t which : {0, 1}) {
              const std::vector<double>& expected = which == 0 ? expected_key : expected_value;
              const auto found = cache.meant(which == 0 ? cache.keys : cache.values, which, name);
              ASSERT_EQ(found.size(), expected.size());
              for (size_t i = 0; i < found.size(); ++i) {
                const auto head = static_cast<int64_t>(i) / c.width;
                const double scale = cache.scale(head / in.kv_heads, head % in.kv_heads, which);
                ASSERT_NEAR(found[i], expected[i],
                            std::abs(expected[i]) / 16 + std::ldexp(scale, -10) + 2 * kTolerance)
                    << name << ", element " << i;
              }
            }
          });
    }
  }
}

Owned with_gap(const Owned& x, int64_t gap) {
  Owned out(x.tensor.shape, x.tensor.dtype, gap);
  out.fill([&](int64_t row, int64_t column) { return x.at(row, column); });
  return out;
}

// Aligned heads of the usual widths may take another way.
TEST(QkvNormRopeWrite, BitsDoNotDependOnTheGaps) {
  if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  Random random(9);
  for (const RopePairs pairs : {RopePairs::halves, RopePairs::neighbours}) {
    for (const int64_t width : {32, 64, 128}) {
      for (const DType type : test::activation_types()) {
        const QkvInputs in({20, 7, width, width, pairs, 1.25F, 8}, type, random);
        test::for_each_gpu_setup(
            "qkv_norm_rope_write", [&](Backend& backend, const std::string& name) {
              if (backend.activation_type() != type) return;
              const ScaledCache cache(20, 1, width), other_cache(20, 1, width);
              const Owned q = in.q, key = in.key, other_q = with_gap(q, 3),
                          other_key = with_gap(key, 3);
              const auto run = [&](const Owned& some_q, const Owned& some_key, const KvView& kv) {
                backend.run(op::QkvNormRopeWrite{.q = some_q.tensor,
                                                 .key = some_key.tensor,
                                                 .value = in.value.tensor,
                                                 .q_norm = in.q_norm.tensor,
                                                 .k_norm = in.k_norm.tensor,
                                                 .positions = in.positions.tensor,
                                                 .rope = in.rope,
                                                 .kv = kv});
              };
              run(q, key, cache.view());
              run(other_q, other_key, other_cache.view());
              test::expect_same_bits(other_q, q, name + ", q");
              test::expect_same_bits(other_key, key, name + ", key");
              test::expect_same_bits(other_cache.keys, cache.keys, name + ", cached keys");
              test::expect_same_bits(other_cache.values, cache.values, name + ", cached values");
              test::expect_same_bits(other_cache.scales, cache.scales, name + ", scales");
            });
      }
    }
  }
}

TEST(QkvNormRopeWrite, IsNormThenRopeThenWrite) {
  Random random(3);
  for (const RopeCase& c : kCases) {
    for (const DType type : test::activation_types()) {
      for (const DType cache_type : kCacheTypes) {
        for (const bool norm : {false, true}) check_fused(c, norm, type, cache_type, random);
      }
    }
  }
}

}  // namespace
}  // namespace spate
