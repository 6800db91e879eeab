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
  Admission admission(kMost);
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::vector<int64_t> entered;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int64_t place = next++; place < kRows; place = next++) {
        ASSERT_TRUE(admission.enter(place));
        {
          const std::lock_guard lock(mutex);
          entered.push_back(place);
        }
        EXPECT_LE(admission.inside(), kMost);
        admission.leave(1);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(entered.size(), static_cast<size_t>(kRows));
  EXPECT_EQ(admission.inside(), 0);
  EXPECT_LE(admission.most_seen(), kMost);
}

TEST(Admission, CloseWakesWhoWaits) {
  Admission admission(1);
  ASSERT_TRUE(admission.enter(0));
  std::thread waits([&] { EXPECT_FALSE(admission.enter(1)); });
  admission.close();
  waits.join();
  EXPECT_FALSE(admission.enter(1));
}

}  // namespace
}  // namespace spate
