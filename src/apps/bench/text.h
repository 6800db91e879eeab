// The results of `spate bench`, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "apps/bench/measure.h"
#include "base/json.h"

namespace spate {

struct BenchResult {
  BenchCase what;
  std::vector<BenchRun> runs;  // at least one
};

std::string bench_case_text(const BenchResult& result);             // a block of lines
std::string bench_table_text(const std::vector<BenchResult>& all);  // a line a case
Json bench_case_json(const BenchResult& result);

}  // namespace spate
