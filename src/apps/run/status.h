// The state of a run in a few lines: for SIGUSR1, and for the log when the watchdog ends it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "apps/progress.h"
#include "apps/run/live_row.h"
#include "engine/engine.h"

namespace spate {

struct RunStatus {
  double seconds = 0;       // since the run began
  double step_seconds = 0;  // since the engine last finished a step, as seen from outside
  ProgressCounts counts;
  EngineCounts engine;
  int64_t read_ahead = 0;  // rows that were read and are not prepared yet
  int64_t inside = 0;      // rows prepared and without outcome
  double output_wait = 0;  // seconds that finished rows waited for the output
  struct Row {
    std::string id;
    int64_t line = 0;    // from 1
    double seconds = 0;  // since the engine began with it
    int64_t output_tokens = 0;
  };
  std::vector<Row> oldest;  // of the rows that run
};

std::string status_text(const RunStatus& status);

}  // namespace spate
