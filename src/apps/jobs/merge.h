// Joining the outputs of several jobs. Every line is copied as it is; each row has one outcome: its
// answer, else its last error. The outputs are read twice: to find out what there is, and to copy.
//
// In memory: 32 bytes a row, 40 to 80 with the empty places of the table.
#pragma once

#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include "apps/jobs/record.h"

namespace spate {

struct MergeOptions {
  std::vector<std::string> outputs;
  std::string output, errors, input;
  bool ordered = false, allow_incomplete = false, force = false, overwrite = false;
};

struct MergeResult {
  int64_t answered = 0, failed = 0;
  int64_t superseded = 0;  // errors of rows with an answer or a later error, and repeated answers
  int64_t strangers = 0;   // outcomes of rows that are not in the input: left out
  bool input_known = false;
  Completeness completeness;  // when it is
  std::vector<std::string> notes;

  int64_t skipped = 0;  // too long, and --on-too-long skip was given

  int64_t missing() const { return std::max<int64_t>(completeness.missing - skipped, 0); }
};

// Throws Error (exit code 2) before anything is written when the jobs do not fit together.
MergeResult merge_jobs(FileSystem& files, const MergeOptions& options);

std::string merge_text(const MergeResult& result);

}  // namespace spate
