// Rows back into the order of the input, and the door that lets them in by their order.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "apps/admission.h"
#include "apps/ordered.h"
#include "base/random.h"

namespace spate {
namespace {

TEST(Ordered, GivesOutWhatNothingIsMissingFor) {
  OrderedLines ordered;
  EXPECT_TRUE(ordered.put(1, "b").empty());
  EXPECT_TRUE(ordered.put(3, "d").empty());
  EXPECT_EQ(ordered.put(0, "a"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(ordered.put(2, ""), (std::vector<std::string>{"", "d"}));
  EXPECT_TRUE(ordered.put(5, "f").empty());
  EXPECT_EQ(ordered.waiting(), 1U);
  EXPECT_EQ(ordered.rest(), (std::vector<std::string>{"f"}));
  EXPECT_EQ(ordered.waiting(), 0U);
}

TEST(Ordered, AnyOrderComesOutSorted) {
  constexpr int kRows = 500;
  std::vector<int> places;
  for (int i = 0; i < kRows; ++i) places.push_back(i);
  for (size_t i = kRows - 1; i > 0; --i) {
    std::swap(places[i], places[philox(3, i).word[0] % (i + 1)]);
  }
  OrderedLines ordered;
  std::vector<std::string> out;
  for (const int place : places) {
    for (std::string& line : ordered.put(place, std::to_string(place))) {
      out.push_back(std::move(line));
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
