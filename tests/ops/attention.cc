// Attention against plain loops: head counts and widths, segments, cache types, windows, soft caps,
// sinks, trees, chunks and decodes in one step.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "tests/ops/attention_step.h"

namespace spate {
namespace {

using test::AttentionCase;
using test::Expected;
using test::PartCase;
using test::Past;
using test::Random;
using test::RowCase;
using test::StepOf;

std::vector<AttentionCase> cases() {
  std::vector<AttentionCase> out;
  const auto add = [&](AttentionCase c) { out.push_back(std::move(c)); };
  const std::vector<RowCase> mixed{{130, 1, {7, 1, 50}}, {40, 9, {40}},   {1, 1, {1}},
                                   {300, 70, {128, 1}},  {129, 1, {200}}, {257, 2, {1, 2, 3, 31}}};
  add({"smollm2", 9, 3, 64, mixed});
  add({"one_to_one", 4, 4, 64, mixed, DType::f32});
  add({"eight_to_one", 8, 1, 128, mixed, DType::bf16, 0, 0, false, 16});
  add({"width_32", 4, 2, 32, mixed, DType::bf16});
  add({"width_80", 10, 2, 80, mixed, DType::f16, 0, 0, false, 5});
  add({"width_96", 7, 1, 96, mixed, DType::f32});
  add({"width_256", 4, 1, 256, {{140, 20, {33}}, {131, 1, {64}}}, DType::f16, 0, 30});
  add({"width_20", 6, 3, 20, mixed, DType::f16, 0, 0, true, 3});  // no whole vectors
  add({"width_20_bf16", 2, 1, 20, {{140, 20, {33}}, {131, 1, {64}}}, DType::bf16});
  add({"window", 6, 2, 64, mixed, DType::f16, 33});
  add({"window_over_blocks", 6, 2, 64, {{700, 300, {99}}, {641, 1, {640, 1}}}, DType::f16, 200});
  add({"window_1", 2, 2, 32, {{150, 40, {13}}, {140, 1, {}}}, DType::f32, 1});
  add({"soft_cap", 4, 2, 64, mixed, DType::f16, 0, 2});
  add({"sinks", 9, 3, 64, mixed, DType::f16, 0, 0, true});
  add({"everything", 10, 5, 96, mixed, DType::bf16, 50, 5, true, 32});
  for (int share = 1; share <= 8; ++share) {
    add({cat("share_", share), share, 1, 32, {{135, 13, {50}}, {131, 1, {64}}}});
  }
  // One token each; what rows of many tokens leave to others; heads in more than one tile.
  const std::vector<RowCase> single{
      {130, 1, {7, 1, 50}}, {1, 1, {1}}, {64, 1, {}}, {65, 1, {64, 1}}};
  const std::vector<RowCase> many{{150, 90, {31, 1, 100}}, {70, 70, {}}};
  for (const int width : {64, 80, 96, 128, 256}) {
    const DType cache = width % 3 == 2 ? DType::f16 : DType::bf16;
    add({cat("single_", width), 6, 2, width, single, cache});
    add({cat("many_", width), 2, 1, width, many, cache});
    add({cat("single_all_", width), 8, 2, width, single, cache, 40, 20, true, 8});
    add({cat("many_all_", width), 4, 4, width, many, cache, 40, 20, true, 8});
  }
  // Tiles of 128 (or 64) keys of a bf16 cache: segments that begin and end inside of them, windows
  // smaller than they are, more queries and rows than one tile holds, large groups.
  const std::vector<RowCase> tiled{
      {400, 300, {70, 1, 129}}, {257, 257, {}}, {130, 2, {128, 1}}, {300, 33, {1}}, {129, 1, {}}};
  for (const int width : {64, 80, 96, 128, 256}) {
    add({cat("tiled_", width), 6, 2, width, tiled, DType::bf16});
    add({cat("tiled_all_", width), 3, 1, width, tiled, DType::bf16, 50, 20, true, 8});
  }
  add({"tiled_window", 8, 1, 64, {{700, 300, {99}}, {641, 20, {}}}, DType::bf16, 200});
  add({"tiled_one_to_one", 2, 2, 128, {{300, 300, {31, 200}}, {140, 50, {}}}, DType::bf16});
  add({"tiled_group_65", 65, 1, 64, {{140, 5, {9}}, {70, 70, {}}}, DType::bf16, 0, 0, true});
  std::vector<RowCase> rows_of_two(70, {20, 2, {}});  // more rows than a warp has lanes
  rows_of_two[40] = {90, 60, {50}};
  rows_of_two[68] = {140, 1, {}};
  add({"tiled_rows", 16, 2, 64, rows_of_two, DType::bf16});
  // More parts than a GPU has blocks: there each of four heads beside each other has a warp.
  std::vector<RowCase> ragged;
  for (int i = 0; i < 230; ++i) ragged.push_back({1 + i * 37 % 70, 1, {20}});
  ragged[3] = {300, 1, {130, 1}};
  add({"apart_64", 8, 8, 64, ragged, DType::bf16, 60, 20, true, 8});
  add({"apart_128", 16, 8, 128, ragged, DType::bf16});
  ragged[100] = {40, 2, {}};
  ragged[200] = {90, 60, {}};
  ragged.resize(400, {3, 1, {}});
  add({"apart_group_9", 36, 4, 64, ragged, DType::bf16, 30});
  add({"group_17", 17, 1, 64, {{100, 1, {9}}, {70, 2, {}}, {80, 33, {}}}, DType::f16});
  add({"group_40", 40, 1, 64, {{100, 1, {}}, {70, 1, {}}}, DType::bf16, 30});
  add({"width_320", 3, 1, 320, {{70, 3, {9}}, {65, 1, {}}}, DType::f16, 0, 0, true});
  add({"one_key", 4, 2, 64, {{1, 1, {}}}, DType::f16, 0, 0, true});
  const std::vector<RowCase> trees{
      {130, 30, {7, 1, 50}}, {64, 64, {}}, {300, 5, {128, 1}}, {90, 1, {}}, {260, 64, {250}}};
  for (const int width : {32, 64, 96, 128}) {
    AttentionCase c{cat("tree_", width), 6, 3, width, trees, DType::bf16};
    c.tree = true;
    add(c);
    c.name = cat("tree_all_", width);
    c.cache = DType::f16;
    c.window = 40;
    c.soft_cap = 20;
    c.sinks = true;
    add(c);
  }
  add({"segments_of_one", 4, 2, 64, {{90, 1, {1}}, {90, 20, {1}}}, DType::bf16});
  // Values narrower than keys, with memory of their own and in their keys.
  struct Widths {
    int heads, kv_heads, width, value_width;
    bool in_keys;
  };
  for (const auto& [heads, kv_heads, width, value_width, in_keys] :
       {Widths{6, 2, 96, 64, false}, Widths{4, 2, 64, 20, false}, Widths{5, 1, 24, 16, true},
        Widths{8, 1, 576, 512, true}, Widths{40, 1, 96, 64, true}}) {
    for (const DType cache : {DType::f32, DType::bf16}) {
      AttentionCase c{cat("values_", heads, "_", width, "_", value_width, "_", name_of(cache)),
                      heads,
                      kv_heads,
                      width,
                      mixed,
                      cache};
      c.value_width = value_width;
      c.in_keys = in_keys;
      if (width == 576) c.rows = {{140, 12, {7, 1, 50}}, {300, 1, {200}}, {3, 3, {}}};
      add(c);
      c.name += "_all";
      c.window = 40;
      c.soft_cap = 20;
      c.sinks = true;
      c.row_gap = 8;
      add(c);
    }
  }
  // The shape of the kernels of latent attention: heads of several tokens, of one, and of parts of
  // one in a tile.
  for (const int heads : {1, 20, 96, 128}) {
    AttentionCase c{cat("latent_", heads), heads, 1, 576, {}, DType::bf16};
    c.rows = {{140, 12, {7, 1, 50}}, {300, 1, {200}}, {129, 2, {64, 65}}, {3, 3, {}}};
    if (heads > 64) c.rows = {{70, 2, {7, 1, 50}}, {130, 1, {64}}};
    c.value_width = 512;
    c.in_keys = true;
    add(c);
    c.name += "_all";
    c.soft_cap = 20;
    c.sinks = true;
    c.row_gap = 8;
    add(c);
  }
  // In eight bits all that 16 bits have but values that lie in their keys.
  const size_t count = out.size();
  for (size_t i = 0; i < count; ++i) {
    AttentionCase c = out[i];
    if (c.cache != DType::bf16 || c.in_keys) continue;
    c.name += "_e4m3";
    c.cache = DType::e4m3;
    c.row_gap *= 2;  // bytes as before
    add(c);
  }
  return out;
}

// Rows that share keys: ragged behind them, beside rows that share nothing.
std::vector<RowCase> sharing_rows() {
  std::vector<RowCase> rows{{385, 1, {70, 1, 300}}};
  for (const int length : {464, 449, 394, 664}) {
    rows.push_back({length, 1, {9, 100}, 0, 384});
  }
  rows.push_back({130, 1, {}});
  rows.push_back({200, 1, {130}});
  for (const int length : {201, 256, 257}) rows.push_back({length, 1, {}, 6, 199});
  return rows;
}

std::vector<AttentionCase> sharing_cases() {
  std::vector<AttentionCase> out;
  for (const int width : {64, 80, 96, 128, 256}) {
    AttentionCase c{cat("width_", width), 6, 2, width, sharing_rows(), DType::bf16};
    c.parts = {{0, 5, 0, 384, 0}, {6, 4, 0, 128, 0}};
    out.push_back(c);
    c.name += "_all";
    c.kv_heads = 6;
    c.soft_cap = 20;
    c.sinks = true;
    c.row_gap = 8;
    c.parts = {{0, 5, 0, 128, 0}, {0, 5, 128, 256, 1}, {0, 5, 256, 384, 2}, {6, 4, 0, 128, 0}};
    c.rows.push_back({300, 70, {128, 1}});  // of many tokens, and of few
    c.rows.push_back({257, 2, {1, 2, 3, 31}});
    out.push_back(c);
  }
  AttentionCase nested{"nested", 8, 2, 64, {{700, 1, {300}}}, DType::bf16};
  for (int row = 1; row < 12; ++row) {
    nested.rows.push_back(
        row < 6 ? RowCase{650 + row, 1, {}, 0, 640}
                : RowCase{400 + row, 1, {64}, row == 6 ? 0 : 6, row == 6 ? 128 : 390});
  }
  nested.parts = {{0, 12, 0, 128, 0}, {0, 6, 128, 640, 1}, {6, 6, 128, 384, 1}};
  out.push_back(nested);
  AttentionCase many{"many", 3, 1, 64, {{300, 1, {}}}, DType::bf16};  // items of 42 rows
  for (int row = 1; row < 130; ++row) many.rows.push_back({200 + row, 1, {}, 0, 200});
  many.parts = {{0, 130, 0, 128, 0}};
  out.push_back(many);
  for (size_t i = 0, count = out.size(); i < count; ++i) {
    AttentionCase c = out[i];
    c.name += "_e4m3";
    c.cache = DType::e4m3;
    c.row_gap *= 2;  // bytes as before
    out.push_back(c);
  }
  AttentionCase passed_over = out.front();
  passed_over.name = "window";
  passed_over.window = 100;
  out.push_back(passed_over);
  passed_over.name = "f16";
  passed_over.window = 0;
  passed_over.cache = DType::f16;
  out.push_back(passed_over);
  return out;
}

class AttentionTest : public testing::TestWithParam<AttentionCase> {};

// A case's inputs for a type of hidden states, with what they give.
struct Prepared {
  Prepared(const AttentionCase& c, uint64_t seed, DType activation)
      : past(c, seed, activation), step(c, past, parts_of(c)), expected(expected_of(c, past)) {}
  void expect(Backend& backend, const std::string& name) {
    step.out(backend, past);
    test::expect_close(step.found(), expected.values, expected.tolerance, name);
  }
  Past past;
  StepOf step;
  Expected expected;
};

// Keeps what it has prepared, for the setups to come.
class PreparedByType {
 public:
  PreparedByType(AttentionCase c, uint64_t seed) : case_(std::move(c)), seed_(seed) {}
  const AttentionCase& of() const { return case_; }
  void expect(Backend& backend, const std::string& name) {
    const DType type = backend.activation_type();
    prepared_.try_emplace(type, case_, seed_, type).first->second.expect(backend, name);
  }

