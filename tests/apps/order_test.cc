// Rows back into the order of the input, and the door that lets them in by their order.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "apps/run/admission.h"
#include "apps/run/ordered.h"
#include "base/random.h"

namespace spate {
namespace {

std::vector<std::string> lines_of(const std::vector<OrderedLines::Ready>& ready) {
  std::vector<std::string> lines;
  for (const OrderedLines::Ready& one : ready) {
    lines.push_back(one.in_file() ? cat("@", one.offset, "+", one.bytes) : one.line);
  }
  return lines;
}

using Lines = std::vector<std::string>;

TEST(Ordered, GivesOutWhatNothingIsMissingFor) {
  OrderedLines ordered;
  ordered.put(1, "b");
  ordered.put(3, "d");
  EXPECT_EQ(lines_of(ordered.take_ready(100)), Lines{});
  EXPECT_EQ(ordered.behind(), 4);
  ordered.put(0, "a");
  EXPECT_EQ(lines_of(ordered.take_ready(100)), (Lines{"a", "b"}));
  ordered.put_nothing(2);
  EXPECT_EQ(lines_of(ordered.take_ready(100)), Lines{"d"});
  ordered.put(5, "f");
  ordered.put(7, "h");
  EXPECT_EQ(ordered.behind(), 4);
  EXPECT_EQ(ordered.memory_bytes(), 2);
  EXPECT_EQ(lines_of(ordered.take_rest()), (Lines{"f", "h"}));
  EXPECT_EQ(ordered.behind(), 0);
  EXPECT_EQ(ordered.memory_bytes(), 0);
}

TEST(Ordered, LinesGoToAFileAndComeBack) {
  OrderedLines ordered;
  ordered.put(2, "cc");
  ordered.put(1, "bbb");
  EXPECT_EQ(ordered.take_memory(10), "bbb\ncc\n");
  EXPECT_EQ(ordered.memory_bytes(), 0);
  EXPECT_EQ(ordered.in_file(), 2);
  ordered.put(3, "d");
  ordered.put_in_file(4, 99, 5);
  ordered.put(0, "a");
  EXPECT_EQ(lines_of(ordered.take_ready(4)), (Lines{"a", "@10+3"}));  // so much and no more
  EXPECT_EQ(lines_of(ordered.take_ready(100)), (Lines{"@14+2", "d", "@99+5"}));
  EXPECT_EQ(ordered.in_file(), 0);
}

TEST(Ordered, APlaceIsTakenOnce) {
  OrderedLines ordered;
  ordered.put(1, "b");
  EXPECT_THROW(ordered.put(1, "again"), Error);
  ordered.put(0, "a");
  ordered.take_ready(100);
  EXPECT_THROW(ordered.put_nothing(0), Error);
}

TEST(Ordered, AnyOrderComesOutSorted) {
  constexpr int kRows = 500;
  std::vector<int> places;
  for (int i = 0; i < kRows; ++i) places.push_back(i);
  for (size_t i = kRows - 1; i > 0; --i) {
    std::swap(places[i], places[philox(3, i).word[0] % (i + 1)]);
  }
  OrderedLines ordered;
  std::string file;
  std::vector<std::string> out;
  for (const int place : places) {
    ordered.put(place, std::to_string(place));
    if (place % 7 == 0) file += ordered.take_memory(static_cast<int64_t>(file.size()));
    for (const OrderedLines::Ready& one : ordered.take_ready(1 + place % 9)) {
      out.push_back(one.in_file() ? file.substr(static_cast<size_t>(one.offset),
                                                static_cast<size_t>(one.bytes))
                                  : one.line);
    }
  }
  while (ordered.behind() > 0) {
    for (const OrderedLines::Ready& one : ordered.take_ready(50)) {
      out.push_back(one.in_file() ? file.substr(static_cast<size_t>(one.offset),
                                                static_cast<size_t>(one.bytes))
                                  : one.line);
    }
  }
  ASSERT_EQ(out.size(), static_cast<size_t>(kRows));
  for (int i = 0; i < kRows; ++i) EXPECT_EQ(out[static_cast<size_t>(i)], std::to_string(i));
}

TEST(Admission, LetsInByOrderAndNeverTooMany) {
  constexpr int64_t kRows = 400, kMost = 7;
  Admission admission(kMost, 1'000'000);
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::vector<int64_t> entered;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int64_t place = next++; place < kRows; place = next++) {
        ASSERT_TRUE(admission.enter(place, 10));
        {
          const std::lock_guard lock(mutex);
          entered.push_back(place);
        }
        EXPECT_LE(admission.inside(), kMost);
        admission.free_bytes(10);
        admission.leave(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(entered.size(), static_cast<size_t>(kRows));
  EXPECT_EQ(admission.inside(), 0);
  EXPECT_EQ(admission.bytes(), 0);
  EXPECT_LE(admission.most_seen(), kMost);
}

// Rows of 10 bytes come by themselves; the one of 1,000 enters alone, whatever the bound.
TEST(Admission, BytesAreBoundedToo) {
  constexpr int64_t kRows = 60, kMost = 35;
  const auto bytes = [](int64_t place) { return place == 20 ? 1000 : 10; };
  Admission admission(100, kMost);
  std::mutex mutex;
  std::vector<int64_t> inside;
  std::atomic<int64_t> left{0};
  std::thread enters([&] {
    for (int64_t place = 0; place < kRows; ++place) {
      ASSERT_TRUE(admission.enter(place, bytes(place)));
      const std::lock_guard lock(mutex);
      inside.push_back(place);
      int64_t sum = 0;
      for (const int64_t one : inside) sum += bytes(one);
      EXPECT_TRUE(sum <= kMost || inside.size() == 1) << "place " << place;
    }
  });
  while (left < kRows) {
    int64_t place = -1;
    {
      const std::lock_guard lock(mutex);
      if (inside.empty()) continue;
      place = inside.front();
      inside.erase(inside.begin());
    }
    admission.free_bytes(bytes(place));
    admission.leave(1);
    ++left;
  }
  enters.join();
  EXPECT_EQ(admission.inside(), 0);
  EXPECT_EQ(admission.bytes(), 0);
}

TEST(Admission, CloseWakesWhoWaits) {
  Admission admission(1, 10);
  ASSERT_TRUE(admission.enter(0, 1));
  std::thread waits([&] { EXPECT_FALSE(admission.enter(1, 1)); });
  admission.close();
  waits.join();
  EXPECT_FALSE(admission.enter(1, 1));
}

}  // namespace
}  // namespace spate
