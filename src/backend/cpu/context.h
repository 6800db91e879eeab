// What every op of the CPU backend works with: the threads, the instruction set, forced kernels and
// scratch memory of each thread.
//
// Owner: CpuBackend. One op at a time; scratch(thread) belongs to that thread while a loop runs.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backend/cpu/isa.h"
#include "base/check.h"
#include "base/threads.h"

namespace spate::cpu {

// Kernels forced by name: "attention=stream".
struct ForcedKernels {
  struct Entry {
    std::string op, kernel;
  };
  std::vector<Entry> entries;

  // The kernel forced for an op; empty when it is free.
  std::string_view of(std::string_view op) const;
};

// The kernels that an op family ("linear") has with this instruction set, fastest first; none when
// it has nothing to choose from.
std::vector<std::string_view> kernel_names(const KernelTable& kernels, std::string_view op);

// Reads the text; unknown ops and kernels are errors that list the known ones.
ForcedKernels parse_forced_kernels(const std::string& text, const KernelTable& kernels);

// The first kernel of a list that accepts the problem, or the forced one. A kernel type has `name`
// and `accepts`; the last of a list accepts everything.
template <class Kernel, class Problem>
const Kernel& choose_kernel(std::span<const Kernel> list, std::string_view op,
                            const ForcedKernels& forced, const Problem& problem) {
  const std::string_view wanted = forced.of(op);
  for (const Kernel& kernel : list) {
    if ((wanted.empty() || wanted == kernel.name) && kernel.accepts(problem)) return kernel;
  }
  throw Error(cat("kernel ", op, "=", wanted, " was forced, but does not accept this problem"),
              ExitCode::usage);
}

class Context {
 public:
  Context(int threads, const Isa& isa, ForcedKernels forced);

  ThreadPool& pool() { return pool_; }
  int threads() const { return pool_.threads(); }
  const Isa& isa() const { return isa_; }
  const KernelTable& kernels() const { return *isa_.kernels; }
  const ForcedKernels& forced() const { return forced_; }

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
  ForcedKernels forced_;
  std::vector<Scratch> scratch_;  // one a thread, and the shared one
};

}  // namespace spate::cpu
