// Choosing a kernel: an op family with more than one has a list of them, fastest first, the last of
// which accepts everything. The first that accepts a problem runs, unless one is forced by name.
#pragma once

#include <array>
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

// Names of kernels in the order in which they were chosen: the first few, so that noting them never
// allocates. No op chooses more.
class ChosenKernels {
 public:
  void add(std::string_view name) {
    if (count_ < names_.size()) names_[count_++] = name;
  }
  std::span<const std::string_view> names() const { return std::span(names_).first(count_); }

 private:
  std::array<std::string_view, 4> names_;
  size_t count_ = 0;
};

// What a backend keeps about its lists of kernels. Owner: its context.
struct KernelChoice {
  ForcedKernels forced;
  ChosenKernels chosen;  // since somebody took them; for profiles
};

template <class Kernel>
KernelFamily family_of(std::string_view op, std::span<const Kernel> list) {
  KernelFamily family{.op = op};
  for (const Kernel& kernel : list) family.kernels.push_back(kernel.name);
  return family;
}

// The first kernel of a list that accepts the problem, or the forced one. A kernel type has `name`
// and `accepts`; the last of a list accepts everything. With `deterministic` those are passed over
// that say bits_of_token = false: what they give a token depends on what runs beside it. Where a
// type has `pays`, a kernel that is not forced must say so of a problem that it accepts, too.
template <class Kernel, class Problem>
const Kernel& choose_kernel(std::span<const Kernel> list, std::string_view op, KernelChoice& choice,
                            const Problem& problem, bool deterministic = false) {
  const std::string_view wanted = choice.forced.of(op);
  const auto allowed = [&](const Kernel& kernel) {
    if constexpr (requires { kernel.bits_of_token; }) {
      if (deterministic && !kernel.bits_of_token) return false;
    }
    return wanted.empty() || wanted == kernel.name;
  };
  const auto pays = [&](const Kernel& kernel) {
    if constexpr (requires { kernel.pays; }) return !wanted.empty() || kernel.pays(problem);
    return true;
  };
  for (const Kernel& kernel : list) {
    if (allowed(kernel) && kernel.accepts(problem) && pays(kernel)) {
      choice.chosen.add(kernel.name);
      return kernel;
    }
  }
  throw Error(cat("kernel ", op, "=", wanted, " was forced, but does not accept this problem"),
              ExitCode::usage);
}

}  // namespace spate
