// The final report: every number is computed once, here, from counts and engine statistics, and
// printed as text or JSON. docs/report.md defines them.
#pragma once

#include <cstdint>
#include <string>

#include "apps/phases.h"
#include "apps/tally.h"
#include "apps/writer.h"
#include "base/json.h"
#include "engine/engine.h"

namespace spate {

struct RunTimes {          // seconds
  double load = 0;         // opening the model and bringing its weights to the device
  double run = 0;          // from the first row read to the last row finished
  double flush = 0;        // bringing the rest of the output to disk
  double input_wait = 0;   // the engine had no row although more input was to come
  double output_wait = 0;  // finished rows waited for the disk
};

struct RunFacts {
  std::string model, device, input, output;
  int64_t rows_read = 0;
  bool complete = true;    // every row has an outcome
  std::string stopped_by;  // why not: "SIGINT", "--fail-fast", ...
  TallyNumbers tally;
  EngineStats engine;
  MemoryPlan plan;
  RunTimes times;
  WriteCounts writes;
};

Json report_json(const RunFacts& facts);
std::string report_text(const RunFacts& facts);

// Seconds that the last `share` of the answered rows took; 0 when fewer than 20 rows tell.
double tail_seconds(const TallyNumbers& tally, double share);

}  // namespace spate
