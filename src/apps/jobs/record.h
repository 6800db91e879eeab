// A job as its files tell it, for commands that read jobs and run none: which files there are, what
// the manifest says of the rows, and how the outcomes compare with the input.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "apps/journal/job_files.h"
#include "apps/rows/source.h"

namespace spate {

struct JobRecord {
  JobFileNames names;
  std::optional<Manifest> manifest;

  bool errors_inline() const { return names.errors == "inline"; }
  std::vector<std::string> files() const;  // that may hold outcomes, the output first
};

// `errors`: as given; empty: what the manifest says, or the usual name when nothing is there.
// Throws Error (exit code 2) when the output is not there.
JobRecord open_job(FileSystem& files, const std::string& output, const std::string& errors);

// The rows of the job. Throws Error (exit code 2) when the manifest makes no sense.
SourceOptions source_of(const Manifest& manifest);

// Rows without outcome because they were too long (--on-too-long skip), by the last run, when it
// came to the end.
int64_t skipped_rows(const Manifest& manifest);

enum class InputState { same, changed, missing, unknown };  // unknown: stdin, or no manifest
InputState state_of_input(FileSystem& files, const Manifest& manifest);
std::string_view name_of(InputState state);

// A row of the input that at least one of several jobs takes.
using VisitRow = std::function<void(const InputRow& row)>;
void for_each_taken_row(const std::vector<SourceOptions>& jobs, const VisitRow& visit);

// A row without outcome.
struct MissingRow {
  int64_t line = 0;  // 0-based
  std::string id;
};

struct Completeness {
  int64_t rows = 0;                       // that the jobs take from the input
  int64_t missing = 0;                    // of these, without outcome
  std::vector<MissingRow> first_missing;  // a few

  void count(const InputRow& row, bool has_outcome);
};

}  // namespace spate
