#include "apps/writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace spate {
namespace {

OpenFile open_lines(FileSystem& files, const std::string& path, const std::string& flag,
                    Existing existing) {
  const auto refuse = [&](const std::string& reason) {
    throw Error(cat(flag, " ", path, ": ", reason), ExitCode::usage);
  };
  FileStatus status;
  const bool exists = path != "-" && files.status(path, status) == 0;
  if (exists && status.folder) {
    refuse("is a folder, expected a file");
  }
  if (exists && status.regular && status.bytes > 0 && existing == Existing::refuse) {
    refuse(cat("exists and holds ", status.bytes,
               " bytes; give --overwrite to replace it, or another name"));
  }
  // Devices and pipes may refuse to be read.
  const int access = exists && !status.regular ? O_WRONLY : O_RDWR;
  const int begin = existing == Existing::append ? O_APPEND : O_APPEND | O_TRUNC;
  OpenFile file(files, path == "-" ? files.duplicate(STDOUT_FILENO)
                                   : files.open(path, access | O_CREAT | begin));
  if (!file.is_open()) {
    refuse(cat("cannot open for writing: ", std::strerror(errno)));
  }
  return file;
}

}  // namespace

bool SyncPolicy::due(double since_last, int64_t lines) const {
  switch (when) {
    case When::always: return lines > 0;
    case When::never: return false;
    case When::timed: break;
  }
  return since_last >= seconds || (lines >= rows && since_last >= kLeastSeconds);
}

SetFlag set_sync_policy(SyncPolicy& policy) {
  return [&policy](const std::string& value) {
    policy = {};
    if (value == "none") {
      policy.when = SyncPolicy::When::never;
    } else if (value == "always") {
      policy.when = SyncPolicy::When::always;
    } else {
      try {
        into(policy.seconds, 0.01, 86400)(value);
      } catch (const Error& error) {
        usage_error(cat("expected seconds, none or always; ", error.what()));
      }
    }
  };
}

WriteCounts& WriteCounts::operator+=(const WriteCounts& other) {
  bytes += other.bytes;
  lines += other.lines;
  syncs += other.syncs;
  write_seconds += other.write_seconds;
  sync_seconds += other.sync_seconds;
  return *this;
}

LineFile::LineFile(FileSystem& files, const std::string& path, const std::string& flag,
                   Existing existing, std::string advice)
    : LineFile(files, path == "-" ? "stdout" : path, open_lines(files, path, flag, existing),
               std::move(advice)) {
  shared_ = path == "-";
}

LineFile::LineFile(FileSystem& files, std::string path, OpenFile file, std::string advice)
    : files_(&files), path_(std::move(path)), advice_(std::move(advice)), file_(std::move(file)) {
  FileStatus status;
  regular_ = files.status(file_.number(), status) == 0 && status.regular;
  end_ = status.bytes;
}

LineFile LineFile::temporary(FileSystem& files, const std::string& flag) {
  OpenFile file(files, files.open_temporary());
  if (!file.is_open()) {
    throw Error(cat(flag, ": cannot make a temporary file: ", std::strerror(errno),
                    "; set TMPDIR to a folder with room"),
                ExitCode::usage);
  }
  return {files, "a temporary file", std::move(file), ""};
}

void LineFile::append(std::string_view lines) {
  if (lines.empty()) {
    return;
  }
  const Stopwatch watch;
  const size_t done = write_all(*files_, file_.number(), lines);
  if (done < lines.size()) {
    fail_to_write(errno, done);
  }
  end_ += static_cast<int64_t>(lines.size());
  dirty_ = true;
  counts_.bytes += static_cast<int64_t>(lines.size());
  counts_.lines += std::count(lines.begin(), lines.end(), '\n');
  counts_.write_seconds += watch.seconds();
}

// Takes the begun block back, so that the file ends with a whole line.
void LineFile::fail_to_write(int reason, size_t done) {
  if (reason == EPIPE) {
    fail(path_, ": its reader closed the pipe before all rows were written");
  }
  const char* space = reason == ENOSPC || reason == EDQUOT ? "; free some space" : "";
  const int64_t begin =
      shared_ ? files_->position(file_.number()) - static_cast<int64_t>(done) : end_;
  if (regular_ && done > 0 && (begin < 0 || files_->truncate(file_.number(), begin) != 0)) {
    fail(path_, ": cannot write: ", std::strerror(reason), space,
         "; the begun block could not be taken back, so its last line may be torn", advice_);
  }
  fail(path_, ": cannot write: ", std::strerror(reason), space, advice_);
}

void LineFile::sync() {
  if (!regular_ || !dirty_) {
    return;
  }
  const Stopwatch watch;
  if (files_->sync(file_.number()) != 0) {
    fail(path_, ": cannot bring the data to disk: ", std::strerror(errno),
         "; what was written since the last time may be lost", advice_);
  }
  dirty_ = false;
  ++counts_.syncs;
  counts_.sync_seconds += watch.seconds();
}

void LineFile::clear() {
  if (end_ > 0 && files_->truncate(file_.number(), 0) != 0) {
    fail(path_, ": cannot be emptied: ", std::strerror(errno), advice_);
  }
  end_ = 0;
  dirty_ = true;
}

std::string LineFile::read(int64_t offset, int64_t bytes) const {
  std::string text = read_block(*files_, file_.number(), path_, offset, static_cast<size_t>(bytes));
  if (static_cast<int64_t>(text.size()) != bytes) {
    fail(path_, ": ends at byte ", offset + static_cast<int64_t>(text.size()), ", expected ", bytes,
         " bytes from ", offset, " on; something else has cut it");
  }
  return text;
}

}  // namespace spate
