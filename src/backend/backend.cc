#include "backend/backend.h"

#include <algorithm>

#include "base/check.h"

namespace spate {

void Backend::set_profiling(bool on) {
  constexpr size_t kMarks = size_t{1} << 14;  // two an op: some steps of the deepest models
  if (on) keep_marks(kMarks);
  take_chosen();
  noted_.clear();
  profiling_ = on;
}

std::vector<OpRun> Backend::take_ops(uint64_t passed) {
  const auto end = std::ranges::find_if(noted_, [&](const OpRun& op) { return op.end > passed; });
  std::vector<OpRun> ops(noted_.begin(), end);
  noted_.erase(noted_.begin(), end);
  return ops;
}

Weight Backend::place(const HostWeight& weight) {
  check(weight.in % weight.format->block == 0, "a row of ", weight.in,
        " elements is no whole number of ", weight.format->name, " blocks of ",
        weight.format->block);
  return weight.random ? place_random(weight) : place_stored(weight);
}

Weight Backend::place_random(const HostWeight& weight) {
  const auto bytes = make_random(*weight.random, *weight.format, weight.out * weight.in);
  HostWeight made = weight;
  made.random.reset();
  made.bytes = bytes.get();
  return place_stored(made);
}

}  // namespace spate
