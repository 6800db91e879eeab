#include "backend/backend.h"

#include <algorithm>

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

}  // namespace spate
