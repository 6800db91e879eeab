// Rows of x cut into panels, as the kernels of matrix products take them (linear/kernels.h).
#pragma once

#include <vector>

#include "backend/cpu/context.h"
#include "backend/cpu/linear/kernels.h"
#include "quant/format.h"

namespace spate::cpu {

// Panels that are packed at once take at most this much memory.
constexpr int64_t kMaxPanelBytes = int64_t{64} << 20;
// Work of one task, in vectors of weights times rows: tens of microseconds, which is long beside
// handing it out and short beside an op. Unpacking weighs as much as a few rows.
constexpr int64_t kTaskWork = 150'000;
constexpr int kUnpackWork = 4;

struct Panel {
  int64_t begin;  // first row
  int rows;       // real ones
  int shape;      // index into PanelKind::shapes
  const void* data;
};

// Cuts rows into as few panels as can hold them, and those as small as can: of one size, or some of
// the next smaller one.
std::vector<Panel> cut_rows(const PanelKind& kind, int64_t rows);

inline const FormatKernels& kernels_of(const Context& context, const Weight& weight) {
  return *context.kernels().linear->formats[weight.layout];
}

}  // namespace spate::cpu
