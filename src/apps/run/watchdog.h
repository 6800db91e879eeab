// Notices when the engine has work and gets nothing done. One thread.
#pragma once

#include <cstdint>

namespace spate {

class Watchdog {
 public:
  explicit Watchdog(double seconds) : limit_(seconds) {}  // 0: never expires

  // `progress`: any number that changes while work gets done; `now` in seconds. True when the work
  // has stood still for the limit.
  bool expired(double now, int64_t progress, bool has_work) {
    if (!has_work || progress != progress_) {
      progress_ = progress;
      since_ = now;
    }
    return limit_ > 0 && now - since_ >= limit_;
  }

  double standing_still(double now) const { return now - since_; }

 private:
  double limit_;
  int64_t progress_ = -1;
  double since_ = 0;
};

}  // namespace spate
