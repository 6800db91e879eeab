// Slots for snapshots: states of sequences at the ends of nodes of the prefix map, from where later
// rows go on. There are a few; when none is free the one is given up that no row has used for
// longest.
//
// Owner: the prefix map. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

namespace spate {

// The slots of the pool [first, first + count).
struct SnapshotSlots {
  int first = 0, count = 0;
};

class Snapshots {
 public:
  static constexpr int kNone = -1;

  explicit Snapshots(SnapshotSlots slots);

  // A slot for a state that is about to be written. The caller reads it from now on, until
  // release(). Nothing when rows read all of them.
  std::optional<int> take();
  // The slot belongs to whoever has its number in `holder`, which becomes kNone when it is given
  // up.
  void keep(int slot, int* holder);
  void read(int slot);     // one more row goes on from it
  void release(int slot);  // by a reader
  void drop(int slot);     // by its holder

  bool exist() const { return !slots_.empty(); }
  int64_t kept() const;
  const int* holder_of(int slot) const { return at(slot).holder; }
  void check_invariants() const;  // for tests

 private:
  struct Slot {
    int* holder = nullptr;
    int64_t readers = 0;
    uint64_t last_use = 0;
  };

  Slot& at(int slot) { return slots_.at(static_cast<size_t>(slot - first_)); }
  const Slot& at(int slot) const { return slots_.at(static_cast<size_t>(slot - first_)); }
  void rest(int slot);

  int first_;
  std::vector<Slot> slots_;
  std::vector<int> free_;                      // neither held nor read
  std::set<std::pair<uint64_t, int>> unused_;  // held and not read, by last use
  uint64_t clock_ = 0;                         // counts uses
};

}  // namespace spate
