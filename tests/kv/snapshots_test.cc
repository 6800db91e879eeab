// Snapshots of states: slots for them by random operations against a plain list, and where the
// prefix map has them.
#include "kv/snapshots.h"

#include <gtest/gtest.h>

#include <map>
#include <memory>

#include "base/check.h"
#include "base/random.h"
#include "kv/prefix.h"

namespace spate {
namespace {

constexpr int64_t kBlock = PrefixMap::kBlock;
using Tokens = std::vector<Token>;

struct Random {
  uint64_t key, at = 0;
  size_t operator()(size_t below) { return philox(key, at++).word[0] % below; }
};

// What must hold of a slot: who has it, and how often it is read.
struct Known {
  std::unique_ptr<int> holder;
  int readers = 0;
  uint64_t last_use = 0;
};

TEST(Snapshots, OperationsMatchAPlainList) {
  Random random{.key = 21};
  constexpr int kFirst = 100, kCount = 7;
  Snapshots snapshots({kFirst, kCount});
  std::map<int, Known> known;  // slots that are held or read
  uint64_t clock = 0;
  const auto rests = [&](int slot) {
    Known& one = known.at(slot);
    if (one.readers > 0) return;
    one.last_use = ++clock;
    if (one.holder == nullptr) known.erase(slot);
  };
  const auto any = [&](auto&& fits) {  // a slot that fits, or -1
    std::vector<int> slots;
    for (const auto& [slot, one] : known) {
      if (fits(one)) slots.push_back(slot);
    }
    return slots.empty() ? -1 : slots[random(slots.size())];
  };
  for (int step = 0; step < 20000; ++step) {
    SCOPED_TRACE(step);
    const size_t choice = random(5);
    if (choice == 0) {
      int oldest = -1;
      for (const auto& [slot, one] : known) {
        if (one.readers == 0 && (oldest < 0 || one.last_use < known.at(oldest).last_use)) {
          oldest = slot;
        }
      }
      const bool full = known.size() == kCount;
      const std::optional<int> slot = snapshots.take();
      ASSERT_EQ(slot.has_value(), !full || oldest >= 0);
      if (!slot) continue;
      ASSERT_TRUE(*slot >= kFirst && *slot < kFirst + kCount);
      if (full) {
        ASSERT_EQ(*slot, oldest);
        ASSERT_EQ(*known.at(oldest).holder, Snapshots::kNone) << "its holder was not told";
        known.erase(oldest);
      }
      ASSERT_EQ(known.count(*slot), 0U) << "a slot that is in use was given";
      known[*slot].readers = 1;
    } else if (choice == 1) {
      const int slot = any([](const Known& one) { return one.holder == nullptr; });
      if (slot < 0) continue;
      known[slot].holder = std::make_unique<int>(Snapshots::kNone);
      snapshots.keep(slot, known[slot].holder.get());
      ASSERT_EQ(*known[slot].holder, slot);
    } else if (choice == 2) {
      const int slot = any([](const Known& one) { return one.holder != nullptr; });
      if (slot < 0) continue;
      snapshots.read(slot);
      ++known[slot].readers;
    } else if (choice == 3) {
      const int slot = any([](const Known& one) { return one.readers > 0; });
      if (slot < 0) continue;
      snapshots.release(slot);
      --known[slot].readers;
      rests(slot);
    } else if (random(3) == 0) {
      const int slot = any([](const Known& one) { return one.holder != nullptr; });
      if (slot < 0) continue;
      snapshots.drop(slot);
      ASSERT_EQ(*known[slot].holder, Snapshots::kNone);
      known[slot].holder.reset();
      rests(slot);
    }
    snapshots.check_invariants();
    int64_t held = 0;
    for (const auto& [slot, one] : known) held += one.holder != nullptr ? 1 : 0;
    ASSERT_EQ(snapshots.kept(), held);
  }
}

class PrefixStates : public testing::Test {
 protected:
  static Tokens counting(int64_t count, Token from = 0) {
    Tokens tokens;
    for (Token i = 0; i < count; ++i) tokens.push_back(from + i);
    return tokens;
  }
  // A row that has computed nothing of its promise yet.
  PrefixMap::Node* promise(const Tokens& tokens) {
    std::vector<Segment> shared;
    PrefixMap::Node* node = map.take(tokens, 0, shared);
    return map.promise(node, tokens, {*allocator.allocate(static_cast<int>(tokens.size()))});
  }
  int keep(PrefixMap::Node* node, int64_t length) {
    const std::optional<int> slot = map.take_state();
    map.keep_state(node, length, *slot);
    return *slot;
  }

