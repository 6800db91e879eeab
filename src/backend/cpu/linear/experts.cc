// ExpertLinear: the rows of each expert are cut into panels of their own, and a task is one panel
// times a run of its expert's tiles. Panels change fastest from task to task, as in linear.cc.
#include <algorithm>
#include <cstring>
#include <span>

#include "backend/cpu/linear/panels.h"
#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"
#include "backend/tiles/pack.h"

namespace spate::cpu {
namespace {

struct ExpertPanel {
  Panel panel;
  int64_t expert;
};

std::vector<ExpertPanel> cut_experts(const PanelKind& kind, const op::ExpertLinear& op) {
  const auto* begin = op.begin.as<int32_t>();
  std::vector<ExpertPanel> panels;
  for (int64_t expert = 0; expert < op.experts(); ++expert) {
    for (Panel& panel : cut_rows(kind, begin[expert + 1] - begin[expert])) {
      panel.begin += begin[expert];
      panels.push_back({panel, expert});
    }
  }
  return panels;
}

int64_t panel_bytes(const PanelKind& kind, const Panel& panel, int64_t inputs) {
  return kind.bytes(kind.shapes[panel.shape].rows, inputs);
}

// Rows of sorted x lie one after the other; those of tokens are brought together first.
void pack(Context& context, const PanelKind& kind, const op::ExpertLinear& op, int thread,
          Panel& panel, uint8_t* to) {
  const int64_t inputs = op.x.row_size();
  const int size = kind.shapes[panel.shape].rows;
  const auto* tokens = op.tokens.as<int32_t>();
  const auto row = [&](int64_t place) {
    return op.x.row<float>(tokens == nullptr ? place : tokens[place]);
  };
  const float* rows = row(panel.begin);
  int64_t stride = op.x.row_stride;
  panel.data = rows;
  if (kind.bare_row && size == 1) return;
  if (tokens != nullptr && panel.rows > 1) {
    const size_t row_bytes = static_cast<size_t>(inputs) * sizeof(float);
    auto* together =
        static_cast<float*>(context.scratch(thread, static_cast<size_t>(panel.rows) * row_bytes));
    for (int r = 0; r < panel.rows; ++r) {
      std::memcpy(together + r * inputs, row(panel.begin + r), row_bytes);
    }
    rows = together;
    stride = inputs;
  }
  kind.pack(rows, stride, panel.rows, inputs, size, to);
  panel.data = to;
}

void pack_all(Context& context, const PanelKind& kind, const op::ExpertLinear& op,
              std::span<ExpertPanel> panels) {
  const int64_t inputs = op.x.row_size();
  std::vector<int64_t> begins{0};
  for (const ExpertPanel& part : panels) {
    begins.push_back(begins.back() + panel_bytes(kind, part.panel, inputs));
  }
  auto* memory = static_cast<uint8_t*>(context.shared(static_cast<size_t>(begins.back())));
  for_rows(context, static_cast<int64_t>(panels.size()), panels.front().panel.rows * inputs,
           [&](int64_t index, int thread) {
             pack(context, kind, op, thread, panels[static_cast<size_t>(index)].panel,
                  memory + begins[static_cast<size_t>(index)]);
           });
}

// Run `run` of `runs` of the tiles of a panel's expert.
void multiply(const Context& context, const op::ExpertLinear& op, const ExpertPanel& part,
              int64_t run, int64_t runs) {
  const Weight& weight = *op.weight;
  const FormatKernels& kernels = kernels_of(context, weight);
  const Panel& panel = part.panel;
  const int64_t tiles = op.out.row_size() / kTile;
  // Tiles that go side by side stay together.
  const int64_t side_by_side = (kernels.panels->shapes[panel.shape].tiles + 1) / 2;
  const int64_t units = (tiles + side_by_side - 1) / side_by_side;
  const int64_t begin = std::min(units * run / runs * side_by_side, tiles);
  const int64_t end = std::min(units * (run + 1) / runs * side_by_side, tiles);
  if (begin == end) return;
  const size_t bytes = tile_bytes(weight.layout, weight.in);
  const float* bias = op.bias.as<float>();
  if (bias != nullptr) bias += (part.expert * tiles + begin) * kTile;
  kernels.multiply[panel.shape]({.tiles = static_cast<const uint8_t*>(weight.storage.data()) +
                                          static_cast<size_t>(part.expert * tiles + begin) * bytes,
                                 .tile_bytes = bytes,
                                 .inputs = weight.in,
                                 .panel = panel.data,
                                 .rows = panel.rows,
                                 .out = op.out.row<float>(panel.begin) + begin * kTile,
                                 .out_stride = op.out.row_stride,
                                 .outputs = (end - begin) * kTile,
                                 .bias = bias});
}

void multiply_all(Context& context, const PanelKind& kind, const op::ExpertLinear& op,
                  std::span<const ExpertPanel> panels) {
  const int64_t tiles = op.out.row_size() / kTile;
  int64_t rows = 0;
  for (const ExpertPanel& part : panels) rows += part.panel.rows + kUnpackWork;
  const int64_t work = rows * tiles * op.x.row_size() / kind.inputs_at_once;
  const int64_t threads = context.threads();
  const int64_t tasks = std::max((work / kTaskWork + threads - 1) / threads, int64_t{1}) * threads;
  const auto count = static_cast<int64_t>(panels.size());
  const int64_t runs = std::min((tasks + count - 1) / count, tiles);
  context.pool().parallel(count * runs, [&](int64_t task, int /*thread*/) {
    multiply(context, op, panels[static_cast<size_t>(task % count)], task / count, runs);
  });
}

}  // namespace

void run(Context& context, const op::ExpertLinear& op) {
  const PanelKind& kind = *kernels_of(context, *op.weight).panels;
  std::vector<ExpertPanel> panels = cut_experts(kind, op);
  for (size_t begin = 0; begin < panels.size();) {
    size_t end = begin;
    int64_t bytes = 0;
    do {
      bytes += panel_bytes(kind, panels[end++].panel, op.x.row_size());
    } while (end < panels.size() && bytes < kMaxPanelBytes);
    const auto part = std::span(panels).subspan(begin, end - begin);
    pack_all(context, kind, op, part);
    multiply_all(context, kind, op, part);
    begin = end;
  }
}

}  // namespace spate::cpu
