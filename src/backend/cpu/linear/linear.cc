// Linear, LinearGated and Embed: cuts a product into tasks for the threads. The kernels' own work
// is in linear/kernels.h; how weights lie is in linear/layout.h.
//
// A task is one panel of rows times a run of tiles. Panels change fastest from task to task, so
// that threads work on the same tiles at the same time and find them in a shared cache.
#include "backend/cpu/linear/linear.h"

#include <algorithm>
#include <functional>
#include <span>

#include "backend/cpu/linear/kernels.h"
#include "backend/cpu/linear/place.h"
#include "backend/cpu/ops.h"

namespace spate::cpu {
namespace {

// Panels of all rows are packed before the products begin; rows are taken in parts of this size so
// that they need at most this much memory.
constexpr int64_t kMaxPanelBytes = int64_t{64} << 20;
// Work of one task, in vectors of weights times rows: tens of microseconds, which is long beside
// handing it out and short beside an op. Decoding weighs as much as a few rows.
constexpr int64_t kTaskWork = 150'000;
constexpr int kDecodeWork = 4;

struct Panel {
  int64_t begin;    // first row
  int rows, shape;  // real rows; index into LinearKernels::panels
  const float* data;
};

// Cuts rows into panels: the largest size as often as it fits, then the smallest that holds the
// rest.
std::vector<Panel> cut_rows(const LinearKernels& kernels, int64_t rows) {
  std::vector<Panel> panels;
  for (int64_t begin = 0; begin < rows;) {
    int shape = 0;
    while (shape + 1 < kernels.panel_sizes && kernels.panels[shape].rows < rows - begin) ++shape;
    const int64_t count = std::min<int64_t>(rows - begin, kernels.panels[shape].rows);
    panels.push_back({.begin = begin, .rows = static_cast<int>(count), .shape = shape});
    begin += count;
  }
  return panels;
}

// Packs the rows of x for their panels. A single row needs no packing.
void pack_rows(Context& context, const Tensor& x, std::vector<Panel>& panels) {
  const LinearKernels& kernels = *context.kernels().linear;
  const int64_t inputs = x.row_size();
  int64_t floats = 0;
  for (const Panel& panel : panels) floats += kernels.panels[panel.shape].rows * inputs;
  auto* memory = static_cast<float*>(context.shared(static_cast<size_t>(floats) * sizeof(float)));
  context.pool().parallel(static_cast<int64_t>(panels.size()), [&](int64_t index, int) {
    Panel& panel = panels[static_cast<size_t>(index)];
    const int size = kernels.panels[panel.shape].rows;
    panel.data = x.row<float>(panel.begin);
    if (size == 1) return;
    float* to = memory + index * panels.front().rows * inputs;  // all but the last are full
    kernels.pack(panel.data, x.row_stride, panel.rows, inputs, size, to);
    panel.data = to;
  });
}

struct Product {
  const Weight* weight;
  const float* bias;  // or null
  Tensor out;
};

struct TileRange {
  int64_t begin, end;
};

PanelProduct panel_product(const Product& product, const Panel& panel, TileRange tiles) {
  const Weight& weight = *product.weight;
  const int64_t first = tiles.begin * kTile;
  const size_t bytes = tile_bytes(weight.layout, weight.in);
  return {.tiles = static_cast<const uint8_t*>(weight.storage.data()) +
                   static_cast<size_t>(tiles.begin) * bytes,
          .tile_bytes = bytes,
          .inputs = weight.in,
          .panel = panel.data,
          .rows = panel.rows,
          .out = product.out.row<float>(panel.begin) + first,
          .out_stride = product.out.row_stride,
          .outputs = std::min(tiles.end * kTile, weight.out) - first,
          .bias = product.bias == nullptr ? nullptr : product.bias + first};
}

// The work of one task: some panels with a run of tiles.
struct Task {
  const Product& product;
  std::span<const Panel> panels;
  TileRange tiles;
};

// Decodes in registers, again for each panel.
void multiply_in_registers(Context& context, int /*thread*/, const Task& task) {
  const FormatKernels& format = *context.kernels().linear->formats[task.product.weight->layout];
  for (const Panel& panel : task.panels) {
    format.multiply[panel.shape](panel_product(task.product, panel, task.tiles));
  }
}

// Decodes each tile into memory, where all panels of the task find plain floats.
void multiply_decoded(Context& context, int thread, const Task& task) {
  const LinearKernels& kernels = *context.kernels().linear;
  const FormatKernels& format = *kernels.formats[task.product.weight->layout];
  const FormatKernels& floats = *kernels.formats[static_cast<int>(TileFormat::f32)];
  const auto bytes = static_cast<size_t>(task.product.weight->in * kTile) * sizeof(float);
  auto* decoded = static_cast<float*>(context.scratch(thread, bytes));
  for (int64_t tile = task.tiles.begin; tile < task.tiles.end; ++tile) {
    for (const Panel& panel : task.panels) {
      PanelProduct one = panel_product(task.product, panel, {tile, tile + 1});
      if (&panel == task.panels.data()) format.decode(one.tiles, one.inputs, decoded);
      one.tiles = reinterpret_cast<const uint8_t*>(decoded);
      floats.multiply[panel.shape](one);
    }
  }
}

// How a product gets its weights; each gives the same bits.
struct LinearKernel {
  std::string_view name;
  bool (*prefers)(const LinearKernels& kernels, TileFormat format, int64_t rows);
  void (*multiply)(Context& context, int thread, const Task& task);
  int64_t panels_in_task;
};

constexpr LinearKernel kKernels[] = {
    {"decoded",
     [](const LinearKernels& kernels, TileFormat format, int64_t rows) {
       return format > TileFormat::bf16 && !kernels.decodes_cheaply &&
              rows > 2 * kernels.panels[kernels.panel_sizes - 1].rows;
     },
     multiply_decoded, 8},
    {"registers", [](const LinearKernels&, TileFormat, int64_t) { return true; },
     multiply_in_registers, 1},
};

// The forced one, whatever it prefers, or the first that likes the problem.
const LinearKernel& choose(const Context& context, const Weight& weight, int64_t rows) {
  const std::string_view forced = context.forced().of(op::Linear::kName);
  const auto format = static_cast<TileFormat>(weight.layout);
  for (const LinearKernel& kernel : kKernels) {
    if (forced.empty() ? kernel.prefers(*context.kernels().linear, format, rows)
                       : kernel.name == forced) {
      return kernel;
    }
  }
  fail("no kernel for linear=", forced);  // not reached: names are checked when they are read
}

// Computes one or two products of the same x, and calls after(panel, tiles) behind each part of
// them: the rows of the panel and the outputs of the tiles.
void multiply_all(Context& context, const Tensor& x, std::span<const Product> products,
                  const std::function<void(const Panel&, TileRange)>& after) {
  const LinearKernels& kernels = *context.kernels().linear;
  const Weight& weight = *products[0].weight;
  if (x.rows() == 0 || weight.out == 0) return;
  const LinearKernel& kernel = choose(context, weight, x.rows());
  std::vector<Panel> panels = cut_rows(kernels, x.rows());
  pack_rows(context, x, panels);

  const auto panel_count = static_cast<int64_t>(panels.size());
  const int64_t panel_tasks = (panel_count + kernel.panels_in_task - 1) / kernel.panels_in_task;
  const int64_t panels_each = (panel_count + panel_tasks - 1) / panel_tasks;
  // Tiles that go side by side stay together.
  const PanelShape shape = kernels.panels[panels.front().shape];
  const int64_t side_by_side = (shape.tiles + 1) / 2;
  const int64_t tiles = (weight.out + kTile - 1) / kTile;
  const int64_t units = (tiles + side_by_side - 1) / side_by_side;
  const int64_t work = panel_count * (shape.rows + kDecodeWork) * tiles * weight.in *
                       static_cast<int64_t>(products.size());
  // A multiple of the threads, because tasks are about equal.
  const int64_t threads = context.threads();
  const int64_t tasks = std::max((work / kTaskWork + threads - 1) / threads, int64_t{1}) * threads;
  const int64_t runs = std::min((tasks + panel_tasks - 1) / panel_tasks, units);

  context.pool().parallel(panel_tasks * runs, [&](int64_t task, int thread) {
    const int64_t run = task / panel_tasks;
    const int64_t first = task % panel_tasks * panels_each;
    const auto mine =
        std::span(panels).subspan(static_cast<size_t>(first),
                                  static_cast<size_t>(std::min(panels_each, panel_count - first)));
    const TileRange range{.begin = std::min(units * run / runs * side_by_side, tiles),
                          .end = std::min(units * (run + 1) / runs * side_by_side, tiles)};
    for (const Product& product : products) {
      kernel.multiply(context, thread, {.product = product, .panels = mine, .tiles = range});
    }
    if (after == nullptr) return;
    for (const Panel& panel : mine) after(panel, range);
  });
}

// Calls body(rows) for parts of x whose panels fit in memory.
void in_parts(const Context& context, const Tensor& x,
              const std::function<void(int64_t begin, int64_t count)>& body) {
  const LinearKernels& kernels = *context.kernels().linear;
  const int64_t full = kernels.panels[kernels.panel_sizes - 1].rows;
  const int64_t row_bytes = std::max<int64_t>(x.row_size(), 1) * 4;
  const int64_t part = std::max<int64_t>(kMaxPanelBytes / row_bytes / full, 1) * full;
  for (int64_t begin = 0; begin < x.rows(); begin += part) {
    body(begin, std::min(part, x.rows() - begin));
  }
}

}  // namespace

std::vector<std::string_view> linear_kernel_names() {
  std::vector<std::string_view> names;
  for (const LinearKernel& kernel : kKernels) names.push_back(kernel.name);
  return names;
}

void run(Context& context, const op::Linear& op) {
  in_parts(context, op.x, [&](int64_t begin, int64_t count) {
    const Product product{
        .weight = op.weight, .bias = op.bias.as<float>(), .out = op.out.slice(begin, count)};
    multiply_all(context, op.x.slice(begin, count), {&product, 1}, nullptr);
  });
}

void run(Context& context, const op::LinearGated& op) {
  const RowKernels& rows = *context.kernels().rows;
  const auto activate =
      op.activation == op::Activation::silu ? rows.silu_times : rows.gelu_tanh_times;
  in_parts(context, op.x, [&](int64_t begin, int64_t count) {
    const Tensor gate = op.out.slice(begin, count), up = op.scratch.slice(begin, count);
    const Product products[] = {{.weight = op.gate, .bias = nullptr, .out = gate},
                                {.weight = op.up, .bias = nullptr, .out = up}};
    multiply_all(context, op.x.slice(begin, count), products,
                 [&](const Panel& panel, TileRange tiles) {
                   const int64_t first = tiles.begin * kTile;
                   const int64_t outputs = std::min(tiles.end * kTile, op.gate->out) - first;
                   for (int64_t t = panel.begin; t < panel.begin + panel.rows; ++t) {
                     float* row = gate.row<float>(t) + first;
                     activate(row, up.row<float>(t) + first, row, outputs);
                   }
                 });
  });
}

// Decodes the whole tile of a token and keeps one column: 16 times the work that is needed, and
// still nothing beside the rest of a step.
void run(Context& context, const op::Embed& op) {
  const Weight& table = *op.table;
  const size_t bytes = tile_bytes(table.layout, table.in);
  const FormatKernels& format = *context.kernels().linear->formats[table.layout];
  context.pool().parallel(op.tokens.rows(), [&](int64_t t, int thread) {
    const int64_t token = op.tokens.as<int32_t>()[t];
    auto* decoded = static_cast<float*>(
        context.scratch(thread, static_cast<size_t>(table.in * kTile) * sizeof(float)));
    format.decode(static_cast<const uint8_t*>(table.storage.data()) +
                      static_cast<size_t>(token / kTile) * bytes,
                  table.in, decoded);
    float* out = op.out.row<float>(t);
    for (int64_t i = 0; i < table.in; ++i) out[i] = decoded[i * kTile + token % kTile];
  });
}

}  // namespace spate::cpu