  SegmentAllocator allocator{400};
  PrefixMap map{allocator, {10, 2}};
};

TEST_F(PrefixStates, AMatchIsUsedFromTheLastSnapshotOn) {
  const Tokens tokens = counting(64);
  PrefixMap::Node* node = promise(tokens);
  EXPECT_EQ(map.next_state(node, 0, 63), 0);
  EXPECT_EQ(map.next_state(node, 0, 64), 64);
  map.computed(node, 64);
  EXPECT_EQ(map.find(tokens).ready, 64);
  EXPECT_EQ(map.find(tokens).begin, 0);
  const int slot = keep(node, 64);
  EXPECT_EQ(map.find(tokens).begin, 64);
  EXPECT_EQ(map.find(counting(50)).ready, 48);
  EXPECT_EQ(map.find(counting(50)).begin, 0);
  EXPECT_EQ(map.next_state(node, 0, 64), 0) << "it is there";

  std::vector<Segment> shared;
  PrefixMap::Node* other = map.take(tokens, 48, shared);  // cuts the node in two
  EXPECT_EQ(map.next_state(other, 0, 64), 48);
  const int second = keep(other, 48);
  EXPECT_NE(second, slot);
  EXPECT_EQ(map.find(counting(50)).begin, 48);
  EXPECT_EQ(map.find(tokens).begin, 64);
  EXPECT_EQ(map.read_state(node, 64), slot);
  EXPECT_EQ(map.read_state(other, 48), second);
  EXPECT_FALSE(map.take_state().has_value()) << "both are read";
  map.release_state(slot);
  map.release_state(slot);  // by the row that made it
  map.check_invariants();
  EXPECT_EQ(map.take_state(), slot) << "the one that nobody reads is given up";
  EXPECT_EQ(map.find(tokens).begin, 48);
}

TEST_F(PrefixStates, RowsThatWaitSayWhereTheyLeave) {
  const Tokens tokens = counting(96);
  PrefixMap::Node* node = promise(tokens);
  map.computed(node, 20);
  Tokens waits = counting(70);
  waits.push_back(1000);
  EXPECT_EQ(map.find(waits).ready, 16);
  EXPECT_EQ(map.find(waits).promised, 48);
  map.want_state(waits);
  map.want_state(counting(40));
  EXPECT_EQ(map.next_state(node, 20, 96), 32);
  EXPECT_EQ(map.next_state(node, 32, 96), 64);
  EXPECT_EQ(map.next_state(node, 64, 96), 96);
  map.computed(node, 64);
  keep(node, 64);
  map.check_invariants();
  EXPECT_EQ(map.find(waits).begin, 64);
  EXPECT_EQ(map.find(waits).promised, 0);
  EXPECT_EQ(map.next_state(node, 64, 96), 96) << "what is passed is not wanted any more";
}

TEST_F(PrefixStates, ASnapshotGoesWithTheEndOfItsNode) {
  const Tokens tokens = counting(64);
  PrefixMap::Node* node = promise(tokens);
  map.computed(node, 64);
  const int slot = keep(node, 64);
  map.release_state(slot);
  map.release(node);
  EXPECT_EQ(map.snapshots().kept(), 1);
  EXPECT_EQ(map.reclaim(1), kBlock);
  map.check_invariants();
  EXPECT_EQ(map.snapshots().kept(), 0);
  EXPECT_EQ(map.find(tokens).ready, 48);
  EXPECT_EQ(map.find(tokens).begin, 0);
}

// The node is gone, the row that goes on from its snapshot is not.
TEST_F(PrefixStates, WhatIsReadOutlivesItsNode) {
  const Tokens tokens = counting(32);
  PrefixMap::Node* node = promise(tokens);
  map.computed(node, 32);
  const int slot = keep(node, 32);
  map.release(node);
  EXPECT_EQ(map.reclaim(400), 32);
  const std::optional<int> other = map.take_state();
  ASSERT_TRUE(other.has_value());
  EXPECT_NE(*other, slot);
  EXPECT_FALSE(map.take_state().has_value());
  map.release_state(slot);
  EXPECT_EQ(map.take_state(), slot);
}

TEST_F(PrefixStates, OfTwoThatKeepTheSameOneIsEnough) {
  const Tokens tokens = counting(32);
  PrefixMap::Node* node = promise(tokens);
  map.computed(node, 32);
  const int first = keep(node, 32), second = keep(node, 32);
  EXPECT_EQ(map.read_state(node, 32), first);
  map.release_state(second);
  EXPECT_EQ(map.take_state(), second) << "it belongs to nobody";
}

}  // namespace
}  // namespace spate
