// The door between the threads that prepare rows and the engine: rows pass in the order of the
// input, however long each took to prepare, and only so many rows and bytes are inside at once.
// This bounds the memory of a run whatever the size of its input. One row is always let in, however
// large it is. Any thread may call anything.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace spate {

class Admission {
 public:
  Admission(int64_t most_rows, int64_t most_bytes)
      : most_rows_(most_rows), most_bytes_(most_bytes) {}

  // Waits until every place before `place` has entered and there is room inside for a row of so
  // many bytes. False: closed.
  bool enter(int64_t place, int64_t bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || (next_ == place && has_room(bytes)); });
    if (closed_) {
      return false;
    }
    ++next_;
    ++inside_;
    bytes_ += bytes;
    most_seen_ = std::max(most_seen_, inside_);
    lock.unlock();
    changed_.notify_all();
    return true;
  }

  void leave(int64_t rows) { give_back(rows, 0); }
  // A row's memory may be free before the row has left: its answer waits for its turn.
  void free_bytes(int64_t bytes) { give_back(0, bytes); }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }

  int64_t inside() const {
    const std::lock_guard lock(mutex_);
    return inside_;
  }
  int64_t bytes() const {
    const std::lock_guard lock(mutex_);
    return bytes_;
  }
  int64_t most_seen() const {
    const std::lock_guard lock(mutex_);
    return most_seen_;
  }

 private:
  bool has_room(int64_t bytes) const {
    return inside_ < most_rows_ && (bytes_ == 0 || bytes_ + bytes <= most_bytes_);
  }

  void give_back(int64_t rows, int64_t bytes) {
    {
      const std::lock_guard lock(mutex_);
      inside_ -= rows;
      bytes_ -= bytes;
    }
    changed_.notify_all();
  }

  const int64_t most_rows_, most_bytes_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t next_ = 0, inside_ = 0, bytes_ = 0, most_seen_ = 0;
  bool closed_ = false;
};

}  // namespace spate
