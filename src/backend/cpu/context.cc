#include "backend/cpu/context.h"

#include <new>

#include "backend/ops/attention.h"

namespace spate::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};

}  // namespace

std::vector<KernelFamily> kernel_families(const KernelTable& kernels) {
  const auto names = [](const auto& list) {
    std::vector<std::string_view> out;
    for (const auto& kernel : list) out.emplace_back(kernel.name);
    return out;
  };
  return {{op::Attention::kName, names(kernels.attention->choices)}};
}

void Context::Free::operator()(void* data) const { ::operator delete(data, kAlignment); }

Context::Context(int threads, const Isa& isa, ForcedKernels forced)
    : pool_(threads),
      isa_(isa),
      choice_{.forced = std::move(forced), .chosen = {}},
      scratch_(static_cast<size_t>(threads) + 1) {}

void* Context::scratch(int thread, size_t bytes) {
  Scratch& scratch = scratch_[static_cast<size_t>(thread)];
  if (scratch.bytes < bytes) {
    scratch.data.reset();
    scratch.data.reset(::operator new(bytes, kAlignment));
    scratch.bytes = bytes;
  }
  return scratch.data.get();
}

}  // namespace spate::cpu
