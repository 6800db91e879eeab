// Guesses how long rows will get, from how long rows got, and how full the cache will be.
//
// Rows that end by themselves teach; rows that a limit ends only say "at least so long". So lengths
// are kept as a life table: of the rows that reached a length, which share ended there. A row's own
// limit caps every answer, which makes the guess exact where rows always run to their limit.
#pragma once

#include <cstdint>
#include <vector>

namespace spate {

class OutputLengths {
 public:
  explicit OutputLengths(int64_t max_length);

  void reached(int64_t generated);  // a row has so many tokens: call once for each, from 0
  void ended(int64_t generated);    // a row ended by itself with so many

  // Tokens that a row with `generated` is still expected to get, at most `most`: their mean, and
  // what a share of such rows does not exceed.
  double mean_remaining(int64_t generated, int64_t most) const;
  int64_t quantile_remaining(int64_t generated, int64_t most, double share) const;

 private:
  void refresh() const;
  double survival(double length) const;  // share of rows that get longer
  double area(double length) const;      // integral of survival from 0

  // Bins begin at lengths about 6 % apart, at every length below 16.
  std::vector<int64_t> begins_;           // [bins + 1]
  std::vector<double> prior_;             // [bins] share of rows that end, while nothing is known
  std::vector<int64_t> reached_, ended_;  // [bins] rows
  mutable bool stale_ = true;
  mutable std::vector<double> survival_, area_;  // [bins + 1], at the bins' beginnings
};

// The fullest the cache will be if every row gets its expected length: rows leave in the order of
// what they still have to do, and just before one leaves, all that stay have grown as much as it.
class Occupancy {
 public:
  struct Row {
    double remaining;  // tokens
    int64_t slots;     // now
  };
  explicit Occupancy(std::vector<Row> rows);
  void add(Row row);
  double peak_with(Row row) const;  // with one row more

 private:
  std::vector<Row> rows_;  // most remaining first
};

}  // namespace spate
