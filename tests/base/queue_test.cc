// The bounded queue: order, its two bounds, and its end.
#include "base/queue.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace spate {
namespace {

TEST(Queue, WeightIsBoundedButAnythingPassesAnEmptyQueue) {
  BoundedQueue<int> queue(100, 10);
  ASSERT_TRUE(queue.push(1, 50));
  std::atomic<int> pushed{0};
  std::thread pushes([&] {
    for (int i = 2; i <= 40; ++i) {
      ASSERT_TRUE(queue.push(i, 4));
      ++pushed;
    }
  });
  EXPECT_EQ(queue.pop(), 1);
  for (int i = 2; i <= 40; ++i) {
    EXPECT_LE(queue.size(), 2U);
    EXPECT_EQ(queue.pop(), i);
  }
  pushes.join();
  EXPECT_EQ(pushed, 39);
}

TEST(Queue, CloseWakesWhoPushesAndDrains) {
  BoundedQueue<int> queue(1);
  ASSERT_TRUE(queue.push(1));
  std::thread pushes([&] { EXPECT_FALSE(queue.push(2)); });
  queue.close();
  pushes.join();
  EXPECT_FALSE(queue.push(3));
  EXPECT_EQ(queue.pop(), 1);
  EXPECT_EQ(queue.pop(), std::nullopt);
}

}  // namespace
}  // namespace spate
