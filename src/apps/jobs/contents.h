// The outcomes in the files of a job: each row once, as a run that goes on would see it, with what
// its answers say of tokens and ends.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "apps/jobs/record.h"

namespace spate {

struct JobContents {
  struct RowState {
    bool answered = false;
    int32_t code = -1;  // of the last failure, in `codes`
  };

  KeyMap<RowState> rows;
  std::vector<std::string> codes;
  int64_t ok = 0, failed = 0;             // rows
  std::map<std::string, int64_t> errors;  // failed rows by code
  std::map<std::string, int64_t> finishes;
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;
  int64_t without_usage = 0;  // answers that do not say
  // Lines.
  int64_t repeated_answers = 0;   // of rows that have one already
  int64_t superseded_errors = 0;  // of rows that have an answer or a later error
  int64_t damaged = 0, foreign = 0, torn_bytes = 0;
  int64_t in_part = 0;  // outcomes that wait in OUT.part for their turn
  std::vector<std::string> foreign_examples;
};

JobContents read_contents(FileSystem& files, const JobRecord& job);

}  // namespace spate
