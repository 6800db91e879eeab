// Choosing a kernel: an op family with more than one has a list of them, fastest first, the last of
// which accepts everything. The first that accepts a problem runs, unless one is forced by name.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"

namespace spate {

// The kernels that an op family has on a device, fastest first.
struct KernelFamily {
  std::string_view op;
  std::vector<std::string_view> kernels;
};

// Kernels forced by name: "attention=stream".
struct ForcedKernels {
  struct Entry {
    std::string op, kernel;
  };
  std::vector<Entry> entries;

  // The kernel forced for an op; empty when it is free.
  std::string_view of(std::string_view op) const;
};

// Reads "OP=KERNEL,OP=KERNEL"; unknown ops and kernels are errors that list the known ones.
// `device` is what has them: "avx2".
ForcedKernels parse_forced_kernels(const std::string& text, std::span<const KernelFamily> families,
                                   std::string_view device);

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

}  // namespace spate
