// One measurement of `spate bench`: a fresh engine, a short warm-up, then all rows of a case at
// once, and the numbers that come of it. Every run starts from the same state: no run finds the
// prefix cache of the one before.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "apps/phases.h"
#include "engine/engine.h"

namespace spate {

// What is measured. Every row runs to its max_tokens: end tokens are ignored.
struct BenchCase {
  std::string name;          // "512+128 tokens, 16 rows"
  int64_t rows_at_once = 0;  // 0: what the engine flags say
  std::vector<Request> requests;

  int64_t prompt_tokens() const;
  int64_t output_tokens() const;  // wanted
  int64_t longest() const;        // prompt and output of the longest row
};

struct BenchRun {
  double seconds = 0;                            // from the first row in to the last event out
  int64_t prompt_tokens = 0, output_tokens = 0;  // of the rows
  EngineStats stats;                             // without the warm-up
  Phases phases;
};

// The longest sequence of an engine must have room for the warm-up row.
constexpr int64_t kWarmUpTokens = 10;

// `device` gets the engine's description.
BenchRun run_bench_case(const ModelFiles& files, EngineOptions options, const BenchCase& one,
                        std::string& device);

// The numbers of a run, in the order in which they are printed. docs/report.md defines them.
struct BenchMetric {
  std::string_view key;    // of the JSON
  std::string_view title;  // of the table
  int digits;
  double (*value)(const BenchRun& run);
};

std::span<const BenchMetric> bench_metrics();

struct Spread {
  double median = 0, least = 0, most = 0;
};

Spread spread_of(const std::vector<BenchRun>& runs, const BenchMetric& metric);

// The run whose time is the median: for numbers that have no median of their own.
const BenchRun& typical_run(const std::vector<BenchRun>& runs);

// What `after` counted on top of `before`, two looks at one engine. Slices of time are taken from
// `first_slice` on; peaks cannot be told apart and stay those of `after`.
EngineStats stats_between(const EngineStats& before, const EngineStats& after, size_t first_slice);

}  // namespace spate
