#include "apps/phases.h"

#include <algorithm>
#include <cmath>

namespace spate {
namespace {

double mean_rows(const StepSlice& slice) {
  return slice.steps == 0 ? 0 : static_cast<double>(slice.rows) / static_cast<double>(slice.steps);
}

void add(Rate& rate, const StepSlice& slice, int64_t tokens) {
  rate.seconds += slice.seconds;
  rate.tokens += tokens;
}

}  // namespace

Phases find_phases(const EngineStats& stats) {
  Phases phases;
  Rate steady, tail;  // tokens of both kinds
  const auto& slices = stats.slices;
  double most = 0;
  size_t last_prompt = 0;  // one past the last slice that computed prompt tokens
  for (size_t i = 0; i < slices.size(); ++i) {
    most = std::max(most, mean_rows(slices[i]));
    if (slices[i].prompt_tokens > 0) {
      last_prompt = i + 1;
    }
  }
  constexpr double kFull = 0.95;
  const auto is_full = [&](const StepSlice& slice) {
    return slice.steps > 0 && mean_rows(slice) >= kFull * most;
  };
  const auto full = std::find_if(slices.begin(), slices.end(), is_full);
  StepSlice full_decode;
  const size_t first_full = std::min(static_cast<size_t>(full - slices.begin()), last_prompt);
  for (size_t i = 0; i < slices.size(); ++i) {
    const StepSlice& slice = slices[i];
    if (i < first_full) {
      phases.ramp_seconds += slice.seconds;
    } else if (i < last_prompt) {
      phases.steady_seconds += slice.seconds;
      add(phases.steady_prompt, slice, slice.prompt_tokens);
      add(phases.steady_output, slice, slice.output_tokens);
      add(steady, slice, slice.prompt_tokens + slice.output_tokens);
    } else {
      phases.tail_seconds += slice.seconds;
      add(tail, slice, slice.output_tokens);
    }
    if (slice.prompt_tokens == 0 && is_full(slice)) {
      full_decode.seconds += slice.seconds;
      full_decode.steps += slice.steps;
    }
    if (mean_rows(slice) < most / 2) {
      phases.under_half_seconds += slice.seconds;
    }
  }
  if (full_decode.steps > 0) {
    phases.full_decode_step_seconds = full_decode.seconds / static_cast<double>(full_decode.steps);
  }
  if (steady.tokens > 0) {
    const double at_best = static_cast<double>(tail.tokens) / steady.per_second();
    phases.tail_cost_seconds = std::max(tail.seconds - at_best, 0.0);
  }
  return phases;
}

int64_t rows_percentile(const EngineStats& stats, double share) {
  int64_t steps = 0;
  for (const int64_t count : stats.steps_by_rows) {
    steps += count;
  }
  const auto wanted =
      std::max<int64_t>(static_cast<int64_t>(std::ceil(share * static_cast<double>(steps))), 1);
  int64_t passed = 0;
  for (size_t rows = 0; rows < stats.steps_by_rows.size(); ++rows) {
    passed += stats.steps_by_rows[rows];
    if (passed >= wanted) {
      return static_cast<int64_t>(rows);
    }
  }
  return 0;
}

}  // namespace spate
