// LinearHeads: a task is a panel of one head's rows times all tiles of the head's weight.
#include <cstring>

#include "backend/cpu/linear/panels.h"
#include "backend/cpu/ops.h"
#include "backend/tiles/pack.h"

namespace spate::cpu {
namespace {

void multiply_head(Context& context, const op::LinearHeads& op, int64_t head, Panel panel,
                   int thread) {
  const Weight& weight = *op.weight;
  const FormatKernels& kernels = kernels_of(context, weight);
  const PanelKind& kind = *kernels.panels;
  const Tensor x = op.x.columns(head * op.x.shape[2], {weight.in});
  const int size = kind.shapes[panel.shape].rows;
  panel.data = x.row<float>(panel.begin);
  if (!kind.bare_row || size > 1) {
    void* packed = context.scratch(thread, static_cast<size_t>(kind.bytes(size, weight.in)));
    kind.pack(x.row<float>(panel.begin), x.row_stride, panel.rows, weight.in, size,
              static_cast<uint8_t*>(packed));
    panel.data = packed;
  }
  const size_t bytes = tile_bytes(weight.layout, weight.in);
  const int64_t outputs = op.outputs();
  kernels.multiply[panel.shape]({.tiles = static_cast<const uint8_t*>(weight.storage.data()) +
                                          static_cast<size_t>(head * outputs / kTile) * bytes,
                                 .tile_bytes = bytes,
                                 .inputs = weight.in,
                                 .panel = panel.data,
                                 .rows = panel.rows,
                                 .out = op.out.row<float>(panel.begin) + head * op.out.shape[2],
                                 .out_stride = op.out.row_stride,
                                 .outputs = outputs,
                                 .bias = nullptr});
}

void carry_over(const op::LinearHeads& op, int64_t head, const Panel& panel) {
  const int64_t carried = op.carried();
  if (carried == 0) return;
  const Tensor from = op.x.columns(head * op.x.shape[2] + op.weight->in, {carried});
  const Tensor to = op.out.columns(head * op.out.shape[2] + op.outputs(), {carried});
  for (int64_t t = panel.begin; t < panel.begin + panel.rows; ++t) {
    std::memcpy(to.row<float>(t), from.row<float>(t), static_cast<size_t>(carried) * sizeof(float));
  }
}

}  // namespace

void run(Context& context, const op::LinearHeads& op) {
  if (op.x.rows() == 0) return;
  const std::vector<Panel> panels = cut_rows(*kernels_of(context, *op.weight).panels, op.x.rows());
  const int64_t heads = op.x.shape[1];
  context.pool().parallel(heads * static_cast<int64_t>(panels.size()),
                          [&](int64_t task, int thread) {
                            const Panel& panel = panels[static_cast<size_t>(task / heads)];
                            multiply_head(context, op, task % heads, panel, thread);
                            carry_over(op, task % heads, panel);
                          });
}

}  // namespace spate::cpu
