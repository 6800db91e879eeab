// Guesses how long rows will get, from how long rows got, and how full the cache will be.
//
// Rows that end by themselves teach; rows that a limit ends only say "at least so long". So lengths
// are kept as a life table: of the rows that reached a length, which share ended there. A row's own
// limit caps every answer, which makes the guess exact where rows always run to their limit.
#pragma once

#include <cstdint>
#include <limits>
#include <vector>

namespace spate {

class OutputLengths {
 public:
  explicit OutputLengths(int64_t max_length);

  void reached(int64_t generated);  // a row has so many tokens: call once for each, from 0
  void ended(int64_t generated);    // a row ended by itself with so many

  // The share of rows with `generated` tokens that get at least `more`.
  double share_beyond(int64_t generated, int64_t more) const;
  // The mean output of rows that a limit of `most` ends.
  double mean(int64_t most) const;
  // Tokens that a share of the rows with `generated` does not exceed; at most `most`.
  int64_t quantile_remaining(int64_t generated, int64_t most, double share) const;

 private:
  void refresh() const;
  double survival(int64_t length) const;  // share of rows that get longer

  // Bins begin at lengths about 6 % apart, at every length below 16.
  std::vector<int64_t> begins_;           // [bins + 1]
  std::vector<double> prior_;             // [bins] share of rows that end, while nothing is known
  std::vector<int64_t> reached_, ended_;  // [bins] rows
  mutable bool stale_ = true;
  mutable std::vector<double> survival_;  // [bins + 1], at the bins' beginnings
  mutable std::vector<double> mean_;      // [bins + 1] mean output of rows with that limit
};

// How full the cache will be, at a few moments ahead: rows grow by a token a step and leave with
// the shares that the life table gives, at the latest at their limits.
class Occupancy {
 public:
  struct Row {
    int64_t slots = 0;      // now
    int64_t spare = 0;      // besides, for tokens to come
    int64_t generated = 0;  // tokens
    int64_t limit = 0;      // tokens that it may still get
    bool certain = false;   // whether it gets them
  };
  // `lengths` must outlive it.
  explicit Occupancy(const OutputLengths& lengths, int64_t max_length);

  void add(const Row& row);
  // The fullest it gets with one row more, within so many steps: the mean and some deviations of
  // many futures.
  double peak_with(const Row& row, int64_t steps = std::numeric_limits<int64_t>::max()) const;

 private:
  struct Moment {
    int64_t ahead = 0;              // steps from now
    double mean = 0, variance = 0;  // of slots
  };
  void put(const Row& row, std::vector<Moment>& moments) const;

  const OutputLengths& lengths_;
  std::vector<Moment> moments_;
};

}  // namespace spate
