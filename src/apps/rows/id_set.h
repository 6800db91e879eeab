// A set of 64-bit hashes: open addressing, 8 bytes a slot, at most 80 % of the slots in use.
// Not for keys that must never be mistaken: among ten million ids two meet with a chance of 3 in a
// million.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace spate {

class IdSet {
 public:
  // False when it was there.
  bool insert(uint64_t hash) {
    hash = hash == 0 ? 1 : hash;  // 0 marks an empty slot
    if ((count_ + 1) * 5 > slots_.size() * 4) {
      grow();
    }
    uint64_t& slot = find(hash);
    if (slot == hash) {
      return false;
    }
    slot = hash;
    ++count_;
    return true;
  }

  size_t size() const { return count_; }

 private:
  // Where it is or belongs. The high half of hash * slots spreads over any number of slots.
  uint64_t& find(uint64_t hash) {
    auto at = static_cast<size_t>(static_cast<unsigned __int128>(hash) * slots_.size() >> 64);
    while (slots_[at] != 0 && slots_[at] != hash) {
      at = at + 1 == slots_.size() ? 0 : at + 1;
    }
    return slots_[at];
  }

  void grow() {
    std::vector<uint64_t> old(slots_.size() < 1024 ? 1024 : slots_.size() / 2 * 3);
    old.swap(slots_);
    for (const uint64_t hash : old) {
      if (hash != 0) {
        find(hash) = hash;
      }
    }
  }

  std::vector<uint64_t> slots_;
  size_t count_ = 0;
};

}  // namespace spate
