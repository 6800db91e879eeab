#include "kv/snapshots.h"

#include <algorithm>

#include "base/check.h"

namespace spate {

Snapshots::Snapshots(SnapshotSlots slots)
    : first_(slots.first), slots_(static_cast<size_t>(slots.count)) {
  for (int slot = slots.count; slot-- > 0;) free_.push_back(first_ + slot);
}

std::optional<int> Snapshots::take() {
  if (free_.empty()) {
    if (unused_.empty()) return {};
    drop(unused_.begin()->second);
  }
  const int slot = free_.back();
  free_.pop_back();
  at(slot).readers = 1;
  return slot;
}

void Snapshots::keep(int slot, int* holder) {
  check(at(slot).holder == nullptr && at(slot).readers > 0, "a snapshot gets a second holder");
  at(slot).holder = holder;
  *holder = slot;
}

void Snapshots::read(int slot) {
  Slot& read = at(slot);
  check(read.holder != nullptr, "a snapshot that nobody holds is read");
  unused_.erase({read.last_use, slot});
  ++read.readers;
}

void Snapshots::release(int slot) {
  check(at(slot).readers > 0, "a snapshot that nobody reads is released");
  --at(slot).readers;
  rest(slot);
}

void Snapshots::drop(int slot) {
  Slot& dropped = at(slot);
  check(dropped.holder != nullptr && *dropped.holder == slot, "a snapshot has another holder");
  *dropped.holder = kNone;
  dropped.holder = nullptr;
  unused_.erase({dropped.last_use, slot});
  rest(slot);
}

// A slot that nobody reads waits to be used again.
void Snapshots::rest(int slot) {
  Slot& resting = at(slot);
  if (resting.readers > 0) return;
  if (resting.holder == nullptr) {
    free_.push_back(slot);
    return;
  }
  resting.last_use = ++clock_;
  unused_.emplace(resting.last_use, slot);
}

int64_t Snapshots::kept() const {
  return std::ranges::count_if(slots_, [](const Slot& slot) { return slot.holder != nullptr; });
}

void Snapshots::check_invariants() const {
  size_t free = 0, unused = 0;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const int slot = first_ + static_cast<int>(i);
    const Slot& one = slots_[i];
    check(one.readers >= 0, "fewer than no readers");
    check(one.holder == nullptr || *one.holder == slot, "a holder has another snapshot");
    const bool rests = one.readers == 0;
    free += rests && one.holder == nullptr ? 1 : 0;
    const bool listed = unused_.count({one.last_use, slot}) > 0;
    check(listed == (rests && one.holder != nullptr), "an unused snapshot is not listed");
    unused += listed ? 1 : 0;
  }
  check(free == free_.size() && unused == unused_.size(), "snapshots leak: ", free, " free, ",
        free_.size(), " listed");
}

}  // namespace spate
