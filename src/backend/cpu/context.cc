#include "backend/cpu/context.h"

#include <algorithm>
#include <new>

#include "backend/ops/attention.h"
#include "base/check.h"

namespace spate::cpu {
namespace {

constexpr std::align_val_t kAlignment{64};

struct Family {
  std::string_view op;
  std::vector<std::string_view> kernels;
};

// The op families that have kernels to choose from: a line each.
std::vector<Family> families(const KernelTable& kernels) {
  const auto names = [](const auto& list) {
    std::vector<std::string_view> out;
    for (const auto& kernel : list) out.emplace_back(kernel.name);
    return out;
  };
  return {{op::Attention::kName, names(kernels.attention->choices)}};
}

std::string names_of(const std::vector<Family>& all) {
  std::string text;
  for (const Family& family : all) {
    for (const std::string_view kernel : family.kernels) {
      text += cat(text.empty() ? "" : ", ", family.op, "=", kernel);
    }
  }
  return text;
}

}  // namespace

std::vector<std::string_view> kernel_names(const KernelTable& kernels, std::string_view op) {
  for (const Family& family : families(kernels)) {
    if (family.op == op) return family.kernels;
  }
  return {};
}

std::string_view ForcedKernels::of(std::string_view op) const {
  for (const Entry& entry : entries) {
    if (entry.op == op) return entry.kernel;
  }
  return {};
}

ForcedKernels parse_forced_kernels(const std::string& text, const KernelTable& kernels) {
  ForcedKernels forced;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const size_t equals = std::min(item.find('='), item.size());
    const ForcedKernels::Entry entry{.op = item.substr(0, equals),
                                     .kernel = item.substr(std::min(equals + 1, item.size()))};
    const std::vector<std::string_view> names = kernel_names(kernels, entry.op);
    if (std::find(names.begin(), names.end(), entry.kernel) == names.end()) {
      throw Error(cat("unknown kernel \"", item, "\", expected OP=KERNEL; known with ", kernels.isa,
                      ": ", names_of(families(kernels))),
                  ExitCode::usage);
    }
    forced.entries.push_back(entry);
    begin = end + 1;
  }
  return forced;
}

void Context::Free::operator()(void* data) const { ::operator delete(data, kAlignment); }

Context::Context(int threads, const Isa& isa, ForcedKernels forced)
    : pool_(threads),
      isa_(isa),
      forced_(std::move(forced)),
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
