// The rows between the engine's door and their outcome, by the ids of their requests. Any thread
// may add; all else belongs to the thread that takes the engine's events.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "apps/run/live_row.h"

namespace spate {

using LiveRowPointer = std::shared_ptr<LiveRow>;

class LiveRows {
 public:
  // Which row and which of its prompts an engine request belongs to.
  struct Place {
    LiveRowPointer row;
    size_t prompt = 0;
  };

  // Under the ids from row->first_id() on.
  void add(const LiveRowPointer& row) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < row->requests(); ++i) {
      places_.emplace(row->first_id() + i, Place{row, i});
    }
    ++rows_;
  }

  std::optional<Place> find(uint64_t request) const {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(request);
    return found == places_.end() ? std::nullopt : std::optional(found->second);
  }

  void remove(const LiveRow& row) {
    const std::lock_guard lock(mutex_);
    for (size_t i = 0; i < row.requests(); ++i) {
      places_.erase(row.first_id() + i);
    }
    --rows_;
  }

  // Those for which `wanted(row)` holds, in the order in which they came.
  template <class Wanted>
  std::vector<LiveRowPointer> select(const Wanted& wanted) const {
    std::vector<LiveRowPointer> rows;
    {
      const std::lock_guard lock(mutex_);
      for (const auto& [request, place] : places_) {
        if (place.prompt == 0 && wanted(*place.row)) {
          rows.push_back(place.row);
        }
      }
    }
    std::sort(rows.begin(), rows.end(), [](const LiveRowPointer& a, const LiveRowPointer& b) {
      return a->first_id() < b->first_id();
    });
    return rows;
  }

  int64_t size() const {
    const std::lock_guard lock(mutex_);
    return rows_;
  }

 private:
  mutable std::mutex mutex_;
  std::unordered_map<uint64_t, Place> places_;
  int64_t rows_ = 0;
};

}  // namespace spate
