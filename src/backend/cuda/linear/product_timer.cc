#include "backend/cuda/linear/product_timer.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "backend/cuda/error.h"

namespace spate::cuda {
namespace {

constexpr int kTurns = 4;  // the first one warms up
constexpr float kByChance = 0.99F;

class Timer {
 public:
  explicit Timer(cudaStream_t stream) : stream_(stream) {
    cuda_check(cudaEventCreate(&begin_));
    cuda_check(cudaEventCreate(&end_));
  }
  ~Timer() {
    cudaEventDestroy(begin_);
    cudaEventDestroy(end_);
  }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void start() { cuda_check(cudaEventRecord(begin_, stream_)); }
  float milliseconds() {
    float time = 0;
    cuda_check(cudaEventRecord(end_, stream_));
    cuda_check(cudaEventSynchronize(end_));
    cuda_check(cudaEventElapsedTime(&time, begin_, end_));
    return time;
  }

 private:
  cudaStream_t stream_;
  cudaEvent_t begin_ = nullptr, end_ = nullptr;
};

}  // namespace

bool is_recording(cudaStream_t stream) {
  cudaStreamCaptureStatus status{};
  cuda_check(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

size_t fastest_of(size_t count, cudaStream_t stream, const std::function<bool(size_t way)>& run) {
  constexpr float kNever = std::numeric_limits<float>::infinity();
  constexpr float kShort = 0.3F;  // milliseconds: then several runs are timed as one
  std::vector<float> best(count, kNever);
  Timer timer(stream);
  int runs = 1;
  for (int turn = 0; turn < kTurns; ++turn) {
    for (size_t way = 0; way < count; ++way) {
      timer.start();
      bool ran = true;
      for (int i = 0; i < runs; ++i) ran = ran && run(way);
      const float time = ran ? timer.milliseconds() / static_cast<float>(runs) : kNever;
      if (turn > 0) best[way] = std::min(best[way], time);
      if (turn == 0 && way == 0 && time < kShort) runs = 4;
    }
  }
  const auto fastest = static_cast<size_t>(std::ranges::min_element(best) - best.begin());
  if (count == 0 || best[fastest] == kNever) return count;
  return best[fastest] < kByChance * best[0] ? fastest : 0;
}

}  // namespace spate::cuda
