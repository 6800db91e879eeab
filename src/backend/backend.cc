#include "backend/backend.h"

#include <algorithm>

#include "backend/tiles/layout.h"
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

Weight Backend::place_joined(std::span<const HostWeight> parts) {
  const HostWeight& first = parts.front();
  check(first.in % first.format->block == 0, "a row of ", first.in,
        " elements is no whole number of ", first.format->name, " blocks of ", first.format->block);
  for (const HostWeight& part : parts) {
    check(part.format == first.format && part.in == first.in &&
              part.random.has_value() == first.random.has_value() &&
              part.of_layer == first.of_layer && (&part == &parts.back() || part.out % kTile == 0),
          "weights are joined that differ in more than their outputs");
  }
  return first.random ? place_random(parts) : place_stored(parts);
}

Weight Backend::place_random(std::span<const HostWeight> parts) {
  std::vector<std::shared_ptr<const std::byte[]>> bytes;
  std::vector<HostWeight> made(parts.begin(), parts.end());
  for (HostWeight& part : made) {
    bytes.push_back(make_random(*part.random, *part.format, part.out * part.in));
    part.random.reset();
    part.bytes = bytes.back().get();
  }
  return place_stored(made);
}

}  // namespace spate
