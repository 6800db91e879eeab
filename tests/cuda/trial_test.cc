// Which of several ways a trial finds the fastest: filling much memory against filling little.
#include "backend/cuda/linear/trial.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

#include "tests/support/devices.h"

namespace spate::cuda {
namespace {

using Ways = std::vector<std::function<bool(cudaStream_t)>>;

class TrialTest : public testing::Test {
 protected:
  static constexpr size_t kMuch = size_t{256} << 20, kLittle = size_t{1} << 20;

  void SetUp() override {
    if (!test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
    ASSERT_EQ(cudaStreamCreate(&stream_), cudaSuccess);
    ASSERT_EQ(cudaMalloc(&memory_, kMuch), cudaSuccess);
  }
  void TearDown() override {
    cudaFree(memory_);
    if (stream_ != nullptr) cudaStreamDestroy(stream_);
  }

  std::function<bool(cudaStream_t)> fill(size_t bytes) {
    return [this, bytes](cudaStream_t stream) {
      return cudaMemsetAsync(memory_, 0, bytes, stream) == cudaSuccess;
    };
  }

  // Does the work until the trial is over. `runs`: of each way.
  size_t fastest_of(const Ways& ways, std::vector<int>& runs) {
    Trial trial(ways.size());
    runs.assign(ways.size(), 0);
    while (!trial.is_over()) {
      const size_t way = trial.way();
      ++runs[way];
      trial.begin(stream_);
      trial.end(stream_, ways[way](stream_));
    }
    return trial.fastest();
  }

  cudaStream_t stream_ = nullptr;
  void* memory_ = nullptr;
};

TEST_F(TrialTest, FindsTheFastestAndRunsAllAsOften) {
  std::vector<int> runs;
  EXPECT_EQ(fastest_of({fill(kMuch), fill(kLittle), fill(kMuch)}, runs), 1U);
  EXPECT_EQ(runs[0], runs[1]);
  EXPECT_EQ(runs[0], runs[2]);
}

TEST_F(TrialTest, WhatCannotRunIsNotFast) {
  std::vector<int> runs;
  const auto refuse = [](cudaStream_t) { return false; };
  EXPECT_EQ(fastest_of({fill(kMuch), refuse, fill(kLittle)}, runs), 2U);
  EXPECT_EQ(fastest_of({refuse, fill(kMuch)}, runs), 1U);
  EXPECT_EQ(fastest_of({refuse, refuse}, runs), 0U);
}

}  // namespace
}  // namespace spate::cuda
