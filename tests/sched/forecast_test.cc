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

// Geometric, mean 200.
int64_t random_length(uint64_t at) {
  return static_cast<int64_t>(-200 * std::log(open_uniform(philox(9, at).word[0])));
}

TEST(Forecast, ALimitIsExactWhereNothingEndsByItself) {
  OutputLengths lengths(4096);
  for (int i = 0; i < 1000; ++i) live_through(lengths, 300, false);
  EXPECT_GT(lengths.share_beyond(0, 200), 0.97);
  EXPECT_EQ(lengths.quantile_remaining(0, 200, 0.75), 200);
  EXPECT_EQ(lengths.quantile_remaining(100, 0, 0.75), 0);
}

TEST(Forecast, LearnsLengthsAndTheirTails) {
  OutputLengths lengths(8192);
  for (uint64_t i = 0; i < 4000; ++i) live_through(lengths, random_length(i), true);
  for (const int64_t more : {20, 100, 200, 500}) {
    const double expected = std::exp(-static_cast<double>(more) / 200);
    EXPECT_NEAR(lengths.share_beyond(0, more), expected, 0.03) << more;
    EXPECT_NEAR(lengths.share_beyond(150, more), expected, 0.05) << "such rows never age";
  }
  EXPECT_NEAR(static_cast<double>(lengths.quantile_remaining(0, 8000, 0.5)), 139, 20);
  EXPECT_NEAR(static_cast<double>(lengths.quantile_remaining(0, 8000, 0.9)), 460, 40);
  EXPECT_EQ(lengths.quantile_remaining(0, 50, 0.9), 50);
}

TEST(Forecast, KnowsNothingAtFirstAndNeverBreaks) {
  for (const int64_t longest : {1, 16, 110, 4096, 1000000}) {
    OutputLengths lengths(longest);
    for (const int64_t generated : {int64_t{0}, longest / 2, longest}) {
      double before = 1;
      for (int64_t more = 0; generated + more <= longest; more += 1 + longest / 50) {
        const double share = lengths.share_beyond(generated, more);
        EXPECT_LE(share, before);
        EXPECT_GE(share, 0);
        before = share;
      }
      EXPECT_LE(lengths.quantile_remaining(generated, 10, 0.9), 10);
      lengths.reached(generated);
      lengths.ended(generated);
    }
  }
}

TEST(Forecast, RowsThatOnlyLimitsEndLeaveAtTheirLimits) {
  OutputLengths lengths(4096);
  for (int i = 0; i < 100000; ++i) lengths.reached(0);
  for (int64_t generated = 1; generated < 200; ++generated) {
    for (int i = 0; i < 100000; ++i) lengths.reached(generated);
  }
  Occupancy occupancy(lengths, 4096);
  occupancy.add({.slots = 100, .limit = 40});
  EXPECT_NEAR(occupancy.peak_with({.slots = 50, .limit = 10}), 172, 1) << "at 12: 112 + 60";
  EXPECT_NEAR(occupancy.peak_with({.slots = 10, .limit = 10}), 140, 1) << "at its end, alone";
  EXPECT_NEAR(occupancy.peak_with({.slots = 50, .limit = 40}), 230, 1) << "at the end of both";
  EXPECT_NEAR(occupancy.peak_with({.slots = 50, .limit = 40}, 16), 182, 1) << "at 16: 116 + 66";
  EXPECT_NEAR(occupancy.peak_with({.slots = 50, .spare = 32, .limit = 40}), 230, 1)
      << "a row at its end has no slots to spare";
}

TEST(Forecast, RowsThatNothingElseEndsAreCertain) {
  OutputLengths lengths(4096);
  for (int i = 0; i < 1000; ++i) live_through(lengths, 20, true);  // as all others do
  Occupancy occupancy(lengths, 4096);
  occupancy.add({.slots = 100, .limit = 40, .certain = true});
  EXPECT_NEAR(occupancy.peak_with({.slots = 50, .limit = 40, .certain = true}), 230, 1e-9);
  EXPECT_LT(occupancy.peak_with({.slots = 50, .limit = 40}), 200);
}

// Many futures of the same rows, step by step.
TEST(Forecast, PeakMatchesManyFutures) {
  OutputLengths lengths(2048);
  for (uint64_t i = 0; i < 4000; ++i) live_through(lengths, random_length(i), true);
  constexpr size_t kRows = 60, kFutures = 400, kSteps = 400;
  Occupancy occupancy(lengths, 2048);
  std::vector<double> sum(kSteps), squares(kSteps);
  const auto row_at = [](size_t i) {
    return Occupancy::Row{.slots = static_cast<int64_t>(50 + 5 * i),
                          .generated = static_cast<int64_t>(3 * i),
                          .limit = static_cast<int64_t>(i % 3 == 0 ? 60 : 1000)};
  };
  for (size_t i = 0; i + 1 < kRows; ++i) occupancy.add(row_at(i));
  for (size_t future = 0; future < kFutures; ++future) {
    std::vector<double> slots(kSteps);
    for (size_t i = 0; i < kRows; ++i) {
      const Occupancy::Row row = row_at(i);
      const int64_t more = std::min(random_length(10000 + future * kRows + i), row.limit);
      for (size_t step = 0; step < kSteps && static_cast<int64_t>(step) <= more; ++step) {
        slots[step] += static_cast<double>(row.slots) + static_cast<double>(step);
      }
    }
    for (size_t step = 0; step < kSteps; ++step) {
      sum[step] += slots[step];
      squares[step] += slots[step] * slots[step];
    }
  }
  double peak = 0;
  for (size_t step = 0; step < kSteps; ++step) {
    const double mean = sum[step] / kFutures;
    peak = std::max(peak, mean + std::sqrt(squares[step] / kFutures - mean * mean));
  }
  EXPECT_NEAR(occupancy.peak_with(row_at(kRows - 1)) / peak, 1, 0.03);
}

}  // namespace
}  // namespace spate
