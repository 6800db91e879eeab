// Where sequences' pasts live: contiguous runs of token slots ("segments") of one pool. A sequence
// owns a few, usually one, instead of many pages; attention then reads long contiguous runs.
// Host only; slots are numbers, the memory behind them belongs to kv/pool.h.
//
// Owner: the scheduler. One thread.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

namespace spate {

struct Segment {
  int begin = 0, end = 0;  // token slots [begin, end)
  int size() const { return end - begin; }
  bool operator==(const Segment&) const = default;
};

// Best fit, because long decodes then grow in place; neighbours merge when they are freed.
class SegmentAllocator {
 public:
  explicit SegmentAllocator(int slots);

  // A run of exactly `tokens` slots, or nothing when no free run is that long.
  std::optional<Segment> allocate(int tokens);
  // The longest free run, at most `tokens` slots; nothing when the pool is full.
  std::optional<Segment> allocate_up_to(int tokens);
  // Grows `segment` by up to `tokens` slots in place; returns by how many (0: the next slot is
  // used).
  int extend(Segment& segment, int tokens);
  void release(Segment segment);

  int slots() const { return slots_; }
  int free_slots() const { return free_; }
  int largest_free() const;
  int free_runs() const { return static_cast<int>(by_begin_.size()); }

 private:
  void insert(Segment run);  // in both orders of the free runs
  void erase(Segment run);

  int slots_;
  int free_;
  std::map<int, int> by_begin_;            // begin -> end of every free run
  std::set<std::pair<int, int>> by_size_;  // (size, begin) of every free run
};

}  // namespace spate
