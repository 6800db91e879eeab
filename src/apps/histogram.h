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
  }

  int64_t count() const { return total_; }

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
        return kLeast * std::pow(kGrowth, static_cast<double>(i) + 0.5);  // middle of the bucket
      }
    }
    return std::nan("");
  }

 private:
  static constexpr double kLeast = 1e-4, kGrowth = 1.02;
  static constexpr size_t kBuckets = 1160;  // 1e-4 * 1.02^1160 = 9.5e5 s
  std::array<int64_t, kBuckets> counts_{};
  int64_t total_ = 0;
};

}  // namespace spate
