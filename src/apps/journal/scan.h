// One pass over a file of job lines, by large reads: gives every line that counts to a visitor and
// finds where the good part of the file ends.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "apps/journal/job_line.h"
#include "base/file_system.h"

namespace spate {

struct ScannedLine {
  int64_t number = 0;     // from 1
  int64_t offset = 0;     // bytes before it
  std::string_view text;  // without its newline; good during the visit
  const JobLine& facts;
};

struct FileScan {
  bool exists = false;
  int64_t bytes = 0;     // of the file
  int64_t good_end = 0;  // bytes before what must be cut: a torn line, damaged lines at the end
  int64_t lines = 0;     // before good_end
  int64_t ours = 0;      // of these: answers and failures
  int64_t damaged = 0;   // of these, with good lines after them
  int64_t foreign = 0;   // of these, blank ones not counted
  std::vector<std::string> foreign_examples;  // the first few: `line 7: {"note"...`

  int64_t to_cut() const { return bytes - good_end; }
};

using VisitLine = std::function<void(const ScannedLine& line)>;

// A file that is not there is an empty one. `visit` sees lines before good_end alone, in their
// order and of every kind.
FileScan scan_file(FileSystem& files, const std::string& path, const VisitLine& visit);

}  // namespace spate
