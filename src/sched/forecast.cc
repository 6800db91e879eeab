#include "sched/forecast.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace spate {
namespace {

// Before anything is known rows are taken to end after an eighth of the longest sequence, within
// these bounds, and as many rows of evidence outweigh the guess.
constexpr int64_t kShortestGuess = 16, kLongestGuess = 512;
constexpr double kGuessWeight = 4;

}  // namespace

OutputLengths::OutputLengths(int64_t max_length)
    : width_(std::max<int64_t>(1, (max_length + kBins - 1) / kBins)),
      reached_(kBins),
      ended_(kBins),
      survival_(kBins + 1),
      area_(kBins + 1) {
  const auto guess = static_cast<double>(std::clamp(max_length / 8, kShortestGuess, kLongestGuess));
  prior_ = 1 - std::exp(-static_cast<double>(width_) / guess);
}

void OutputLengths::reached(int64_t generated) {
  if (generated % width_ != 0) return;
  ++reached_[static_cast<size_t>(std::min(generated / width_, kBins - 1))];
  stale_ = true;
}

void OutputLengths::ended(int64_t generated) {
  ++ended_[static_cast<size_t>(std::min(generated / width_, kBins - 1))];
  stale_ = true;
}

double OutputLengths::mean_remaining(int64_t generated, int64_t most) const {
  refresh();
  const auto from = static_cast<double>(generated);
  const double mean =
      (area(from + static_cast<double>(std::max<int64_t>(most, 0))) - area(from)) / survival(from);
  return std::min(mean, static_cast<double>(most));
}

int64_t OutputLengths::quantile_remaining(int64_t generated, int64_t most, double share) const {
  refresh();
  const double target = (1 - share) * survival(static_cast<double>(generated));
  // survival_ falls: the first bin boundary at or under the target.
  const auto bin = std::partition_point(survival_.begin(), survival_.end(),
                                        [&](double value) { return value > target; });
  const int64_t length = (bin - survival_.begin()) * width_;
  return std::clamp<int64_t>(length - generated, 0, std::max<int64_t>(most, 0));
}

void OutputLengths::refresh() const {
  if (!stale_) return;
  stale_ = false;
  survival_[0] = 1;
  area_[0] = 0;
  for (size_t bin = 0; bin < kBins; ++bin) {
    const double share = (static_cast<double>(ended_[bin]) + kGuessWeight * prior_) /
                         (static_cast<double>(reached_[bin]) + kGuessWeight);
    survival_[bin + 1] = survival_[bin] * std::max(1 - share, 1e-3);
    area_[bin + 1] =
        area_[bin] + static_cast<double>(width_) * (survival_[bin] + survival_[bin + 1]) / 2;
  }
}

double OutputLengths::survival(double length) const {
  const double place = std::min(length / static_cast<double>(width_), double{kBins});
  const auto bin = std::min(static_cast<size_t>(place), static_cast<size_t>(kBins - 1));
  const double inside = place - static_cast<double>(bin);
  // Never zero: 1e-3 a bin stays a number, and divisions by it give at most the row's own limit.
  return std::max(survival_[bin] + inside * (survival_[bin + 1] - survival_[bin]), 1e-300);
}

double OutputLengths::area(double length) const {
  const double place = std::min(length / static_cast<double>(width_), double{kBins});
  const auto bin = std::min(static_cast<size_t>(place), static_cast<size_t>(kBins - 1));
  const double inside = place - static_cast<double>(bin);
  const double end = survival_[bin] + inside * (survival_[bin + 1] - survival_[bin]);
  return area_[bin] + inside * static_cast<double>(width_) * (survival_[bin] + end) / 2;
}

namespace {

bool longer(const Occupancy::Row& a, const Occupancy::Row& b) { return a.remaining > b.remaining; }

}  // namespace

Occupancy::Occupancy(std::vector<Row> rows) : rows_(std::move(rows)) {
  std::sort(rows_.begin(), rows_.end(), longer);
}

void Occupancy::add(Row row) {
  rows_.insert(std::upper_bound(rows_.begin(), rows_.end(), row, longer), row);
}

double Occupancy::peak_with(Row row) const {
  double peak = 0, now = 0, alive = 0;
  const auto leaves = [&](const Row& leaving) {
    now += static_cast<double>(leaving.slots);
    alive += 1;
    peak = std::max(peak, now + alive * leaving.remaining);
  };
  const auto place = std::upper_bound(rows_.begin(), rows_.end(), row, longer);
  std::for_each(rows_.begin(), place, leaves);
  leaves(row);
  std::for_each(place, rows_.end(), leaves);
  return peak;
}

}  // namespace spate
