#include "engine/op_profile.h"

#include <algorithm>

namespace spate {
namespace {

// The entry of that name, added where there is none.
template <class Entry>
Entry& entry_of(std::vector<Entry>& list, std::string_view name) {
  const auto found = std::ranges::find(list, name, &Entry::name);
  if (found != list.end()) return *found;
  Entry& entry = list.emplace_back();
  entry.name = name;
  return entry;
}

}  // namespace

void add_op(std::vector<OpProfile>& profile, const OpRun& op, double seconds,
            const DeviceRates& rates) {
  OpProfile& line = entry_of(profile, op.name);
  line.calls += 1;
  line.seconds += seconds;
  line.bytes += op.bytes;
  line.flops += op.flops;
  line.floor_seconds += rates.floor_seconds(op.bytes, op.flops, op.packed);
  for (const std::string_view name : op.kernels.names()) entry_of(line.kernels, name).calls += 1;
}

void subtract_ops(std::vector<OpProfile>& profile, const std::vector<OpProfile>& before) {
  for (const OpProfile& earlier : before) {
    OpProfile& line = entry_of(profile, earlier.name);
    line.calls -= earlier.calls;
    line.seconds -= earlier.seconds;
    line.bytes -= earlier.bytes;
    line.flops -= earlier.flops;
    line.floor_seconds -= earlier.floor_seconds;
    for (const OpProfile::Kernel& kernel : earlier.kernels) {
      entry_of(line.kernels, kernel.name).calls -= kernel.calls;
    }
    std::erase_if(line.kernels, [](const OpProfile::Kernel& kernel) { return kernel.calls == 0; });
  }
  std::erase_if(profile, [](const OpProfile& line) { return line.calls == 0; });
}

}  // namespace spate
