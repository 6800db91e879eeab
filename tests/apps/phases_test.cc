// Ramp, steady part and tail out of slices of time, and percentiles of rows.
#include "apps/phases.h"

#include <gtest/gtest.h>

namespace spate {
namespace {

// A slice of 0.1 s with one step.
StepSlice slice(int64_t rows, int64_t prompt, int64_t output) {
  return {
      .seconds = 0.1, .steps = 1, .rows = rows, .prompt_tokens = prompt, .output_tokens = output};
}

TEST(Phases, RampSteadyTail) {
  EngineStats stats;
  stats.slices = {slice(2, 100, 0), slice(6, 100, 2),                                   // fills
                  slice(10, 50, 8), slice(10, 40, 10), StepSlice{},   slice(9, 30, 9),  // full
                  slice(8, 0, 8),   slice(4, 0, 4),    slice(1, 0, 1)};                 // empties
  const Phases phases = find_phases(stats);
  EXPECT_NEAR(phases.ramp_seconds, 0.2, 1e-9);
  EXPECT_NEAR(phases.steady_seconds, 0.3, 1e-9);
  EXPECT_NEAR(phases.tail_seconds, 0.3, 1e-9);
  EXPECT_NEAR(phases.steady_prompt.per_second(), 120 / 0.3, 1e-6);
  EXPECT_NEAR(phases.steady_output.per_second(), 27 / 0.3, 1e-6);
  EXPECT_NEAR(phases.under_half_seconds, 0.3, 1e-9);  // of 2, 4 and 1 rows
  EXPECT_NEAR(phases.tail_cost_seconds, 0.3 - 13 / (147 / 0.3), 1e-9);
}

// Steps with prompts do not count, nor those whose rows have become fewer.
TEST(Phases, AFullStepOfOutputs) {
  EngineStats stats;
  stats.slices = {slice(8, 100, 0), slice(8, 10, 8), slice(8, 0, 8), slice(6, 0, 6)};
  const double step = find_phases(stats).full_decode_step_seconds;
  EXPECT_NEAR(step, stats.slices[2].seconds / static_cast<double>(stats.slices[2].steps), 1e-12);
  stats.slices.resize(2);
  EXPECT_EQ(find_phases(stats).full_decode_step_seconds, 0);
}

TEST(Phases, NothingRan) {
  const Phases phases = find_phases({});
  EXPECT_EQ(phases.ramp_seconds + phases.steady_seconds + phases.tail_seconds, 0);
  EXPECT_EQ(phases.steady_output.per_second(), 0);
  EXPECT_EQ(phases.tail_cost_seconds, 0);
}

TEST(Phases, ATailAsFastAsTheRestCostsNothing) {
  EngineStats stats;
  stats.slices = {slice(8, 10, 8), slice(8, 10, 8), slice(8, 0, 40)};
  EXPECT_EQ(find_phases(stats).tail_cost_seconds, 0);
  stats.slices = {slice(8, 0, 8), slice(4, 0, 8)};  // no prompts, so nothing is steady
  EXPECT_EQ(find_phases(stats).tail_cost_seconds, 0);
}

TEST(Phases, ThePartsAddUp) {
  EngineStats stats;
  for (int64_t i = 0; i < 50; ++i) stats.slices.push_back(slice(1 + i * 7 % 13, i % 3 * 5, i % 4));
  const Phases phases = find_phases(stats);
  EXPECT_NEAR(phases.ramp_seconds + phases.steady_seconds + phases.tail_seconds, 5.0, 1e-9);
}

TEST(Phases, RowsPercentile) {
  EngineStats stats;
  EXPECT_EQ(rows_percentile(stats, 0.5), 0);
  stats.steps_by_rows = {0, 10, 0, 80, 10};  // 10 steps of one row, 80 of three, 10 of four
  EXPECT_EQ(rows_percentile(stats, 0), 1);
  EXPECT_EQ(rows_percentile(stats, 0.1), 1);
  EXPECT_EQ(rows_percentile(stats, 0.11), 3);
  EXPECT_EQ(rows_percentile(stats, 0.9), 3);
  EXPECT_EQ(rows_percentile(stats, 1), 4);
}

}  // namespace
}  // namespace spate
