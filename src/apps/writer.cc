#include "apps/writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/clock.h"

namespace spate {
namespace {

using std::chrono::milliseconds;

constexpr size_t kBlockBytes = 256 << 10;  // written at once when so much is pending
constexpr size_t kMostPending = 64 << 20;  // callers wait from here on
constexpr milliseconds kLongestWait{200};  // a line reaches the file within this time
constexpr double kSyncSeconds = 5;

}  // namespace

LineFile::LineFile(const std::string& path, const std::string& flag, bool overwrite)
    : path_(path == "-" ? "stdout" : path) {
  const auto refuse = [&](const std::string& reason) {
    throw Error(cat(flag, " ", path, ": ", reason), ExitCode::usage);
  };
  struct stat status {};
  const bool exists = path != "-" && ::stat(path.c_str(), &status) == 0;
  if (exists && S_ISDIR(status.st_mode)) {
    refuse("is a folder, expected a file");
  }
  if (exists && S_ISREG(status.st_mode) && status.st_size > 0 && !overwrite) {
    refuse(cat("exists and holds ", status.st_size,
               " bytes; give --overwrite to replace it, or another name"));
  }
  file_ = path == "-" ? ::dup(STDOUT_FILENO)
                      : ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  if (file_ < 0) {
    refuse(cat("cannot open for writing: ", std::strerror(errno)));
  }
  regular_ = ::fstat(file_, &status) == 0 && S_ISREG(status.st_mode);
}

LineFile::~LineFile() { ::close(file_); }

void LineFile::append(const std::string& lines) {
  size_t done = 0;
  while (done < lines.size()) {
    const ssize_t count = ::write(file_, lines.data() + done, lines.size() - done);
    if (count >= 0) {
      done += static_cast<size_t>(count);
      continue;
    }
    if (errno == EINTR) {
      continue;
    }
    const int reason = errno;
    if (regular_ && done > 0) {
      // Takes the started block back, so that the file ends with a whole line.
      const off_t end = ::lseek(file_, 0, SEEK_CUR);
      if (end < 0 || ::ftruncate(file_, end - static_cast<off_t>(done)) != 0) {
        fail(path_, ": cannot write (", std::strerror(reason),
             "), and the started line could not be taken back; drop its last line");
      }
    }
    if (reason == EPIPE) {
      fail(path_, ": its reader closed the pipe before all rows were written");
    }
    fail(path_, ": cannot write: ", std::strerror(reason),
         reason == ENOSPC ? "; free some space; the rows before this are on disk" : "");
  }
}

void LineFile::sync() {
  if (regular_ && ::fdatasync(file_) != 0) {
    fail(path_, ": cannot bring the data to disk: ", std::strerror(errno));
  }
}

LineWriter::LineWriter(const std::string& path, const std::string& flag, bool overwrite)
    : file_(path, flag, overwrite), thread_([this] { work(); }) {}

LineWriter::~LineWriter() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
}

void LineWriter::put(const std::string& line) {
  std::unique_lock lock(mutex_);
  if (pending_.size() > kMostPending && failure_ == nullptr) {
    const Stopwatch watch;
    changed_.wait(lock, [&] { return pending_.size() <= kMostPending || failure_ != nullptr; });
    waited_ += watch.seconds();
  }
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
  pending_.append(line).append("\n");
  if (pending_.size() >= kBlockBytes) {
    changed_.notify_all();
  }
}

void LineWriter::close() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    thread_.join();
  }
  rethrow_failure();
}

void LineWriter::rethrow_failure() {
  const std::lock_guard lock(mutex_);
  if (failure_ != nullptr) {
    std::rethrow_exception(failure_);
  }
}

double LineWriter::waited_seconds() const {
  const std::lock_guard lock(mutex_);
  return waited_;
}

void LineWriter::work() {
  Stopwatch since_sync;
  std::unique_lock lock(mutex_);
  try {
    for (;;) {
      changed_.wait_for(lock, kLongestWait,
                        [&] { return pending_.size() >= kBlockBytes || closing_; });
      const bool last = closing_;
      const std::string block = std::exchange(pending_, {});
      lock.unlock();
      changed_.notify_all();
      file_.append(block);
      if (last || since_sync.seconds() > kSyncSeconds) {
        file_.sync();
        since_sync.restart();
      }
      lock.lock();
      if (last && pending_.empty()) {
        return;
      }
    }
  } catch (...) {
    if (!lock.owns_lock()) {
      lock.lock();
    }
    failure_ = std::current_exception();
    changed_.notify_all();
  }
}

}  // namespace spate
