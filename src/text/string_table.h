// The strings of a vocabulary, by number and back: all bytes in one block, an open hash table over
// the numbers. A string that occurs twice is found as the one added last.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/token.h"

namespace spate {

class StringTable {
 public:
  StringTable() { offsets_.push_back(0); }

  // Makes room for `count` strings.
  void reserve(size_t count);
  // The string of the next number. With `findable` false, find does not see it.
  void add(std::string_view text, bool findable = true);

  size_t size() const { return offsets_.size() - 1; }
  size_t longest() const { return longest_; }  // bytes
  std::string_view text(Token token) const {
    return std::string_view(bytes_).substr(offsets_[token], offsets_[token + 1] - offsets_[token]);
  }
  Token find(std::string_view text) const;  // -1: none

 private:
  struct Slot {
    uint32_t hash = 0;
    Token token = -1;
  };
  void grow(size_t slots);
  void put(uint64_t hash, Token token);

  std::string bytes_;
  std::vector<size_t> offsets_;  // of each string, and the end
  std::vector<Slot> slots_;      // a power of two, at most half full
  size_t used_ = 0;
  size_t longest_ = 0;
};

}  // namespace spate
