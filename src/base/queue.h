// A bounded queue between threads. push waits while it is full, pop waits while it is empty;
// close ends both sides: pushes are refused, pops drain what is left and then say so. Items may
// have a weight, which is bounded too; an item of any weight passes when the queue is empty.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <limits>
#include <mutex>
#include <optional>
#include <utility>

namespace spate {

template <class T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity, size_t most_weight = std::numeric_limits<size_t>::max())
      : capacity_(capacity), most_weight_(most_weight) {}

  // False when the queue was closed; the item is then dropped.
  bool push(T item, size_t weight = 0) {
    std::unique_lock lock(mutex_);
    not_full_.wait(lock, [&] { return has_room(weight) || closed_; });
    if (closed_) {
      return false;
    }
    items_.push_back({std::move(item), weight});
    weight_ += weight;
    lock.unlock();
    not_empty_.notify_one();
    return true;
  }

  // Empty when the queue is closed and drained.
  std::optional<T> pop() {
    std::unique_lock lock(mutex_);
    not_empty_.wait(lock, [&] { return !items_.empty() || closed_; });
    return take(lock);
  }

  // Empty when nothing is there now.
  std::optional<T> try_pop() {
    std::unique_lock lock(mutex_);
    return take(lock);
  }

  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    not_empty_.notify_all();
    not_full_.notify_all();
  }

  size_t size() const {
    const std::lock_guard lock(mutex_);
    return items_.size();
  }

 private:
  struct Item {
    T value;
    size_t weight;
  };

  bool has_room(size_t weight) const {
    return items_.empty() || (items_.size() < capacity_ && weight <= most_weight_ &&
                              weight_ <= most_weight_ - weight);
  }

  std::optional<T> take(std::unique_lock<std::mutex>& lock) {
    if (items_.empty()) {
      return std::nullopt;
    }
    std::optional<T> item(std::move(items_.front().value));
    weight_ -= items_.front().weight;
    items_.pop_front();
    lock.unlock();
    not_full_.notify_all();  // not every one that waits may have room
    return item;
  }

  const size_t capacity_, most_weight_;
  mutable std::mutex mutex_;
  std::condition_variable not_full_;
  std::condition_variable not_empty_;
  std::deque<Item> items_;
  size_t weight_ = 0;
  bool closed_ = false;
};

}  // namespace spate
