#include "sched/loop_stop.h"

#include <algorithm>

namespace spate {

bool LoopDetector::push(const LoopStop& stop, std::span<const Token> generated) {
  if (stop.min_count <= 0) return false;
  const auto count = static_cast<int64_t>(generated.size());
  const int64_t shortest = std::max(stop.min_pattern, 1);
  const int64_t longest = std::min<int64_t>(stop.max_pattern, count);
  bool loops = false;
  for (int64_t pattern = shortest; pattern <= longest; ++pattern) {
    const auto at = static_cast<size_t>(pattern - shortest);
    if (at >= runs_.size()) runs_.push_back(0);  // the row has become long enough for this one
    const bool repeats =
        pattern < count && generated.back() == generated[static_cast<size_t>(count - 1 - pattern)];
    runs_[at] = repeats ? runs_[at] + 1 : 0;
    loops = loops || runs_[at] >= pattern * (stop.min_count - 1);
  }
  return loops;
}

}  // namespace spate
