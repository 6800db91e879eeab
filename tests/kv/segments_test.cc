// The allocator against an array of flags, and how much of a pool it loses to fragmentation.
#include "kv/segments.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <iostream>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace spate {
namespace {

struct Random {
  uint64_t key, at = 0;
  int operator()(int below) {
    return static_cast<int>(philox(key, at++).word[0] % static_cast<uint32_t>(below));
  }
};

// A pool as a list of flags.
struct Flags {
  std::vector<bool> used;

  void set(Segment segment, bool value) {
    for (int slot = segment.begin; slot < segment.end; ++slot) {
      ASSERT_NE(used.at(static_cast<size_t>(slot)), value) << "slot " << slot;
      used[static_cast<size_t>(slot)] = value;
    }
  }
  // Maximal free runs, in order.
  std::vector<Segment> runs() const {
    std::vector<Segment> out;
    for (int slot = 0; slot < static_cast<int>(used.size()); ++slot) {
      if (used[static_cast<size_t>(slot)]) continue;
      if (out.empty() || out.back().end != slot) out.push_back({slot, slot});
      ++out.back().end;
    }
    return out;
  }
  // The shortest free run of at least `tokens`: its size, or 0.
  int best(int tokens) const {
    int size = 0;
    for (const Segment& run : runs()) {
      if (run.size() >= tokens && (size == 0 || run.size() < size)) size = run.size();
    }
    return size;
  }
  // The size of the free run that holds a slot.
  int run_at(int slot) const {
    for (const Segment& run : runs()) {
      if (run.begin <= slot && slot < run.end) return run.size();
    }
    return 0;
  }
};

void expect_same(const SegmentAllocator& allocator, const Flags& flags) {
  const std::vector<Segment> runs = flags.runs();
  int free = 0, largest = 0;
  for (const Segment& run : runs) {
    free += run.size();
    largest = std::max(largest, run.size());
  }
  ASSERT_EQ(allocator.free_slots(), free);
  ASSERT_EQ(allocator.largest_free(), largest);
  ASSERT_EQ(allocator.free_runs(), static_cast<int>(runs.size())) << "neighbours are not merged";
}

TEST(Segments, RandomOperationsMatchFlags) {
  for (const int slots : {1, 7, 64, 300}) {
    SCOPED_TRACE(slots);
    SegmentAllocator allocator(slots);
    Flags flags{std::vector<bool>(static_cast<size_t>(slots))};
    std::vector<Segment> owned;
    Random random{.key = static_cast<uint64_t>(slots)};
    for (int step = 0; step < 4000; ++step) {
      const int wanted = 1 + random(std::max(2, slots / 4));
      switch (random(5)) {
        case 0:
        case 1: {
          const int best = flags.best(wanted);
          const auto segment = allocator.allocate(wanted);
          ASSERT_EQ(segment.has_value(), best > 0);
          if (!segment) break;
          ASSERT_EQ(segment->size(), wanted);
          ASSERT_EQ(flags.run_at(segment->begin), best) << "not the best fit";
          flags.set(*segment, true);
          owned.push_back(*segment);
          break;
        }
        case 2: {
          const int most = std::min(wanted, allocator.largest_free());
          const auto segment = allocator.allocate_up_to(wanted);
          ASSERT_EQ(segment ? segment->size() : 0, most);
          if (!segment) break;
          flags.set(*segment, true);
          owned.push_back(*segment);
          break;
        }
        case 3: {
          if (owned.empty()) break;
          Segment& segment = owned[static_cast<size_t>(random(static_cast<int>(owned.size())))];
          const int end = segment.end;
          int room = 0;
          while (room < wanted && end + room < slots &&
                 !flags.used[static_cast<size_t>(end + room)]) {
            ++room;
          }
          ASSERT_EQ(allocator.extend(segment, wanted), room);
          ASSERT_EQ(segment.end, end + room);
          flags.set({end, end + room}, true);
          break;
        }
        case 4: {  // a whole segment, or one of its ends
          if (owned.empty()) break;
          const auto at = static_cast<size_t>(random(static_cast<int>(owned.size())));
          Segment& segment = owned[at];
          Segment part = segment;
          if (segment.size() > 1 && random(2) == 0) {
            part.begin += random(segment.size());
            segment.end = part.begin;
          } else {
            segment.end = segment.begin;
          }
          allocator.release(part);
          flags.set(part, false);
          if (segment.size() == 0) owned.erase(owned.begin() + static_cast<std::ptrdiff_t>(at));
          break;
        }
      }
      ASSERT_NO_FATAL_FAILURE(expect_same(allocator, flags));
    }
    for (const Segment& segment : owned) allocator.release(segment);
    EXPECT_EQ(allocator.free_slots(), slots);
    EXPECT_EQ(allocator.free_runs(), 1);
  }
}

TEST(Segments, GrowsInPlaceOnlyIntoFreeNeighbours) {
  SegmentAllocator allocator(10);
  Segment first = *allocator.allocate(4), second = *allocator.allocate(3);
  EXPECT_EQ(allocator.extend(first, 1), 0);
  EXPECT_EQ(allocator.extend(second, 2), 2);
  EXPECT_EQ(second, (Segment{4, 9}));
  allocator.release(second);
  EXPECT_EQ(allocator.extend(first, 100), 6);
  EXPECT_EQ(first, (Segment{0, 10}));
  EXPECT_FALSE(allocator.allocate(1));
  EXPECT_FALSE(allocator.allocate_up_to(1));
}

TEST(Segments, WrongReleasesAreFound) {
  SegmentAllocator allocator(10);
  const Segment first = *allocator.allocate(4);
  allocator.release(first);
  EXPECT_THROW(allocator.release(first), Error);
  EXPECT_THROW(allocator.release({8, 11}), Error);
  EXPECT_THROW(allocator.release({-1, 0}), Error);
  EXPECT_THROW(allocator.allocate(0), Error);
  SegmentAllocator empty(0);
  EXPECT_FALSE(empty.allocate_up_to(5));
  EXPECT_EQ(empty.free_runs(), 0);
}

struct Fragmentation {
  double whole = 0;    // share of rows that found one segment
  double pieces = 0;   // segments a row
  double largest = 0;  // share of the free slots that is in the longest run
};

// Rows of random length come into a pool that is kept `full`, and leave it in random order, as they
// do under load.
Fragmentation run_full(double full) {
  constexpr int kSlots = 100000, kRounds = 20000, kWarm = 2000;
  SegmentAllocator allocator(kSlots);
  Random random{.key = 3};
  std::vector<std::vector<Segment>> rows;
  Fragmentation sum;
  for (int round = 0; round < kRounds; ++round) {
    // Lengths as of chat: mostly short, some ten times as long.
    const int length = 50 + random(400) + (random(8) == 0 ? random(4000) : 0);
    while (allocator.free_slots() - length < (1 - full) * kSlots) {
      const auto leaving = static_cast<size_t>(random(static_cast<int>(rows.size())));
      for (const Segment& segment : rows[leaving]) allocator.release(segment);
      rows[leaving] = std::move(rows.back());
      rows.pop_back();
    }
    std::vector<Segment> row;
    for (int need = length; need > 0; need -= row.back().size()) {
      row.push_back(*allocator.allocate_up_to(need));
    }
    rows.push_back(std::move(row));
    if (round < kWarm) continue;
    sum.whole += rows.back().size() == 1 ? 1 : 0;
    sum.pieces += static_cast<double>(rows.back().size());
    sum.largest += static_cast<double>(allocator.largest_free()) / allocator.free_slots();
  }
  const double count = kRounds - kWarm;
  return {sum.whole / count, sum.pieces / count, sum.largest / count};
}

TEST(Segments, FragmentationUnderLoadStaysLow) {
  for (const double full : {0.8, 0.9, 0.95, 0.97}) {
    const Fragmentation found = run_full(full);
    std::cout << 100 * full << " % full: " << 100 * found.whole << " % of rows in one segment, "
              << found.pieces << " segments a row, longest free run " << 100 * found.largest
              << " % of the free slots\n";
    EXPECT_GT(found.whole, full > 0.9 ? 0.6 : 0.9);
    EXPECT_LT(found.pieces, full > 0.9 ? 2 : 1.3);
  }
}

}  // namespace
}  // namespace spate
