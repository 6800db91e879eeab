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

struct ThreadPool::State {
  std::vector<std::thread> workers;

  // One loop. `generation` is raised when a loop starts; each worker leaves by `running`.
  std::atomic<uint64_t> generation{0};
  std::atomic<int64_t> next{0};
  std::atomic<int> running{0};
  int64_t tasks = 0;
  const std::function<void(int64_t, int)>* body = nullptr;

  std::mutex mutex;  // guards sleeping, `stopping` and `error`
  std::condition_variable wake;
  std::exception_ptr error;
  bool stopping = false;

  void work(int thread) {
    for (;;) {
      const int64_t task = next.fetch_add(1, std::memory_order_relaxed);
      if (task >= tasks) {
        return;
      }
      try {
        (*body)(task, thread);
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
      }
    }
  }

  void serve(int thread) {
    uint64_t seen = 0;
    for (;;) {
      for (int spin = 0; spin < kSpins && generation.load(std::memory_order_acquire) == seen;
           ++spin) {
        pause_cpu();
      }
      if (generation.load(std::memory_order_acquire) == seen) {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] {
          return stopping || generation.load(std::memory_order_acquire) != seen;
        });
        if (stopping) {
          return;
        }
      }
      seen = generation.load(std::memory_order_acquire);
      work(thread);
      running.fetch_sub(1, std::memory_order_release);
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
  State& state = *state_;
  state.tasks = tasks;
  state.body = &body;
  state.next.store(0, std::memory_order_relaxed);
  state.running.store(threads_ - 1, std::memory_order_relaxed);
  {
    // The lock makes a worker that is about to sleep see the new generation.
    const std::lock_guard lock(state.mutex);
    state.generation.fetch_add(1, std::memory_order_release);
  }
  state.wake.notify_all();
  state.work(0);
  for (int spin = 0; state.running.load(std::memory_order_acquire) != 0; ++spin) {
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
