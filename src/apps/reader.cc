#include "apps/reader.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "base/check.h"
#include "base/files.h"

namespace spate {
namespace {

constexpr size_t kBlockBytes = 1 << 20;
constexpr size_t kMostKept = size_t{16} << 20;  // room for lines to come
constexpr int kPollMilliseconds = 100;          // how soon a silent pipe notices `stop`

}  // namespace

std::optional<std::string_view> row_of(std::string_view line) {
  if (line.find_first_not_of(" \t\r") == std::string_view::npos) {
    return std::nullopt;
  }
  if (line.back() == '\r') {
    line.remove_suffix(1);
  }
  return line;
}

int open_input(const std::string& path) {
  const int file = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) {
    throw Error(
        cat("input ", path == "-" ? "stdin" : path, ": cannot open: ", std::strerror(errno)),
        ExitCode::usage);
  }
  if (path != "-" && is_directory(path)) {
    ::close(file);
    throw Error(cat("input ", path, " is a folder, expected a file or -"), ExitCode::usage);
  }
  return file;
}

LineReader::LineReader(const std::string& path)
    : path_(path == "-" ? "stdin" : path), file_(open_input(path)) {}

LineReader::~LineReader() { ::close(file_); }

bool LineReader::fill(const std::atomic<bool>& stop) {
  block_.erase(0, start_);
  start_ = 0;
  if (block_.size() < kBlockBytes && block_.capacity() > kMostKept) {
    block_.shrink_to_fit();  // after a line of many megabytes
  }
  if (block_.size() > kLongestLine) {
    fail(path_, ": line ", index_ + 1, " is longer than 1 GiB; expected one row a line");
  }
  pollfd wait{file_, POLLIN, 0};
  while (!stop) {
    const int ready = ::poll(&wait, 1, kPollMilliseconds);
    if (ready == 0 || (ready < 0 && errno == EINTR)) {
      continue;
    }
    const size_t had = block_.size();
    block_.resize(had + kBlockBytes);
    const ssize_t count = ::read(file_, block_.data() + had, kBlockBytes);
    block_.resize(had + static_cast<size_t>(count > 0 ? count : 0));
    if (count < 0 && errno == EINTR) {
      continue;
    }
    if (count < 0) {
      fail(path_, ": cannot read at byte ", offset_ + static_cast<int64_t>(had), ": ",
           std::strerror(errno));
    }
    return count > 0;
  }
  return false;
}

std::optional<Line> LineReader::next(const std::atomic<bool>& stop) {
  size_t searched = start_;
  while (!stop) {
    const size_t end = block_.find('\n', searched);
    if (end == std::string::npos && !ended_) {
      searched = block_.size() - start_;  // fill() moves the rest to the front
      ended_ = !fill(stop);
      continue;
    }
    if (start_ >= block_.size()) {
      return std::nullopt;
    }
    const size_t stop_at = end == std::string::npos ? block_.size() : end;
    const size_t next_start = end == std::string::npos ? stop_at : end + 1;
    const auto row = row_of(std::string_view(block_.data() + start_, stop_at - start_));
    offset_ += static_cast<int64_t>(next_start - start_);
    start_ = searched = next_start;
    const int64_t index = index_++;
    if (row) {
      return Line{index, *row};
    }
  }
  return std::nullopt;
}

// By read() and not by a map: a file that is cut meanwhile must not end the process.
std::optional<InputSize> measure_file(const std::string& path) {
  struct stat status {};
  if (path == "-" || ::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  const std::atomic<bool> never{false};
  LineReader reader(path);
  InputSize size;
  while (reader.next(never)) {
    ++size.rows;
  }
  return size;
}

}  // namespace spate
