#include "backend/cuda/linear/trial.h"

#include <algorithm>
#include <limits>

#include "backend/cuda/error.h"

namespace spate::cuda {
namespace {

// The first turn brings kernels to the device. With eight ways all turns are fewer than most models
// have layers, so that one step ends a trial.
constexpr size_t kTurns = 3;
constexpr float kByChance = 0.97F;

}  // namespace

bool is_recording(cudaStream_t stream) {
  cudaStreamCaptureStatus status{};
  cuda_check(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

Trial::Trial(size_t ways) : ways_(ways), runs_(kTurns * ways) {}

Trial::~Trial() {
  for (const Run& run : runs_) {
    for (cudaEvent_t event : {run.begin, run.end}) {
      if (event != nullptr) cudaEventDestroy(event);
    }
  }
}

void Trial::begin(cudaStream_t stream) {
  Run& run = runs_[done_];
  cuda_check(cudaEventCreate(&run.begin));
  cuda_check(cudaEventCreate(&run.end));
  cuda_check(cudaEventRecord(run.begin, stream));
}

void Trial::end(cudaStream_t stream, bool ran) {
  Run& run = runs_[done_++];
  run.ran = ran;
  cuda_check(cudaEventRecord(run.end, stream));
}

size_t Trial::fastest() const {
  cuda_check(cudaEventSynchronize(runs_.back().end));
  std::vector<float> times;
  for (size_t way = 0; way < ways_; ++way) times.push_back(best_milliseconds(way));
  const auto fastest = static_cast<size_t>(std::ranges::min_element(times) - times.begin());
  return times[fastest] < kByChance * times[0] ? fastest : 0;
}

float Trial::best_milliseconds(size_t way) const {
  float best = std::numeric_limits<float>::infinity();
  for (size_t i = ways_ + way; i < runs_.size(); i += ways_) {
    if (!runs_[i].ran) continue;
    float time = 0;
    cuda_check(cudaEventElapsedTime(&time, runs_[i].begin, runs_[i].end));
    best = std::min(best, time);
  }
  return best;
}

}  // namespace spate::cuda
