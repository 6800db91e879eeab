// A pool of worker threads for data-parallel loops. The calling thread works too, so a pool of one
// starts no thread at all. Tasks are handed out one by one from a shared counter: uneven tasks
// balance themselves. Workers spin briefly for the next loop and then sleep.
//
// Owner: a backend. One loop at a time: parallel() is called from one thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>

namespace spate {

class ThreadPool {
 public:
  explicit ThreadPool(int threads);  // total, the caller counted; at least 1
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(task, thread) for every task in [0, tasks); returns when all are done. An exception
  // in a task is rethrown here after the others have finished.
  void parallel(int64_t tasks, const std::function<void(int64_t task, int thread)>& body);

 private:
  struct State;
  int threads_;
  std::unique_ptr<State> state_;
};

int available_cpus();  // processors this process may run on (affinity and cgroup quota)

}  // namespace spate
