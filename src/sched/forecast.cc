#include "sched/forecast.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

namespace spate {
namespace {

// Before anything is known rows are taken to end after an eighth of the longest sequence, within
// these bounds, and as many rows of evidence outweigh the guess.
constexpr int64_t kShortestGuess = 16, kLongestGuess = 512;
constexpr double kGuessWeight = 4;

// Lengths below kFine have a bin each; from there on every doubling is cut into kFine bins.
constexpr int64_t kFine = 16;

size_t bin_of(int64_t length) {
  if (length < kFine) return static_cast<size_t>(length);
  const int shift = std::bit_width(static_cast<uint64_t>(length / kFine)) - 1;
  return static_cast<size_t>(shift * kFine + (length >> shift));
}

// Where a length lies: in which bin, and how far in it.
struct Place {
  size_t bin;
  double inside;  // 0 to 1
};

Place place_of(double length, const std::vector<int64_t>& begins) {
  const double most = static_cast<double>(begins.back());
  const size_t bin =
      std::min(bin_of(static_cast<int64_t>(std::min(length, most))), begins.size() - 2);
  const auto begin = static_cast<double>(begins[bin]), end = static_cast<double>(begins[bin + 1]);
  return {bin, std::clamp((length - begin) / (end - begin), 0.0, 1.0)};
}

}  // namespace

OutputLengths::OutputLengths(int64_t max_length) {
  const auto guess = static_cast<double>(std::clamp(max_length / 8, kShortestGuess, kLongestGuess));
  const size_t bins = bin_of(max_length) + 1;
  int64_t length = 0;
  for (size_t bin = 0; bin <= bins; ++bin) {
    while (bin_of(length) < bin) ++length;
    begins_.push_back(length);
  }
  for (size_t bin = 0; bin < bins; ++bin) {
    const auto width = static_cast<double>(begins_[bin + 1] - begins_[bin]);
    prior_.push_back(1 - std::exp(-width / guess));
  }
  reached_.resize(bins);
  ended_.resize(bins);
  survival_.resize(bins + 1);
  area_.resize(bins + 1);
}

void OutputLengths::reached(int64_t generated) {
  const size_t bin = bin_of(generated);
  if (begins_[bin] != generated) return;
  ++reached_[bin];
  stale_ = true;
}

void OutputLengths::ended(int64_t generated) {
  ++ended_[bin_of(generated)];
  stale_ = true;
}

double OutputLengths::mean_remaining(int64_t generated, int64_t most) const {
  refresh();
  most = std::max<int64_t>(most, 0);
  const auto from = static_cast<double>(generated), limit = static_cast<double>(most);
  return std::min((area(from + limit) - area(from)) / survival(from), limit);
}

int64_t OutputLengths::quantile_remaining(int64_t generated, int64_t most, double share) const {
  refresh();
  const double target = (1 - share) * survival(static_cast<double>(generated));
  // survival_ falls: the first beginning of a bin that so few rows reach.
  const auto bin = std::partition_point(survival_.begin(), survival_.end() - 1,
                                        [&](double value) { return value > target; });
  const int64_t length = begins_[static_cast<size_t>(bin - survival_.begin())];
  return std::clamp<int64_t>(length - generated, 0, std::max<int64_t>(most, 0));
}

void OutputLengths::refresh() const {
  if (!stale_) return;
  stale_ = false;
  survival_[0] = 1;
  area_[0] = 0;
  for (size_t bin = 0; bin < prior_.size(); ++bin) {
    const double share = (static_cast<double>(ended_[bin]) + kGuessWeight * prior_[bin]) /
                         (static_cast<double>(reached_[bin]) + kGuessWeight);
    survival_[bin + 1] = survival_[bin] * std::clamp(1 - share, 0.0, 1.0);
    const auto width = static_cast<double>(begins_[bin + 1] - begins_[bin]);
    area_[bin + 1] = area_[bin] + width * (survival_[bin] + survival_[bin + 1]) / 2;
  }
}

double OutputLengths::survival(double length) const {
  const auto [bin, inside] = place_of(length, begins_);
  const double share = survival_[bin] + inside * (survival_[bin + 1] - survival_[bin]);
  return std::max(share, std::numeric_limits<double>::min());  // it is divided by
}

double OutputLengths::area(double length) const {
  const auto [bin, inside] = place_of(length, begins_);
  const auto width = static_cast<double>(begins_[bin + 1] - begins_[bin]);
  const double end = survival_[bin] + inside * (survival_[bin + 1] - survival_[bin]);
  return area_[bin] + inside * width * (survival_[bin] + end) / 2;
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
