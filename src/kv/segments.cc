#include "kv/segments.h"

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace spate {

SegmentAllocator::SegmentAllocator(int slots) : slots_(slots), free_(slots) {
  check(slots >= 0, "a pool of a negative number of slots: ", slots);
  if (slots > 0) insert({0, slots});
}

std::optional<Segment> SegmentAllocator::allocate(int tokens) {
  check(tokens > 0, "allocate ", tokens, " slots");
  const auto best = by_size_.lower_bound({tokens, 0});
  if (best == by_size_.end()) return std::nullopt;
  const Segment run{best->second, best->second + best->first};
  erase(run);
  const Segment taken{run.begin, run.begin + tokens};
  if (taken.end < run.end) insert({taken.end, run.end});
  free_ -= tokens;
  return taken;
}

std::optional<Segment> SegmentAllocator::allocate_up_to(int tokens) {
  return free_ == 0 ? std::nullopt : allocate(std::min(tokens, largest_free()));
}

int SegmentAllocator::extend(Segment& segment, int tokens) {
  check(tokens >= 0, "extend by ", tokens, " slots");
  const auto next = by_begin_.find(segment.end);
  if (next == by_begin_.end() || tokens == 0) return 0;
  const Segment run{next->first, next->second};
  const int taken = std::min(tokens, run.size());
  erase(run);
  if (taken < run.size()) insert({run.begin + taken, run.end});
  segment.end += taken;
  free_ -= taken;
  return taken;
}

void SegmentAllocator::release(Segment segment) {
  check(0 <= segment.begin && segment.begin <= segment.end && segment.end <= slots_, "release of [",
        segment.begin, ", ", segment.end, ") in a pool of ", slots_);
  if (segment.size() == 0) return;
  free_ += segment.size();
  const auto next = by_begin_.lower_bound(segment.begin);
  check(next == by_begin_.end() || next->first >= segment.end, "slots from ", segment.begin, " to ",
        segment.end, " are released twice");
  if (next != by_begin_.begin()) {
    const auto previous = std::prev(next);
    check(previous->second <= segment.begin, "slots from ", segment.begin, " to ", segment.end,
          " are released twice");
  }
  if (next != by_begin_.end() && next->first == segment.end) {
    const Segment run{next->first, next->second};
    erase(run);
    segment.end = run.end;
  }
  const auto after = by_begin_.lower_bound(segment.begin);
  if (after != by_begin_.begin() && std::prev(after)->second == segment.begin) {
    const Segment run{std::prev(after)->first, std::prev(after)->second};
    erase(run);
    segment.begin = run.begin;
  }
  insert(segment);
}

int SegmentAllocator::largest_free() const {
  return by_size_.empty() ? 0 : by_size_.rbegin()->first;
}

void SegmentAllocator::insert(Segment run) {
  by_begin_.emplace(run.begin, run.end);
  by_size_.emplace(run.size(), run.begin);
}

void SegmentAllocator::erase(Segment run) {
  by_begin_.erase(run.begin);
  by_size_.erase({run.size(), run.begin});
}

}  // namespace spate
