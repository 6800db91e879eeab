#include "backend/kernel_choice.h"

#include <algorithm>

namespace spate {
namespace {

bool is_known(std::span<const KernelFamily> families, const ForcedKernels::Entry& entry) {
  return std::ranges::any_of(families, [&](const KernelFamily& family) {
    return family.op == entry.op &&
           std::ranges::find(family.kernels, entry.kernel) != family.kernels.end();
  });
}

std::string names_of(std::span<const KernelFamily> families) {
  std::string text;
  for (const KernelFamily& family : families) {
    for (const std::string_view kernel : family.kernels) {
      text += cat(text.empty() ? "" : ", ", family.op, "=", kernel);
    }
  }
  return text;
}

}  // namespace

std::string_view ForcedKernels::of(std::string_view op) const {
  for (const Entry& entry : entries) {
    if (entry.op == op) return entry.kernel;
  }
  return {};
}

ForcedKernels parse_forced_kernels(const std::string& text, std::span<const KernelFamily> families,
                                   std::string_view device) {
  ForcedKernels forced;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string item = text.substr(begin, end - begin);
    const size_t equals = std::min(item.find('='), item.size());
    const ForcedKernels::Entry entry{.op = item.substr(0, equals),
                                     .kernel = item.substr(std::min(equals + 1, item.size()))};
    if (!is_known(families, entry)) {
      throw Error(cat("unknown kernel \"", item, "\", expected OP=KERNEL; known with ", device,
                      ": ", names_of(families)),
                  ExitCode::usage);
    }
    forced.entries.push_back(entry);
    begin = end + 1;
  }
  return forced;
}

}  // namespace spate
