#include "backend/cuda/linear/trial.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/error.h"

namespace spate::cuda {
namespace {

// The first turn brings kernels to the device. With eight ways all turns are fewer than most models
// have layers, so that one step ends a trial.
constexpr size_t kTurns = 3;
constexpr double kByChance = 0.97;

}  // namespace

bool is_recording(cudaStream_t stream) {
  cudaStreamCaptureStatus status{};
  cuda_check(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

Trial::Trial(size_t ways) : ways_(ways) { marks_.keep(2 * kTurns * ways); }

void Trial::end(cudaStream_t stream, bool ran) {
  marks_.set(stream);
  ran_.push_back(ran);
}

bool Trial::is_over() const { return ran_.size() == kTurns * ways_; }

size_t Trial::fastest() const {
  marks_.wait(2 * ran_.size() - 1);
  std::vector<double> times;
  for (size_t way = 0; way < ways_; ++way) times.push_back(best_seconds(way));
  const auto fastest = static_cast<size_t>(std::ranges::min_element(times) - times.begin());
  return times[fastest] < kByChance * times[0] ? fastest : 0;
}

double Trial::best_seconds(size_t way) const {
  double best = std::numeric_limits<double>::infinity();
  for (size_t i = ways_ + way; i < ran_.size(); i += ways_) {
    if (ran_[i]) best = std::min(best, marks_.seconds_between(2 * i, 2 * i + 1));
  }
  return best;
}

}  // namespace spate::cuda
