// Puts finished rows back into the order of the input. Rows arrive in any order under consecutive
// places 0, 1, 2, ...; given out are those that nothing before them is missing for. Lines that wait
// are held in memory, until their owner moves them to a file: then 16 bytes a place are left here.
// One thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/check.h"

namespace spate {

class OrderedLines {
 public:
  // A line that is given out: in memory, or where in the file it is, without its newline.
  struct Ready {
    std::string line;
    int64_t offset = -1, bytes = 0;  // offset >= 0: in the file

    bool in_file() const { return offset >= 0; }
  };

  void put(int64_t place, std::string line) {
    if (line.empty()) {
      put_nothing(place);
      return;
    }
    take_place(place) = {kInMemory, static_cast<int64_t>(line.size())};
    memory_bytes_ += static_cast<int64_t>(line.size());
    memory_.emplace(place, std::move(line));
  }
  // The place is taken, and nothing is to be written for it.
  void put_nothing(int64_t place) { take_place(place) = {kInMemory, 0}; }
  // The line is in the file already.
  void put_in_file(int64_t place, int64_t offset, int64_t bytes) {
    take_place(place) = {offset, bytes};
    ++in_file_;
  }

  // The next lines in order: nothing when the next place is missing, else one line or more, of
  // about `most_bytes` together.
  std::vector<Ready> take_ready(int64_t most_bytes) {
    std::vector<Ready> ready;
    while (!places_.empty() && places_.front().bytes != kMissing && most_bytes > 0) {
      const Place place = places_.front();
      if (place.bytes > 0) {
        ready.push_back(take_out(next_, place));
        most_bytes -= place.bytes;
      }
      places_.pop_front();
      ++next_;
    }
    return ready;
  }

  // What still waits, in order, however much is missing between: when nothing more will come.
  std::vector<Ready> take_rest() {
    std::vector<Ready> rest;
    for (; !places_.empty(); places_.pop_front(), ++next_) {
      if (places_.front().bytes > 0) {
        rest.push_back(take_out(next_, places_.front()));
      }
    }
    return rest;
  }

  // All lines in memory as one block that must go to the file at `offset`.
  std::string take_memory(int64_t offset) {
    std::string block;
    block.reserve(static_cast<size_t>(memory_bytes_) + memory_.size());
    for (const auto& [place, line] : memory_) {
      at(place).offset = offset + static_cast<int64_t>(block.size());
      block.append(line).append("\n");
    }
    in_file_ += static_cast<int64_t>(memory_.size());
    memory_.clear();
    memory_bytes_ = 0;
    return block;
  }

  int64_t behind() const {
    return static_cast<int64_t>(places_.size());
  }  // from the first missing on
  int64_t memory_bytes() const { return memory_bytes_; }
  int64_t in_file() const { return in_file_; }  // lines

 private:
  static constexpr int64_t kMissing = -1;
  static constexpr int64_t kInMemory = -1;

  struct Place {
    int64_t offset = kInMemory;
    int64_t bytes = kMissing;  // 0: nothing to write
  };

  Place& at(int64_t place) { return places_[static_cast<size_t>(place - next_)]; }

  Place& take_place(int64_t place) {
    check(place >= next_, "a row has one outcome, place ", place);
    if (place - next_ >= behind()) {
      places_.resize(static_cast<size_t>(place - next_) + 1);
    }
    check(at(place).bytes == kMissing, "a row has one outcome, place ", place);
    return at(place);
  }

  Ready take_out(int64_t number, const Place& place) {
    if (place.offset != kInMemory) {
      --in_file_;
      return {.offset = place.offset, .bytes = place.bytes};
    }
    const auto found = memory_.find(number);
    Ready ready{.line = std::move(found->second)};
    memory_.erase(found);
    memory_bytes_ -= place.bytes;
    return ready;
  }

  int64_t next_ = 0;          // the first place that was not given out
  std::deque<Place> places_;  // from next_ on
  std::map<int64_t, std::string> memory_;
  int64_t memory_bytes_ = 0, in_file_ = 0;
};

}  // namespace spate