 private:
  AttentionCase case_;
  uint64_t seed_;
  std::map<DType, Prepared> prepared_;
};

TEST_P(AttentionTest, MatchesThePlainLoops) {
  const DType cache = GetParam().cache;
  if (cache == DType::e4m3 && !test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  PreparedByType prepared(GetParam(), 17);
  test::for_each_cache_setup("attention", cache, [&](Backend& backend, const std::string& name) {
    prepared.expect(backend, name);
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionTest, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(SharedKeys, AttentionTest, testing::ValuesIn(sharing_cases()),
                         [](const auto& info) { return info.param.name; });

// Rows find their shared keys in the slots of a part's first row alone.
TEST(Attention, SharedKeysAreReadOnceOnAGpu) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  for (AttentionCase c : sharing_cases()) {
    if (c.window > 0 || c.cache == DType::f16 || c.name.starts_with("nested")) continue;
    if (c.cache == DType::e4m3 && c.width > 128) continue;
    c.hollow = true;
    for (PartCase& part : c.parts) {
      for (int row = part.first_row + 1; row < part.first_row + part.rows; ++row) {
        RowCase& of_part = c.rows[static_cast<size_t>(row)];
        of_part.common = part.end;
      }
    }
    Prepared prepared(c, 31, DType::bf16);
    for (const char* kernels : {"", "attention=mixed"}) {
      const auto backend = open_cuda_backend({.activation = DType::bf16, .kernels = kernels}, 0);
      backend->set_waiting(true);
      prepared.expect(*backend, cat(c.name, " ", kernels));
    }
  }
}

// A value that no query may see yet, or no longer, touches nothing, whatever it is.
TEST(Attention, UnseenKeysTouchNothing) {
  AttentionCase c{"nan", 3, 1, 64, {{200, 60, {}}}, DType::f32, 100};
  Past past(c, 5);
  Past broken(c, 5);
  for (int d = 0; d < c.width; ++d) {
    for (const int position : {30, 180}) {
      broken.keys[0].set(position, d, std::numeric_limits<double>::quiet_NaN());
      broken.values[0].set(position, d, std::numeric_limits<double>::quiet_NaN());
    }
  }
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    StepOf whole(c, past, parts_of(c)), holed(c, broken, parts_of(c));
    whole.out(backend, past);
    holed.out(backend, broken);
    for (int t = 0; t < 60; ++t) {
      const int position = 140 + t;
      const bool sees = position >= 180;  // 30 left the window at position 130
      for (int i = 0; i < c.heads * c.width; ++i) {
        const double value = holed.found().at(t, i);
        ASSERT_TRUE(sees ? std::isnan(value) : value == whole.found().at(t, i))
            << name << ", position " << position << ": " << value;
      }
    }
  });
}

// Scores far apart, and some of them -infinity.
TEST(Attention, ExtremeScores) {
  AttentionCase c{"extreme", 2, 1, 32, {{300, 20, {}}}, DType::f32};
  Past past(c, 6);
  for (int p = 0; p < 300; ++p) {
    for (int d = 0; d < c.width; ++d) {
      past.keys[0].set(p, d, p < 128 || p % 7 == 0 ? -1e30 : 3 * past.keys[0].at(p, d));
    }
  }
  for (int p = 280; p < 300; ++p) {
    for (int i = 0; i < c.heads * c.width; ++i) past.queries[0].set(p, i, p % 2 == 0 ? 1e10 : 30);
  }
  const std::vector<double> expected = expected_of(c, past).values;
  StepOf step(c, past, parts_of(c));
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    step.out(backend, past);
    for (int64_t t = 0; t < 20; ++t) {
      for (int64_t i = 0; i < c.heads * c.width; ++i) {
        // The one key with the largest score wins, up to rounding of sums of size 1e3 to 1e12.
        ASSERT_NEAR(step.found().at(t, i), expected[static_cast<size_t>(t * c.heads * c.width + i)],
                    2e-3)
            << name << " at " << t << ", " << i;
      }
    }
  });
}

// A step of a few rows of any kind.
AttentionCase random_case(Random& random, int number) {
  const auto one_of = [&](std::initializer_list<int> list) {
    return list.begin()[random.whole(0, static_cast<int64_t>(list.size()) - 1)];
  };
  AttentionCase c{cat("random ", number)};
  c.kv_heads = one_of({1, 1, 2, 3});
  c.heads = c.kv_heads * one_of({1, 2, 3, 4, 7, 8, 20});
  c.width = one_of({64, 64, 80, 96, 128, 256, 24});
  std::vector types{DType::bf16, DType::f16, DType::bf16, DType::f16, DType::f32};
  if (test::has_gpu()) types.insert(types.end(), 3, DType::e4m3);
  c.cache = types[static_cast<size_t>(random.whole(0, std::ssize(types) - 1))];
  c.window = one_of({0, 0, 0, 1, 40, 64, 100});
  c.soft_cap = static_cast<float>(one_of({0, 0, 0, 3}));
  c.sinks = one_of({0, 0, 1}) == 1;
  c.row_gap = one_of({0, 0, 8, 16, 64, 3});
  c.tree = one_of({0, 0, 0, 1}) == 1;
  const int64_t rows = random.whole(1, 6);
  const bool single = random.whole(0, 2) == 0;  // one token each
  for (int64_t row = 0; row < rows; ++row) {
    RowCase next{.length = static_cast<int>(random.whole(1, one_of({3, 70, 200})))};
    next.tokens =
        single ? 1 : static_cast<int>(random.whole(1, std::min(next.length, one_of({1, 4, 60}))));
    for (int64_t segment = random.whole(0, 4); segment > 0; --segment) {
      next.segments.push_back(one_of({1, 2, 63, 64, 65, static_cast<int>(random.whole(1, 100))}));
    }
    c.rows.push_back(next);
  }
  return c;
}

// Ragged steps, all by every setup.
TEST(Attention, RandomSteps) {
  const int count = test::has_gpu() ? 300 : 25;
  Random random(99);
  std::vector<PreparedByType> prepared;
  for (int i = 0; i < count; ++i) prepared.emplace_back(random_case(random, i), 1000 + i);
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    for (PreparedByType& each : prepared) {
      const AttentionCase& c = each.of();
      if (c.cache == DType::e4m3 && backend.device().kind == Device::Kind::cpu) continue;
      std::string rows;
      for (const RowCase& row : c.rows) rows += cat(" ", row.tokens, "@", row.length);
      SCOPED_TRACE(cat(c.name, ": heads ", c.heads, "/", c.kv_heads, ", width ", c.width,
                       ", cache ", name_of(c.cache), ", window ", c.window, ", cap ", c.soft_cap,
                       ", sinks ", c.sinks, ", tree ", c.tree, ", gap ", c.row_gap, ", rows",
                       rows));
      // A kernel that is forced leaves out what it does not accept.
      test::run_setup(backend, name, name.find('=') != std::string::npos,
                      [&](Backend& same, const std::string& what) { each.expect(same, what); });
      if (testing::Test::HasFatalFailure()) return;
    }
  });
}

