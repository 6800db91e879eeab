#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <vector>

namespace spate {
namespace {

TEST(ThreadPool, RunsEveryTaskOnce) {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    for (int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> count(tasks);
      pool.parallel(tasks, [&](int64_t task, int thread) {
        EXPECT_LT(thread, threads);
        count[task]++;
      });
      for (auto& one : count) EXPECT_EQ(one.load(), 1);
    }
  }
}

TEST(ThreadPool, RethrowsAndGoesOn) {
  ThreadPool pool(3);
  EXPECT_THROW(pool.parallel(10,
                             [](int64_t task, int) {
                               if (task == 4) throw std::runtime_error("four");
                             }),
               std::runtime_error);
  std::atomic<int> sum{0};
  pool.parallel(10, [&](int64_t task, int) { sum += static_cast<int>(task); });
  EXPECT_EQ(sum.load(), 45);
}

TEST(ThreadPool, ManyShortLoops) {
  ThreadPool pool(2);
  std::atomic<int64_t> sum{0};
  for (int i = 0; i < 5000; ++i) pool.parallel(2, [&](int64_t task, int) { sum += task; });
  EXPECT_EQ(sum.load(), 5000);
}

}  // namespace
}  // namespace spate
