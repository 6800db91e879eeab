// What every op of the CPU backend works with: the threads, the instruction set, forced kernels and
// scratch memory of each thread.
//
// Owner: CpuBackend. One op at a time; scratch(thread) belongs to that thread while a loop runs.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "backend/cpu/isa.h"
#include "backend/kernel_choice.h"
#include "base/threads.h"

namespace spate::cpu {

// The families of ops that have kernels to choose from with this instruction set.
std::vector<KernelFamily> kernel_families(const KernelTable& kernels);

class Context {
 public:
  Context(int threads, const Isa& isa, ForcedKernels forced);

  ThreadPool& pool() { return pool_; }
  int threads() const { return pool_.threads(); }
  const Isa& isa() const { return isa_; }
  const KernelTable& kernels() const { return *isa_.kernels; }
  KernelChoice& choice() { return choice_; }

  // At least `bytes` bytes, aligned to 64, with undefined content. Grows when first asked for more
  // and is kept, so steps after the first few allocate nothing. A second call by the same thread
  // may move it: ask once for all that a task needs.
  void* scratch(int thread, size_t bytes);
  // The same, one for all threads: what an op's tasks read together.
  void* shared(size_t bytes) { return scratch(threads(), bytes); }

 private:
  struct Free {
    void operator()(void* data) const;
  };
  struct Scratch {
    std::unique_ptr<void, Free> data;
    size_t bytes = 0;
  };

  ThreadPool pool_;
  const Isa& isa_;
  KernelChoice choice_;
  std::vector<Scratch> scratch_;  // one a thread, and the shared one
};

}  // namespace spate::cpu
