// The final report: its numbers follow from the counts, text and JSON agree, and docs/report.md
// defines every key.
#include "apps/report.h"

#include <gtest/gtest.h>

#include <cmath>

#include "apps/bench/text.h"
#include "tests/apps/support.h"

namespace spate {
namespace {

using apps_test::at;
using apps_test::contains;

RunFacts facts() {
  RunFacts facts{
      .model = "tiny", .device = "CPU", .input = "in", .output = "out", .rows_read = 104};
  Tally tally;
  for (int i = 0; i < 100; ++i) {
    const double start = 0.1 * i;
    tally.count_answer({.submitted = start,
                        .started = start + 0.25,
                        .first_token = start + 0.5,
                        .finished = start + 2.5},
                       20, i % 2 == 0 ? 8 : 0, 11, {i < 90 ? "stop" : "length"});
  }
  tally.count_failure("invalid_json");
  tally.count_failure("prompt_too_long");
  tally.count_skipped();
  tally.count_dropped(1);
  facts.tally = tally.numbers();
  facts.times = {.load = 1.5, .run = 12.5, .flush = 0.25, .input_wait = 0.5, .output_wait = 0.125};
  facts.engine.steps = 50;
  facts.engine.rows = 400;
  facts.engine.prompt_tokens = 1600;
  facts.engine.output_tokens = 1100;
  facts.engine.steps_by_rows = {0, 0, 0, 0, 0, 0, 0, 0, 50};
  facts.engine.slices = {
      {.seconds = 0.1, .steps = 1, .rows = 8, .prompt_tokens = 60, .output_tokens = 20},
      {.seconds = 0.1, .steps = 1, .rows = 2, .output_tokens = 20}};
  facts.engine.kv_peak = 80;
  facts.engine.kv_mean = 40;
  facts.engine.scheduler = {.kv_slots = 100,
                            .evictions = 3,
                            .recomputed = 27,
                            .prompt_tokens = 2000,
                            .cached_tokens = 400};
  return facts;
}

TEST(Report, NumbersAddUp) {
  const Json report = report_json(facts());
  const auto number = [&](std::initializer_list<std::string_view> path) {
    return at(report, path).as_number();
  };
  EXPECT_EQ(number({"rows", "read"}), number({"rows", "ok"}) + number({"rows", "failed"}) +
                                          number({"rows", "skipped"}) +
                                          number({"rows", "dropped"}));
  EXPECT_EQ(number({"rows", "failed"}),
            number({"errors", "invalid_json"}) + number({"errors", "prompt_too_long"}));
  EXPECT_EQ(number({"finish", "stop"}) + number({"finish", "length"}), 100);
  EXPECT_EQ(number({"tokens", "prompt"}), 2000);
  EXPECT_EQ(number({"tokens", "cached"}), 400);
  EXPECT_EQ(number({"tokens", "output"}), 1100);
  EXPECT_NEAR(
      number({"seconds", "total"}),
      number({"seconds", "load"}) + number({"seconds", "run"}) + number({"seconds", "flush"}),
      1e-9);
  EXPECT_NEAR(number({"throughput", "rows_per_second"}), 100 / 12.5, 1e-6);
  EXPECT_NEAR(number({"throughput", "total_tokens_per_second"}), 3100 / 12.5, 1e-6);
  EXPECT_NEAR(number({"throughput", "total_tokens_per_second"}),
              number({"throughput", "prompt_tokens_per_second"}) +
                  number({"throughput", "output_tokens_per_second"}),
              1e-6);
  EXPECT_EQ(number({"batch", "mean_rows"}), 8);
  EXPECT_EQ(number({"batch", "p50_rows"}), 8);
  EXPECT_EQ(number({"batch", "mean_tokens_per_step"}), 54);
  EXPECT_NEAR(number({"kv", "peak_share"}), 0.8, 1e-9);
  EXPECT_NEAR(number({"kv", "mean_share"}), 0.4, 1e-9);
  EXPECT_NEAR(number({"kv", "recomputed_share"}), 0.01, 1e-6);
  EXPECT_NEAR(number({"prefix_hit_share"}), 0.2, 1e-9);
  EXPECT_NEAR(number({"latency_seconds", "queue", "p50"}), 0.25, 0.005);
  EXPECT_NEAR(number({"latency_seconds", "first_token", "p50"}), 0.5, 0.01);
  EXPECT_NEAR(number({"latency_seconds", "whole_row", "p99"}), 2.5, 0.03);
  EXPECT_NEAR(number({"latency_seconds", "per_output_token", "p50"}), 0.2, 0.004);
  EXPECT_NEAR(number({"tail", "last_rows_seconds"}), 0.5, 1e-9);
  EXPECT_NEAR(number({"tail", "cost_seconds"}), 0.1 - 20 / 800.0, 1e-9);
}

TEST(Report, Text) {
  const std::string text = report_text(facts());
  for (const char* part :
       {"rows        104  ok 100  failed 2  skipped 1  not finished 1",
        "finish      length 10  stop 90", "errors      invalid_json 1  prompt_too_long 1",
        "in 2,000 (cached 400)  out 1,100", "total 14.2 s = load 1.5 + run 12.5 + flush 0.2",
        "8.00 rows/s   in 160  out 88  total 248 tok/s", "preempted 3 rows (recomputed 27 tokens",
        "hit 20.0 %", "time under half batch 0.1 s  cost 0.1 s", "queue p50 252 ms"}) {
    EXPECT_TRUE(contains(text, part)) << part << " is not in\n" << text;
  }
  RunFacts stopped = facts();
  stopped.complete = false;
  stopped.stopped_by = "SIGINT";
  EXPECT_TRUE(contains(report_text(stopped), "by SIGINT"));
  stopped.engine.steps = 0;  // stopped before the first one
  EXPECT_TRUE(contains(report_text(stopped), "by SIGINT"));
  EXPECT_EQ(at(report_json(stopped), {"stopped_by"}), Json("SIGINT"));
}

TEST(Report, AnEmptyRunHasNoInfinities) {
  const std::string json = report_json({}).dump();
  EXPECT_FALSE(contains(json, "inf") || contains(json, "nan")) << json;
  EXPECT_FALSE(contains(report_text({}), "nan")) << report_text({});
}

TEST(Report, TailNeedsRows) {
  TallyNumbers tally;
  EXPECT_EQ(tail_seconds(tally, 0.05), 0);
  for (int i = 0; i < 100; ++i) tally.finish_times.push_back(i);
  EXPECT_NEAR(tail_seconds(tally, 0.05), 5, 1e-9);
}

TEST(Tally, KeepsAFewTimesOfMany) {
  Tally tally;
  constexpr int kRows = 300'000;
  for (int i = 0; i < kRows; ++i) tally.count_answer({.finished = i * 1.0}, 1, 0, 1, {"stop"});
  const TallyNumbers numbers = tally.numbers();
  EXPECT_EQ(numbers.ok, kRows);
  EXPECT_LE(numbers.finish_times.size(), size_t{1} << 16);
  EXPECT_GT(numbers.finish_times.size(), 10'000U);
  EXPECT_NEAR(tail_seconds(numbers, 0.05), 0.05 * kRows, 30);
}

// Every key of the object, at any depth. Names of errors and reasons are values, not keys.
void collect_keys(const Json& json, std::vector<std::string>& keys) {
  if (json.is_array()) {
    for (const Json& item : json.as_array()) collect_keys(item, keys);
  }
  if (!json.is_object()) return;
  for (const auto& [key, value] : json.as_object()) {
    keys.push_back(key);
    if (key != "errors" && key != "finish") collect_keys(value, keys);
  }
}

TEST(Report, EveryKeyIsDocumented) {
  const std::string page = read_file(SPATE_SOURCE_DIR "/docs/report.md");
  std::vector<std::string> keys;
  collect_keys(report_json(facts()), keys);
  BenchRun run;
  run.stats.rates.emplace();
  run.stats.profile.push_back({.name = "linear", .kernels = {{"stream", 1}}});
  collect_keys(bench_case_json({.what = {}, .runs = {run}}), keys);
  for (const std::string& key : keys) {
    EXPECT_TRUE(contains(page, "`" + key + "`")) << key << " is not in docs/report.md";
  }
}

}  // namespace
}  // namespace spate