// So many rows that their heads share blocks, so long ones that they are cut into many pieces.
TEST(Attention, LongAndManyRowsOnAGpu) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  std::vector<AttentionCase> cases;
  cases.push_back({"long", 4, 1, 64, {{131072, 1, {1, 100000}}}, DType::bf16});
  AttentionCase many{"many", 4, 2, 64, {}, DType::f16};
  for (int row = 0; row < 300; ++row) many.rows.push_back({1 + row * 7919 % 150, 1, {30, 1}});
  cases.push_back(many);
  many.name = "many_mixed";
  many.rows[100].tokens = many.rows[100].length = 150;
  many.rows[299].tokens = many.rows[299].length;
  cases.push_back(many);
  AttentionCase ragged{"ragged",    4, 2, 128, {{9000, 1, {5000, 1}}, {3, 1, {}}},
                       DType::bf16, 0, 0, true};
  for (int row = 0; row < 30; ++row) ragged.rows.push_back({1 + row * 53, 1, {}});
  cases.push_back(ragged);
  // A part in many pieces among parts enough for each warp to have its own.
  AttentionCase apart{"apart", 8, 8, 64, {{6000, 1, {2000, 1}}}, DType::bf16};
  for (int row = 0; row < 300; ++row) apart.rows.push_back({1 + row * 37 % 20, 1, {}});
  cases.push_back(apart);
  apart.name = "apart_group_9";
  apart.heads = 36;
  apart.kv_heads = 4;
  cases.push_back(apart);
  for (size_t i = 0, count = cases.size(); i < count; ++i) {
    AttentionCase c = cases[i];
    c.name += "_e4m3";
    c.cache = DType::e4m3;
    cases.push_back(c);
  }
  AttentionCase latent{"latent", 16, 1, 576, {{5000, 1, {3000, 1}}, {3, 1, {}}}, DType::bf16};
  for (int row = 0; row < 12; ++row) latent.rows.push_back({1 + row * 53, 1 + row % 7 / 6, {}});
  latent.rows.push_back({300, 40, {100, 1}});
  latent.value_width = 512;
  latent.in_keys = true;
  cases.push_back(latent);
  latent = {"latent_heads", 128, 1, 576, {{1500, 1, {1000, 1}}, {20, 20, {}}, {1, 1, {}}},
            DType::bf16};
  latent.value_width = 512;
  latent.in_keys = true;
  cases.push_back(latent);
  for (const AttentionCase& c : cases) {
    SCOPED_TRACE(c.name);
    PreparedByType prepared(c, 3);
    test::for_each_gpu_setup("attention", [&](Backend& backend, const std::string& name) {
      prepared.expect(backend, name);
    });
  }
}

// No tokens, as a step without rows has them.
TEST(Attention, NoRows) {
  AttentionCase c{"none", 4, 2, 64, {}, DType::f16};
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    Past past(c, 1, backend.activation_type());
    StepOf step(c, past, {});
    step.out(backend, past);
    step.found().expect_guarded(name);
  });
}

}  // namespace
}  // namespace spate
