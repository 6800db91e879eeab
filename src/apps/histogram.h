// Percentiles of any number of durations in fixed memory: buckets that grow by 2 % each, so a
// percentile is within 1 % of the true one. From 0.1 ms to some 11 days.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

namespace spate {

class Histogram {
 public:
  void add(double seconds) {
    const double steps = std::log(std::max(seconds, kLeast) / kLeast) / std::log(kGrowth);
    ++counts_[std::min(static_cast<size_t>(steps), kBuckets - 1)];
    ++total_;
    sum_ += seconds;
  }

  int64_t count() const { return total_; }
  double sum() const { return sum_; }

  // Entries of at most so many seconds; those within 2 % of it may count on either side.
  int64_t count_up_to(double seconds) const {
    int64_t passed = 0;
    for (size_t i = 0; i + 1 < kBuckets && middle_of(i) <= seconds; ++i) {
      passed += counts_[i];
    }
    return passed;
  }

  // The value that `share` (0 to 1) of the entries do not exceed; NaN when there are none.
  double percentile(double share) const {
    if (total_ == 0) {
      return std::nan("");
    }
    const auto wanted = static_cast<int64_t>(std::ceil(share * static_cast<double>(total_)));
    int64_t passed = 0;
    for (size_t i = 0; i < kBuckets; ++i) {
      passed += counts_[i];
      if (passed >= std::max<int64_t>(wanted, 1)) {
        return middle_of(i);
      }
    }
    return std::nan("");
  }

 private:
  static constexpr double kLeast = 1e-4, kGrowth = 1.02;
  static constexpr size_t kBuckets = 1160;  // 1e-4 * 1.02^1160 = 9.5e5 s
  static double middle_of(size_t bucket) {
    return kLeast * std::pow(kGrowth, static_cast<double>(bucket) + 0.5);
  }

  std::array<int64_t, kBuckets> counts_{};
  int64_t total_ = 0;
  double sum_ = 0;
};

}  // namespace spate
