// Output files as journals: append only, whole lines, one write() for a block of lines, fdatasync
// every few seconds. After a kill at any moment the file holds whole lines, and at most a torn last
// one when the machine itself went down. A full disk never leaves part of a line behind.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "apps/cli.h"
#include "base/file_system.h"

namespace spate {

// When what was written must be on the disk, not only with the operating system. A killed process
// loses nothing either way; a machine that goes down loses what came after the last time.
struct SyncPolicy {
  enum class When { timed, always, never } when = When::timed;  // always: after each block of lines
  double seconds = 5;   // timed: so long after the last time,
  int64_t rows = 1000;  // or after so many lines, but no sooner than kLeastSeconds
  static constexpr double kLeastSeconds = 1;

  bool due(double since_last, int64_t lines) const;
};

SetFlag set_sync_policy(SyncPolicy& policy);  // SECONDS, none, always

// What it took, for the report.
struct WriteCounts {
  int64_t bytes = 0, lines = 0, syncs = 0;
  double write_seconds = 0, sync_seconds = 0;

  WriteCounts& operator+=(const WriteCounts& other);
};

// What to do about a file that is there and not empty: refuse (exit code 2), empty it, go on at
// its end.
enum class Existing { refuse, replace, append };

// One open file. One thread.
class LineFile {
 public:
  // "-" is stdout. `flag` names the file in errors: "--output". `advice` ends the errors of a disk
  // that fails: what is safe and how to go on.
  LineFile(FileSystem& files, const std::string& path, const std::string& flag, Existing existing,
           std::string advice = {});
  LineFile(const std::string& path, const std::string& flag, bool overwrite)
      : LineFile(real_file_system(), path, flag, overwrite ? Existing::replace : Existing::refuse) {
  }
  // Without a name, gone with its owner.
  static LineFile temporary(FileSystem& files, const std::string& flag);

  // `lines` ends with a newline. Either all of it lands in the file or, after an Error, none.
  void append(std::string_view lines);
  void sync();   // nothing to do when nothing was appended since
  void clear();  // empties the file
  std::string read(int64_t offset, int64_t bytes) const;

  int64_t end() const { return end_; }  // bytes in the file, of a regular one
  const WriteCounts& counts() const { return counts_; }

 private:
  LineFile(FileSystem& files, std::string path, OpenFile file, std::string advice);
  [[noreturn]] void fail_to_write(int reason, size_t done);

  FileSystem* files_;
  std::string path_, advice_;
  OpenFile file_;
  bool regular_ = false;  // can be synchronised and cut
  bool shared_ = false;   // stdout: others may have written to it
  bool dirty_ = false;    // written to since the last sync
  int64_t end_ = 0;
  WriteCounts counts_;
};

}  // namespace spate
