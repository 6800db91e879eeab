// Which line had an id first, for the ids of a whole input: 64-bit hashes and lines in open
// addressing, 12 bytes a slot, at most 80 % of the slots in use. Among ten million ids two
// different ones meet with a chance of 3 in a million.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

namespace spate {

class FirstLines {
 public:
  // Notes the line, or answers the earlier one that had the id.
  std::optional<int64_t> insert(uint64_t hash, int64_t line) {
    hash = hash == 0 ? 1 : hash;  // 0 marks an empty slot
    if ((count_ + 1) * 5 > hashes_.size() * 4) {
      grow();
    }
    const size_t at = find(hash);
    if (hashes_[at] == hash) {
      return lines_[at];
    }
    hashes_[at] = hash;
    lines_[at] = static_cast<uint32_t>(line);  // files of more than 4 billion lines wrap around
    ++count_;
    return std::nullopt;
  }

 private:
  // Where it is or belongs. The high half of hash * slots spreads over any number of slots.
  size_t find(uint64_t hash) const {
    auto at = static_cast<size_t>(static_cast<unsigned __int128>(hash) * hashes_.size() >> 64);
    while (hashes_[at] != 0 && hashes_[at] != hash) {
      at = at + 1 == hashes_.size() ? 0 : at + 1;
    }
    return at;
  }

  void grow() {
    const size_t slots = hashes_.size() < 1024 ? 1024 : hashes_.size() / 2 * 3;
    std::vector<uint64_t> hashes(slots);
    std::vector<uint32_t> lines(slots);
    hashes.swap(hashes_);
    lines.swap(lines_);
    for (size_t i = 0; i < hashes.size(); ++i) {
      if (hashes[i] != 0) {
        const size_t at = find(hashes[i]);
        hashes_[at] = hashes[i];
        lines_[at] = lines[i];
      }
    }
  }

  std::vector<uint64_t> hashes_;
  std::vector<uint32_t> lines_;
  size_t count_ = 0;
};

}  // namespace spate
