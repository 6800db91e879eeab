// Taking lines out of a job's files without a moment in which a line is in none of them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "apps/journal/key_set.h"
#include "apps/journal/scan.h"
#include "base/file_system.h"

namespace spate {

using KeepLine = std::function<bool(const ScannedLine& line)>;

// Puts those lines of the file that `keep` says in its place, at once; what would be cut goes.
// Returns the new file, which is locked when `lock` says so, before it has the name.
OpenFile rewrite_lines(FileSystem& files, const std::string& path, const KeepLine& keep, bool lock);

// Cuts what `scan` found to be damaged at the end.
void cut_file(FileSystem& files, const std::string& path, const FileScan& scan);

// A file that lines are moved into: opened with the first one, and each line is in it once, however
// often an interrupted move is done again. Call sync before the lines are taken out elsewhere.
class LineCollector {
 public:
  LineCollector(FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {}

  void add(std::string_view line);  // without its newline
  void sync();
  int64_t added() const { return added_; }

 private:
  void open();
  void flush();

  FileSystem& files_;
  std::string path_;
  OpenFile file_;
  KeySet there_;  // hashes of lines
  std::string pending_;
  int64_t added_ = 0;
};

}  // namespace spate
