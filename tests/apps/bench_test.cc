// The arithmetic of `spate bench`: what a run adds to the warm-up before it, medians and spreads.
#include <gtest/gtest.h>

#include "apps/bench/measure.h"
#include "apps/bench/text.h"
#include "apps/profile_text.h"
#include "tests/apps/support.h"

namespace spate {
namespace {

BenchRun run_of(double seconds) {
  return {.seconds = seconds, .prompt_tokens = 1000, .output_tokens = 500};
}

TEST(Bench, StatsBetweenTakeTheWarmUpAway) {
  EngineStats before;
  before.steps = 2;
  before.rows = 2;
  before.prompt_tokens = 8;
  before.output_tokens = 2;
  before.busy_seconds = 1;
  before.kv_mean = 10;
  before.kv_peak = 10;
  before.steps_by_rows = {0, 2, 0};
  before.prefill = {.seconds = 0.5, .steps = 1, .rows = 1, .prompt_tokens = 8};
  before.profile = {{.name = "linear", .calls = 4, .seconds = 0.4, .bytes = 40, .flops = 400}};
  before.slices = {StepSlice{.seconds = 1, .steps = 2}};
  EngineStats after = before;
  after.steps = 12;
  after.rows = 22;
  after.prompt_tokens = 108;
  after.output_tokens = 52;
  after.busy_seconds = 5;
  after.kv_mean = 42;  // 10 for one second, 50 for four
  after.steps_by_rows = {0, 2, 10};
  after.prefill = {.seconds = 2.5, .steps = 3, .rows = 5, .prompt_tokens = 108};
  after.profile = {{.name = "linear", .calls = 24, .seconds = 2.4, .bytes = 240, .flops = 2400},
                   {.name = "draw", .calls = 3, .seconds = 0.1}};
  after.slices.push_back({});
  after.slices.push_back({.seconds = 4, .steps = 10});

  const EngineStats stats = stats_between(before, after, 1);
  EXPECT_EQ(stats.steps, 10);
  EXPECT_EQ(stats.rows, 20);
  EXPECT_EQ(stats.prompt_tokens, 100);
  EXPECT_EQ(stats.output_tokens, 50);
  EXPECT_NEAR(stats.kv_mean, 50, 1e-9);
  EXPECT_EQ(stats.steps_by_rows, (std::vector<int64_t>{0, 0, 10}));
  EXPECT_EQ(stats.prefill.prompt_tokens, 100);
  EXPECT_NEAR(stats.prefill.seconds, 2, 1e-9);
  EXPECT_EQ(stats.slices.size(), 2U);
  EXPECT_EQ(stats.profile[0].calls, 20);
  EXPECT_EQ(stats.profile[1].calls, 3);
}

TEST(Bench, MediansAndSpreads) {
  const BenchMetric& seconds =
      *std::find_if(bench_metrics().begin(), bench_metrics().end(),
                    [](const BenchMetric& metric) { return metric.key == "seconds"; });
  const std::vector<BenchRun> odd{run_of(5), run_of(1), run_of(2)};
  EXPECT_EQ(spread_of(odd, seconds).median, 2);
  EXPECT_EQ(spread_of(odd, seconds).least, 1);
  EXPECT_EQ(spread_of(odd, seconds).most, 5);
  EXPECT_EQ(typical_run(odd).seconds, 2);
  const std::vector<BenchRun> even{run_of(5), run_of(1), run_of(2), run_of(3)};
  EXPECT_EQ(spread_of(even, seconds).median, 2.5);
  EXPECT_EQ(typical_run(even).seconds, 2);
}

TEST(Bench, RatesAreTokensByTime) {
  const Json json = bench_case_json({.what = {.name = "x"}, .runs = {run_of(10)}});
  const auto median = [&](std::string_view key) {
    return apps_test::at(json, {"metrics", key, "median"}).as_number();
  };
  EXPECT_EQ(median("total_tokens_per_second"), 150);
  EXPECT_EQ(median("prompt_tokens_per_second"), 100);
  EXPECT_EQ(median("output_tokens_per_second"), 50);
  EXPECT_EQ(median("decode_tokens_per_second"), 0);  // nothing ran
}

TEST(Bench, CaseSizes) {
  BenchCase one;
  one.requests.resize(2);
  one.requests[0].prompt = {1, 2, 3};
  one.requests[0].params.max_tokens = 10;
  one.requests[1].prompt = {1};
  one.requests[1].params.max_tokens = 4;
  one.requests[1].params.n = 2;
  EXPECT_EQ(one.prompt_tokens(), 4);
  EXPECT_EQ(one.output_tokens(), 18);
  EXPECT_EQ(one.longest(), 13);
}

TEST(Bench, ProfileTableAccountsForAllTime) {
  EngineStats stats;
  EXPECT_EQ(profile_text(stats), "");
  stats.busy_seconds = 4;
  stats.rates = DeviceRates{.read_bytes = 3e9, .matrix_ops = 2e12, .packed_ops = 5e12};
  stats.profile = {{.name = "attention",
                    .calls = 40,
                    .seconds = 1,
                    .floor_seconds = 0.25,
                    .kernels = {{"decode", 32}, {"mixed", 8}}},
                   {.name = "linear",
                    .calls = 2,
                    .seconds = 2,
                    .bytes = 4'000'000'000,
                    .flops = 1'000'000'000'000,
                    .floor_seconds = 1.5,
                    .kernels = {{"stream", 2}}}};
  EXPECT_EQ(
      profile_text(stats),
      "  op                       calls   seconds   share     GB/s  TFLOP/s  roofline  kernels\n"
      "  linear                       2     2.000   50.0%     2.00    0.500     75.0%  stream\n"
      "  attention                   40     1.000   25.0%    0.000    0.000     25.0%  decode 32, "
      "mixed 8\n"
      "  all ops                     42     3.000   75.0%     1.33    0.333     58.3%\n"
      "  between ops                        1.000   25.0%\n"
      "  roofline: reads 3.00 GB/s, multiplies 2.00 TFLOP/s, packed weights 5.00 TFLOP/s; measured "
      "on this device before the run\n");
}

}  // namespace
}  // namespace spate
