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

// Standard deviations above the mean that the cache must hold.
constexpr double kDeviations = 1;

// Lengths below kFine have a bin each; from there on every doubling is cut into kFine bins.
constexpr int64_t kFine = 16;

size_t bin_of(int64_t length) {
  if (length < kFine) return static_cast<size_t>(length);
  const int shift = std::bit_width(static_cast<uint64_t>(length / kFine)) - 1;
  return static_cast<size_t>(shift * kFine + (length >> shift));
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
  mean_.resize(bins + 1);
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

int64_t OutputLengths::quantile_remaining(int64_t generated, int64_t most, double share) const {
  refresh();
  const double target = (1 - share) * survival(generated);
  // survival_ falls: the first beginning of a bin that so few rows reach.
  const auto bin = std::partition_point(survival_.begin(), survival_.end() - 1,
                                        [&](double value) { return value > target; });
  const int64_t length = begins_[static_cast<size_t>(bin - survival_.begin())];
  return std::clamp<int64_t>(length - generated, 0, std::max<int64_t>(most, 0));
}

double OutputLengths::mean(int64_t most) const {
  refresh();
  most = std::clamp<int64_t>(most, 0, begins_.back() - 1);
  const size_t bin = bin_of(most);
  const auto inside = static_cast<double>(most - begins_[bin]);
  return mean_[bin] + inside * (survival_[bin] + survival(most)) / 2;
}

double OutputLengths::share_beyond(int64_t generated, int64_t more) const {
  refresh();
  return survival(static_cast<double>(generated + more)) / survival(static_cast<double>(generated));
}

void OutputLengths::refresh() const {
  if (!stale_) return;
  stale_ = false;
  survival_[0] = 1;
  for (size_t bin = 0; bin < prior_.size(); ++bin) {
    const double share = (static_cast<double>(ended_[bin]) + kGuessWeight * prior_[bin]) /
                         (static_cast<double>(reached_[bin]) + kGuessWeight);
    survival_[bin + 1] = survival_[bin] * std::clamp(1 - share, 0.0, 1.0);
    const auto width = static_cast<double>(begins_[bin + 1] - begins_[bin]);
    mean_[bin + 1] = mean_[bin] + width * (survival_[bin] + survival_[bin + 1]) / 2;
  }
}

double OutputLengths::survival(int64_t length) const {
  length = std::min(length, begins_.back());
  const size_t bin = std::min(bin_of(length), prior_.size() - 1);
  const auto inside = static_cast<double>(length - begins_[bin]) /
                      static_cast<double>(begins_[bin + 1] - begins_[bin]);
  const double share = survival_[bin] + inside * (survival_[bin + 1] - survival_[bin]);
  return std::max(share, std::numeric_limits<double>::min());  // it is divided by
}

Occupancy::Occupancy(const OutputLengths& lengths, int64_t max_length) : lengths_(lengths) {
  // 0, 8, 12, 16, 24, 32, 48, ...
  moments_.push_back({});
  for (int64_t ahead = 8; ahead < max_length; ahead *= 2) {
    moments_.push_back({.ahead = ahead});
    moments_.push_back({.ahead = ahead + ahead / 2});
  }
}

void Occupancy::put(const Row& row, std::vector<Moment>& moments) const {
  for (Moment& moment : moments) {
    // A row that reaches its limit since the moment before counts as it is there.
    const int64_t ahead = std::min(moment.ahead, row.limit);
    const double stays = row.certain ? 1 : lengths_.share_beyond(row.generated, ahead);
    const auto slots = static_cast<double>(row.slots + std::min(ahead + row.spare, row.limit));
    moment.mean += stays * slots;
    moment.variance += stays * (1 - stays) * slots * slots;
    if (moment.ahead >= row.limit) break;
  }
}

void Occupancy::add(const Row& row) { put(row, moments_); }

double Occupancy::peak_with(const Row& row, int64_t steps) const {
  std::vector<Moment> moments = moments_;
  put(row, moments);
  double peak = 0;
  for (const Moment& moment : moments) {
    peak = std::max(peak, moment.mean + kDeviations * std::sqrt(moment.variance));
    if (moment.ahead >= steps) break;
  }
  return peak;
}

}  // namespace spate
