#include "backend/cpu/linear/panels.h"

#include <algorithm>

namespace spate::cpu {

std::vector<Panel> cut_rows(const PanelKind& kind, int64_t rows) {
  const auto size = [&](int shape) { return int64_t{kind.shapes[shape].rows}; };
  const int64_t count = (rows + size(kind.sizes - 1) - 1) / size(kind.sizes - 1);
  int shape = 0;
  while (count * size(shape) < rows) ++shape;
  const int64_t smaller =
      shape == 0 ? 0 : (count * size(shape) - rows) / (size(shape) - size(shape - 1));
  std::vector<Panel> panels;
  for (int64_t begin = 0; begin < rows;) {
    const bool full = static_cast<int64_t>(panels.size()) < count - smaller;
    const int64_t taken = std::min(rows - begin, size(full ? shape : shape - 1));
    panels.push_back({.begin = begin,
                      .rows = static_cast<int>(taken),
                      .shape = full ? shape : shape - 1,
                      .data = nullptr});
    begin += taken;
  }
  return panels;
}

}  // namespace spate::cpu
