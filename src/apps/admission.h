// The door between the threads that prepare rows and the engine: rows pass in the order of the
// input, however long each took to prepare, and only so many are inside at once. This bounds the
// memory of a run whatever the size of its input. Any thread may call anything.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace spate {

class Admission {
 public:
  explicit Admission(int64_t most_inside) : most_inside_(most_inside) {}

  // Waits until every place before `place` has entered and one is free inside. False: closed.
  bool enter(int64_t place) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return closed_ || (next_ == place && inside_ < most_inside_); });
    if (closed_) {
      return false;
    }
    ++next_;
    ++inside_;
    most_seen_ = std::max(most_seen_, inside_);
    lock.unlock();
    changed_.notify_all();
    return true;
  }

  void leave(int64_t rows) {
    {
      const std::lock_guard lock(mutex_);
      inside_ -= rows;
    }
    changed_.notify_all();
  }

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
  int64_t most_seen() const {
    const std::lock_guard lock(mutex_);
    return most_seen_;
  }

 private:
  const int64_t most_inside_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t next_ = 0, inside_ = 0, most_seen_ = 0;
  bool closed_ = false;
};

}  // namespace spate
