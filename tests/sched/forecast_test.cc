#include "sched/forecast.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/random.h"

namespace spate {
namespace {

// A row that grew to `length` and ended there by itself, or was ended by a limit.
void live_through(OutputLengths& lengths, int64_t length, bool by_itself) {
  for (int64_t generated = 0; generated <= length; ++generated) lengths.reached(generated);
  if (by_itself) lengths.ended(length);
}

TEST(Forecast, ALimitIsExactWhereNothingEndsByItself) {
  OutputLengths lengths(4096);
  for (int i = 0; i < 1000; ++i) live_through(lengths, 300, false);
  EXPECT_NEAR(lengths.mean_remaining(0, 200), 200, 3);
  EXPECT_NEAR(lengths.mean_remaining(100, 150), 150, 3);
  EXPECT_EQ(lengths.quantile_remaining(0, 200, 0.75), 200);
  EXPECT_EQ(lengths.mean_remaining(7, 0), 0);
  EXPECT_LE(lengths.mean_remaining(4000, 95), 95);
}

TEST(Forecast, LearnsLengthsAndTheirTails) {
  OutputLengths lengths(8192);
  uint64_t at = 0;
  double sum = 0;
  constexpr int kRows = 4000;
  for (int i = 0; i < kRows; ++i) {  // geometric, mean 200
    const double u = open_uniform(philox(9, at++).word[0]);
    const auto length = static_cast<int64_t>(-200 * std::log(u));
    sum += static_cast<double>(length);
    live_through(lengths, length, true);
  }
  EXPECT_NEAR(lengths.mean_remaining(0, 8000), sum / kRows, 15);
  EXPECT_NEAR(lengths.mean_remaining(150, 8000), 200, 25) << "a geometric row never ages";
  EXPECT_NEAR(static_cast<double>(lengths.quantile_remaining(0, 8000, 0.5)), 139, 20);
  EXPECT_NEAR(static_cast<double>(lengths.quantile_remaining(0, 8000, 0.9)), 460, 40);
  EXPECT_EQ(lengths.quantile_remaining(0, 50, 0.9), 50);
}

TEST(Forecast, KnowsNothingAtFirstAndNeverBreaks) {
  for (const int64_t longest : {1, 16, 110, 4096, 1000000}) {
    const OutputLengths lengths(longest);
    const double mean = lengths.mean_remaining(0, longest);
    EXPECT_GE(mean, 0);
    EXPECT_LE(mean, static_cast<double>(longest));
    EXPECT_LT(mean, 600);
    EXPECT_GE(lengths.mean_remaining(longest, 10), 0);
    EXPECT_LE(lengths.quantile_remaining(longest, 10, 0.9), 10);
  }
}

// The peak by going through time, one token at a time.
double slow_peak(const std::vector<Occupancy::Row>& rows) {
  double peak = 0;
  for (const Occupancy::Row& last : rows) {
    double sum = 0;
    for (const Occupancy::Row& row : rows) {
      if (row.remaining >= last.remaining) sum += static_cast<double>(row.slots) + last.remaining;
    }
    peak = std::max(peak, sum);
  }
  return peak;
}

TEST(Forecast, PeakOfRowsThatLeaveOneByOne) {
  // 10 + 10 now; 5 steps later the first leaves at 15 + 15; the other ends at 30 alone.
  EXPECT_EQ(Occupancy({{5, 10}}).peak_with({20, 10}), 30);
  uint64_t at = 0;
  const auto random = [&](int64_t below) {
    return static_cast<int64_t>(philox(4, at++).word[0]) % below;
  };
  for (int round = 0; round < 200; ++round) {
    std::vector<Occupancy::Row> rows;
    for (int64_t count = random(8); count >= 0; --count) {
      rows.push_back({static_cast<double>(random(30)), random(50)});
    }
    Occupancy::Row extra = rows.back();
    std::vector<Occupancy::Row> others(rows.begin(), rows.end() - 1);
    EXPECT_EQ(Occupancy(others).peak_with(extra), slow_peak(rows));
    Occupancy grown({});
    for (const Occupancy::Row& row : others) grown.add(row);
    EXPECT_EQ(grown.peak_with(extra), slow_peak(rows));
  }
}

}  // namespace
}  // namespace spate
