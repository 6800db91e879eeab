// A file system that misbehaves on demand: the n-th call of a kind fails, writes come out short, or
// the process "dies" at the n-th call that changes something: that call and all later ones have no
// effect. A death of the machine takes away, on top, what was not brought to disk.
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>

#include "base/file_system.h"

namespace spate::test {

// Thrown by the call at which the process dies, and by none that follows.
struct Killed : std::runtime_error {
  Killed() : std::runtime_error("killed") {}
};

enum class FileCall { make, write, sync, sync_folder, truncate, rename, remove, lock };

class FaultyFileSystem : public FileSystem {
 public:
  enum class Death { process, machine_cuts, machine_zeros };

  // The n-th call of the kind from now on, counted from 0, and all after it fail.
  void fail_from(FileCall call, int64_t n, int reason) {
    const std::lock_guard lock(mutex_);
    failing_ = {true, call, n, reason};
  }
  void mend() {
    const std::lock_guard lock(mutex_);
    failing_.active = false;
  }
  // No write takes more bytes than that.
  void write_at_most(size_t bytes) { most_written_ = bytes; }
  // Death at the n-th change, counted from 0. Half of a write at which it happens is done.
  void die_at(int64_t change, Death death = Death::process) {
    const std::lock_guard lock(mutex_);
    die_at_ = change;
    death_ = death;
  }
  bool dead() const {
    const std::lock_guard lock(mutex_);
    return dead_;
  }
  int64_t changes() const {
    const std::lock_guard lock(mutex_);
    return changes_;
  }
  int64_t count(FileCall call) const {
    const std::lock_guard lock(mutex_);
    const auto found = counts_.find(call);
    return found == counts_.end() ? 0 : found->second;
  }

  int open(const std::string& path, int flags) override {
    const std::lock_guard lock(mutex_);
    FileStatus status;
    const bool there = real_.status(path, status) == 0;
    const bool changes = ((flags & O_CREAT) != 0 && !there) || ((flags & O_TRUNC) != 0 && there);
    if (dead_ || (changes && !enter(FileCall::make))) return refuse();
    const int file = real_.open(path, flags);
    if (file >= 0 && real_.status(file, status) == 0 && status.regular) {
      if (there && (flags & O_TRUNC) == 0) {
        synced_.try_emplace({status.device, status.number}, Synced{path, status.bytes});
      } else {
        synced_[{status.device, status.number}] = {path, 0};
      }
    }
    return file;
  }
  int open_temporary() override { return real_.open_temporary(); }
  int duplicate(int file) override { return real_.duplicate(file); }
  int close(int file) override { return real_.close(file); }
  int64_t write(int file, const char* data, size_t bytes) override {
    const std::lock_guard lock(mutex_);
    bytes = std::min(bytes, most_written_);
    if (!dead_ && changes_ == die_at_) real_.write(file, data, bytes / 2);
    return enter(FileCall::write) ? real_.write(file, data, bytes) : refuse();
  }
  int64_t read_at(int file, char* data, size_t bytes, int64_t offset) override {
    return real_.read_at(file, data, bytes, offset);
  }
  int64_t position(int file) override { return real_.position(file); }
  int sync(int file) override {
    const std::lock_guard lock(mutex_);
    if (!enter(FileCall::sync)) return refuse();
    FileStatus status;
    if (real_.status(file, status) == 0) {
      const auto found = synced_.find({status.device, status.number});
      if (found != synced_.end()) found->second.bytes = status.bytes;
    }
    return 0;
  }
  int sync_folder(const std::string&) override {
    const std::lock_guard lock(mutex_);
    return enter(FileCall::sync_folder) ? 0 : refuse();
  }
  int truncate(int file, int64_t bytes) override {
    const std::lock_guard lock(mutex_);
    if (!enter(FileCall::truncate)) return refuse();
    FileStatus status;
    if (real_.status(file, status) == 0) {
      const auto found = synced_.find({status.device, status.number});
      if (found != synced_.end()) found->second.bytes = std::min(found->second.bytes, bytes);
    }
    return real_.truncate(file, bytes);
  }
  int rename(const std::string& from, const std::string& to) override {
    const std::lock_guard lock(mutex_);
    if (!enter(FileCall::rename)) return refuse();
    FileStatus status;
    if (real_.status(from, status) == 0) synced_[{status.device, status.number}].path = to;
    return real_.rename(from, to);
  }
  int remove(const std::string& path) override {
    const std::lock_guard lock(mutex_);
    FileStatus status;
    if (real_.status(path, status) != 0) return real_.remove(path);
    return enter(FileCall::remove) ? real_.remove(path) : refuse();
  }
  int lock(int file) override {
    const std::lock_guard guard(mutex_);
    if (failing_.active && failing_.call == FileCall::lock) {
      errno = failing_.reason;
      return -1;
    }
    return real_.lock(file);
  }
  int status(const std::string& path, FileStatus& status) override {
    return real_.status(path, status);
  }
  int status(int file, FileStatus& status) override { return real_.status(file, status); }

 private:
  struct Failing {
    bool active = false;
    FileCall call = FileCall::write;
    int64_t left = 0;
    int reason = 0;
  };
  struct Synced {
    std::string path;
    int64_t bytes = 0;
  };

  static int refuse() { return -1; }  // errno is set

  // False: the call must not be made.
  bool enter(FileCall call) {
    if (dead_) {
      errno = EIO;
      return false;
    }
    if (changes_ == die_at_) {
      dead_ = true;
      take_away_what_was_not_synced();
      throw Killed();
    }
    ++changes_;
    ++counts_[call];
    if (failing_.active && failing_.call == call && failing_.left-- <= 0) {
      errno = failing_.reason;
      return false;
    }
    return true;
  }

  // Half of it, or all of it is zeros.
  void take_away_what_was_not_synced() {
    if (death_ == Death::process) return;
    for (const auto& [number, file] : synced_) {
      std::error_code error;
      const auto size = static_cast<int64_t>(std::filesystem::file_size(file.path, error));
      FileStatus status;
      if (error || size <= file.bytes || real_.status(file.path, status) != 0 ||
          std::pair(status.device, status.number) != number) {
        continue;
      }
      if (death_ == Death::machine_cuts) {
        std::filesystem::resize_file(file.path,
                                     static_cast<size_t>(file.bytes + (size - file.bytes) / 2));
      } else {
        std::filesystem::resize_file(file.path, static_cast<size_t>(file.bytes));
        std::filesystem::resize_file(file.path, static_cast<size_t>(size));
      }
    }
  }

  FileSystem& real_ = real_file_system();
  mutable std::mutex mutex_;
  Failing failing_;
  size_t most_written_ = SIZE_MAX;
  int64_t die_at_ = -1, changes_ = 0;
  Death death_ = Death::process;
  bool dead_ = false;
  std::map<FileCall, int64_t> counts_;
  std::map<std::pair<uint64_t, uint64_t>, Synced> synced_;
};

}  // namespace spate::test
