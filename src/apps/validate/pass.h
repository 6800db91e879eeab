// One pass over an input with all processors: a thread reads blocks of lines, workers look at the
// rows, and the calling thread takes the findings in the order of the input. What is in memory is
// bounded by the blocks in flight, besides 15 to 25 bytes for each row that brings an id.
#pragma once

#include <functional>

#include "apps/rows/source.h"
#include "apps/validate/row_check.h"

namespace spate {

struct PassOptions {
  SourceOptions source;  // which rows; its `parse` counts
  Params defaults;
  const RowPreparer* preparer = nullptr;
  int threads = 1;
};

struct PassProgress {
  int64_t bytes = 0, rows = 0, bad = 0;
};

// Calls `bad_row` for every row that a run would refuse, line by line upwards, and `progress` after
// every block. Throws what ends the reading.
RowCounts look_at_rows(PassOptions options, const std::function<void(const BadRow& row)>& bad_row,
                       const std::function<void(const PassProgress& progress)>& progress);

}  // namespace spate
