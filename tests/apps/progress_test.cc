// The live line: rates over the last seconds, time left by tokens, text and JSON.
#include "apps/progress.h"

#include <gtest/gtest.h>

#include <cmath>

#include "tests/apps/support.h"

namespace spate {
namespace {

ProgressCounts halfway() {
  return {.rows_total = 100,
          .rows_done = 40,
          .failed = 2,
          .running = 16,
          .waiting = 42,
          .prompt_tokens = 5000,
          .output_tokens = 3000,
          .done_prompt_tokens = 3800,
          .done_output_tokens = 1900,
          .answered = 38,
          .kv_share = 0.934,
          .hit_share = 0.12,
          .evictions = 1};
}

TEST(Progress, RatesAndTimeLeft) {
  ProgressMeter meter;
  meter.update(0, {.rows_total = 100});
  const ProgressRates rates = meter.update(10, halfway());
  EXPECT_NEAR(rates.prompt_rate, 500, 1e-9);
  EXPECT_NEAR(rates.output_rate, 300, 1e-9);
  // 44 rows of 100 + 50 tokens, and half of 50 for each of the 16 that run, at 800 a second.
  EXPECT_NEAR(rates.eta_seconds, 8.75, 1e-9);
}

TEST(Progress, RatesForgetWhatIsLongAgo) {
  ProgressMeter meter;
  double last = 0;
  for (int second = 0; second <= 100; ++second) {
    ProgressCounts counts{.rows_total = -1};
    counts.output_tokens = second <= 50 ? 1000 * second : 50000 + 10 * (second - 50);
    const ProgressRates rates = meter.update(second, counts);
    EXPECT_TRUE(std::isnan(rates.eta_seconds));
    last = rates.output_rate;
  }
  EXPECT_NEAR(last, 10, 1e-9);
}

TEST(Progress, TimeLeftAtTheEnds) {
  ProgressMeter meter;
  EXPECT_TRUE(std::isnan(meter.update(0, {.rows_total = 10}).eta_seconds));
  EXPECT_EQ(meter.update(1, {.rows_total = 10, .rows_done = 10}).eta_seconds, 0);
  EXPECT_EQ(ProgressMeter().update(0, {.rows_total = 0}).eta_seconds, 0);
}

TEST(Progress, Text) {
  const ProgressRates rates{.prompt_rate = 11020.4, .output_rate = 9840, .eta_seconds = 372};
  EXPECT_EQ(progress_text(halfway(), rates),
            "run 40% 40/100 rows | out 9,840 tok/s in 11,020 tok/s | rows 16 wait 42 kv 93% | "
            "hit 12% pre 1 err 2 | eta 6m12s");
  ProgressCounts pipe = halfway();
  pipe.rows_total = -1;
  const std::string text = progress_text(pipe, rates);
  EXPECT_EQ(text.substr(0, 13), "run 40 rows |");
  EXPECT_FALSE(apps_test::contains(text, "eta"));
}

TEST(Progress, JsonHasStableKeys) {
  const Json json = progress_json(12.34567, halfway(), {.eta_seconds = std::nan("")});
  std::string keys;
  for (const auto& [key, value] : json.as_object()) keys += key + " ";
  EXPECT_EQ(
      keys,
      "event seconds rows_done rows_total rows_failed rows_running rows_waiting "
      "prompt_tokens output_tokens prompt_tokens_per_second output_tokens_per_second kv_share "
      "prefix_hit_share evictions eta_seconds ");
  EXPECT_TRUE(json.find("eta_seconds")->is_null());
  EXPECT_EQ(parse_json(json.dump(), "progress"), json);
}

}  // namespace
}  // namespace spate
