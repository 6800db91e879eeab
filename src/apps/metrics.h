// The state of a run as a page for Prometheus (text format 0.0.4). Names end as vLLM's do, so that
// dashboards need another prefix and nothing else; docs/commands.md defines them.
#pragma once

#include <cstdint>
#include <string>

#include "apps/progress.h"
#include "apps/tally.h"
#include "engine/engine.h"

namespace spate {

struct MetricsSnapshot {
  std::string model;
  double seconds = 0;      // since the run began
  double eta_seconds = 0;  // NaN while unknown
  ProgressCounts counts;
  EngineCounts engine;
  TallyNumbers tally;
  int64_t output_bytes = 0;  // written by this run
};

std::string metrics_text(const MetricsSnapshot& snapshot);

}  // namespace spate
