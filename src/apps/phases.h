// What the engine's time slices say about a run: how long it took to fill the batch, how long it
// ran full, how long it emptied, and how fast prompts and outputs were computed meanwhile. Pure
// arithmetic; docs/report.md defines every number.
#pragma once

#include <cstdint>

#include "engine/engine.h"

namespace spate {

struct Rate {
  double seconds = 0;
  int64_t tokens = 0;
  double per_second() const { return seconds > 0 ? static_cast<double>(tokens) / seconds : 0; }
};

struct Phases {
  double ramp_seconds = 0;            // until the batch first had 95 % of the most rows it ever had
  double steady_seconds = 0;          // from there to the last slice that computed prompt tokens
  double tail_seconds = 0;            // after it
  Rate steady_prompt, steady_output;  // within the steady part; empty when there is none
  double full_decode_step_seconds = 0;  // a step of outputs alone with 95 % of the most rows
  double under_half_seconds = 0;        // fewer rows than half of the most
  double tail_cost_seconds = 0;         // the tail, less what its tokens take at the steady rate
};

Phases find_phases(const EngineStats& stats);

// Rows of a step: the value that `share` of the steps do not exceed.
int64_t rows_percentile(const EngineStats& stats, double share);

}  // namespace spate
