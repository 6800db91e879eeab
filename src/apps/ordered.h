// Puts finished rows back into the order of the input. Rows arrive in any order under consecutive
// places 0, 1, 2, ...; each call gives out those that nothing before them is missing for.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace spate {

class OrderedLines {
 public:
  // `line` may be empty: the place is taken, and nothing is to be written for it.
  std::vector<std::string> put(int64_t place, std::string line) {
    waiting_.emplace(place, std::move(line));
    std::vector<std::string> ready;
    for (auto first = waiting_.begin(); first != waiting_.end() && first->first == next_;
         first = waiting_.erase(first), ++next_) {
      ready.push_back(std::move(first->second));
    }
    return ready;
  }

  // What still waits, in order: places before it will never come.
  std::vector<std::string> rest() {
    std::vector<std::string> lines;
    for (auto& [place, line] : waiting_) {
      lines.push_back(std::move(line));
    }
    waiting_.clear();
    return lines;
  }

  size_t waiting() const { return waiting_.size(); }

 private:
  int64_t next_ = 0;
  std::map<int64_t, std::string> waiting_;
};

}  // namespace spate
