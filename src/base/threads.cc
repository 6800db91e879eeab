#include "base/threads.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <condition_variable>
#include <exception>
#include <fstream>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"

namespace spate {
namespace {

// About 20 microseconds: longer than the gap between two ops of a step, shorter than a step.
constexpr int kSpins = 4000;

void pause_cpu() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

}  // namespace

// Tasks of a loop are handed out from one word: the loop's number above, the tasks left below.
// Taking a task changes the whole word, so a worker that wakes up late finds either nothing left or
// a task of the loop that runs now, never one of a loop that is over.
struct ThreadPool::State {
  std::vector<std::thread> workers;

  std::atomic<uint64_t> left{0};     // (loop << 32) + tasks not yet taken
  std::atomic<int64_t> finished{0};  // tasks of this loop that are done
  int64_t tasks = 0;                 // valid while a task of the loop is not finished
  const std::function<void(int64_t, int)>* body = nullptr;  // likewise

  std::mutex mutex;  // guards sleeping, `stopping` and `error`
  std::condition_variable wake;
  std::exception_ptr error;
  bool stopping = false;

  static uint64_t loop_of(uint64_t word) { return word >> 32; }
  static int64_t left_of(uint64_t word) { return static_cast<int64_t>(word & 0xFFFFFFFFU); }

  void work(int thread) {
    uint64_t word = left.load(std::memory_order_acquire);
    while (left_of(word) > 0) {
      if (!left.compare_exchange_weak(word, word - 1, std::memory_order_acq_rel,
                                      std::memory_order_acquire)) {
        continue;
      }
      try {
        (*body)(tasks - left_of(word), thread);
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
      }
      finished.fetch_add(1, std::memory_order_release);
      word = left.load(std::memory_order_acquire);
    }
  }

  void serve(int thread) {
    uint64_t seen = 0;  // loop
    const auto is_new = [&] { return loop_of(left.load(std::memory_order_acquire)) != seen; };
    for (;;) {
      for (int spin = 0; spin < kSpins && !is_new(); ++spin) pause_cpu();
      if (!is_new()) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return stopping || is_new(); });
        if (stopping) return;
      }
      seen = loop_of(left.load(std::memory_order_acquire));
      work(thread);
    }
  }
};

ThreadPool::ThreadPool(int threads) : threads_(threads), state_(std::make_unique<State>()) {
  check(threads >= 1, "a pool needs at least one thread, got ", threads);
  for (int thread = 1; thread < threads; ++thread) {
    state_->workers.emplace_back([this, thread] { state_->serve(thread); });
  }
}

ThreadPool::~ThreadPool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
  }
  state_->wake.notify_all();
  for (auto& worker : state_->workers) {
    worker.join();
  }
}

void ThreadPool::parallel(int64_t tasks, const std::function<void(int64_t, int)>& body) {
  if (tasks <= 0) {
    return;
  }
  if (threads_ == 1 || tasks == 1) {
    for (int64_t task = 0; task < tasks; ++task) {
      body(task, 0);
    }
    return;
  }
  check(tasks <= 0xFFFFFFFF, "a loop has at most 2^32 - 1 tasks, got ", tasks);
  State& state = *state_;
  state.tasks = tasks;
  state.body = &body;
  state.finished.store(0, std::memory_order_relaxed);
  {
    // The lock makes a worker that is about to sleep see the new loop.
    const std::lock_guard lock(state.mutex);
    const uint64_t loop = State::loop_of(state.left.load(std::memory_order_relaxed)) + 1;
    state.left.store((loop << 32) + static_cast<uint64_t>(tasks), std::memory_order_release);
  }
  state.wake.notify_all();
  state.work(0);
  for (int spin = 0; state.finished.load(std::memory_order_acquire) != tasks; ++spin) {
    // With more threads than processors a spinning caller would starve the last worker.
    spin < kSpins ? pause_cpu() : std::this_thread::yield();
  }
  if (state.error) {
    std::rethrow_exception(std::exchange(state.error, nullptr));
  }
}

int available_cpus() {
  cpu_set_t set;
  int count = 1;
  if (sched_getaffinity(0, sizeof set, &set) == 0) {
    count = std::max(1, CPU_COUNT(&set));
  }
  // A container's quota: "max 100000" or "200000 100000" (microseconds of quota and period).
  std::ifstream file("/sys/fs/cgroup/cpu.max");
  std::string quota;
  double period = 0;
  if (file >> quota >> period && quota != "max" && period > 0) {
    count = std::clamp(static_cast<int>(std::ceil(std::stod(quota) / period)), 1, count);
  }
  return count;
}

}  // namespace spate
