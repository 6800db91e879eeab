// Linear, LinearGated, LinearQkv and Embed: cuts products into tasks for the threads. The kernels'
// own work is in linear/kernels.h; how weights lie is in linear/layout.h.
//
// A task is one panel of rows times a run of tiles. Panels change fastest from task to task, so
// that threads work on the same tiles at the same time and find them in a shared cache.
#include <algorithm>
#include <array>
#include <functional>
#include <span>

#include "backend/cpu/linear/column.h"
#include "backend/cpu/linear/kernels.h"
#include "backend/cpu/linear/place.h"
#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"

namespace spate::cpu {
namespace {

// Panels of all rows are packed before the products begin; rows are taken in parts of this size so
// that they need at most this much memory.
constexpr int64_t kMaxPanelBytes = int64_t{64} << 20;
// Work of one task, in vectors of weights times rows: tens of microseconds, which is long beside
// handing it out and short beside an op. Unpacking weighs as much as a few rows.
constexpr int64_t kTaskWork = 150'000;
constexpr int kUnpackWork = 4;

struct Panel {
  int64_t begin;    // first row
  int rows, shape;  // real rows; index into PanelKind::shapes
  const void* data;
};

struct TileRange {
  int64_t begin, end;
};

struct Product {
  const Weight* weight;
  Tensor bias;  // or empty
  Tensor out;

  int64_t tiles() const { return (weight->out + kTile - 1) / kTile; }
};

const FormatKernels& kernels_of(const Context& context, const Weight& weight) {
  return *context.kernels().linear->formats[weight.layout];
}

// Cuts rows into panels: the largest size as often as it fits, then the smallest that holds the
// rest.
std::vector<Panel> cut_rows(const PanelKind& kind, int64_t rows) {
  std::vector<Panel> panels;
  for (int64_t begin = 0; begin < rows;) {
    int shape = 0;
    while (shape + 1 < kind.sizes && kind.shapes[shape].rows < rows - begin) ++shape;
    const int64_t count = std::min<int64_t>(rows - begin, kind.shapes[shape].rows);
    panels.push_back({.begin = begin, .rows = static_cast<int>(count), .shape = shape});
    begin += count;
  }
  return panels;
}

// Cuts and packs the rows of x.
std::vector<Panel> make_panels(Context& context, const PanelKind& kind, const Tensor& x) {
  std::vector<Panel> panels = cut_rows(kind, x.rows());
  const int64_t inputs = x.row_size();
  const auto size_of_panel = [&](const Panel& panel) { return kind.shapes[panel.shape].rows; };
  int64_t bytes = 0;
  for (const Panel& panel : panels) bytes += kind.bytes(size_of_panel(panel), inputs);
  auto* memory = static_cast<uint8_t*>(context.shared(static_cast<size_t>(bytes)));
  const int64_t full = kind.bytes(panels.front().rows, inputs);  // all but the last are full
  for_rows(context, static_cast<int64_t>(panels.size()), panels.front().rows * inputs,
           [&](int64_t index, int /*thread*/) {
             Panel& panel = panels[static_cast<size_t>(index)];
             const float* row = x.row<float>(panel.begin);
             panel.data = row;
             if (kind.bare_row && size_of_panel(panel) == 1) return;
             uint8_t* to = memory + index * full;
             kind.pack(row, x.row_stride, panel.rows, inputs, size_of_panel(panel), to);
             panel.data = to;
           });
  return panels;
}

void multiply(const Context& context, const Product& product, const Panel& panel, TileRange tiles) {
  const Weight& weight = *product.weight;
  const int64_t first = tiles.begin * kTile;
  const size_t bytes = tile_bytes(weight.layout, weight.in);
  kernels_of(context, weight)
      .multiply[panel.shape](
          {.tiles = static_cast<const uint8_t*>(weight.storage.data()) +
                    static_cast<size_t>(tiles.begin) * bytes,
           .tile_bytes = bytes,
           .inputs = weight.in,
           .panel = panel.data,
           .rows = panel.rows,
           .out = product.out.row<float>(panel.begin) + first,
           .out_stride = product.out.row_stride,
           .outputs = std::min(tiles.end * kTile, weight.out) - first,
           .bias = product.bias.data == nullptr ? nullptr : product.bias.as<float>() + first});
}

// Calls body(panel, range) for every panel of x with every part of `tiles` tiles; a tile is worth
// `weights` vectors of weights of one input.
void for_tasks(Context& context, const PanelKind& kind, const Tensor& x, int64_t tiles,
               int64_t weights, const std::function<void(const Panel&, TileRange)>& body) {
  if (x.rows() == 0 || tiles == 0) return;
  const std::vector<Panel> panels = make_panels(context, kind, x);
  const auto panel_count = static_cast<int64_t>(panels.size());
  // Tiles that go side by side stay together.
  const PanelShape shape = kind.shapes[panels.front().shape];
  const int64_t side_by_side = (shape.tiles + 1) / 2;
  const int64_t units = (tiles + side_by_side - 1) / side_by_side;
  const int64_t work = panel_count * (shape.rows + kUnpackWork) * tiles * weights * x.row_size() /
                       kind.inputs_at_once;
  // A multiple of the threads, because tasks are about equal.
  const int64_t threads = context.threads();
  const int64_t tasks = std::max((work / kTaskWork + threads - 1) / threads, int64_t{1}) * threads;
  const int64_t runs = std::min((tasks + panel_count - 1) / panel_count, units);
  context.pool().parallel(panel_count * runs, [&](int64_t task, int /*thread*/) {
    const int64_t run = task / panel_count;
    body(panels[static_cast<size_t>(task % panel_count)],
         {.begin = std::min(units * run / runs * side_by_side, tiles),
          .end = std::min(units * (run + 1) / runs * side_by_side, tiles)});
  });
}

// Products of the same x, with weights that want the same kind of panel: their tiles are one row of
// tiles, one product after the other.
void multiply_row_of_products(Context& context, const Tensor& x,
                              std::span<const Product> products) {
  int64_t tiles = 0;
  for (const Product& product : products) tiles += product.tiles();
  const PanelKind& kind = *kernels_of(context, *products[0].weight).panels;
  for_tasks(context, kind, x, tiles, 1, [&](const Panel& panel, TileRange range) {
    int64_t before = 0;
    for (const Product& product : products) {
      const TileRange part{.begin = std::max(range.begin - before, int64_t{0}),
                           .end = std::min(range.end - before, product.tiles())};
      if (part.begin < part.end) multiply(context, product, panel, part);
      before += product.tiles();
    }
  });
}

bool same_panels(const Context& context, std::span<const Product> products) {
  return std::ranges::all_of(products, [&](const Product& product) {
    return kernels_of(context, *product.weight).panels ==
           kernels_of(context, *products[0].weight).panels;
  });
}

// Calls body(begin, count) for parts of x whose panels fit in memory.
void in_parts(const Tensor& x, const std::function<void(int64_t begin, int64_t count)>& body) {
  constexpr int64_t kRowsAtOnce = 240;  // a multiple of every full panel
  const int64_t row_bytes = std::max<int64_t>(x.row_size(), 1) * 4;
  const int64_t part = std::max<int64_t>(kMaxPanelBytes / row_bytes / kRowsAtOnce, 1) * kRowsAtOnce;
  for (int64_t begin = 0; begin < x.rows(); begin += part) {
    body(begin, std::min(part, x.rows() - begin));
  }
}

// All products of x; those that cannot share panels one by one.
void multiply_all(Context& context, const Tensor& x, std::span<const Product> products) {
  if (!same_panels(context, products)) {
    for (const Product& product : products) multiply_all(context, x, {&product, 1});
    return;
  }
  in_parts(x, [&](int64_t begin, int64_t count) {
    std::array<Product, 3> parts;
    for (size_t i = 0; i < products.size(); ++i) {
      parts[i] = products[i];
      parts[i].out = products[i].out.slice(begin, count);
    }
    multiply_row_of_products(context, x.slice(begin, count),
                             std::span(parts).first(products.size()));
  });
}

}  // namespace

void run(Context& context, const op::Linear& op) {
  const Product product{.weight = op.weight, .bias = op.bias, .out = op.out};
  multiply_all(context, op.x, {&product, 1});
}

void run(Context& context, const op::LinearQkv& op) {
  const auto product = [](const op::LinearQkv::Part& part) {
    return Product{.weight = part.weight, .bias = part.bias, .out = part.out};
  };
  const Product products[] = {product(op.q), product(op.k), product(op.v)};
  multiply_all(context, op.x, products);
}

// The activation follows each part of the products, whose results are in the nearest cache then.
void run(Context& context, const op::LinearGated& op) {
  const RowKernels& rows = *context.kernels().rows;
  const auto activate =
      op.activation == op::Activation::silu ? rows.silu_times : rows.gelu_tanh_times;
  const auto finish = [&](const Tensor& gate, const Tensor& up, int64_t t, int64_t first,
                          int64_t count) {
    float* row = gate.row<float>(t) + first;
    activate(row, up.row<float>(t) + first, row, count);
  };
  const Product all[] = {{.weight = op.gate, .bias = {}, .out = op.out},
                         {.weight = op.up, .bias = {}, .out = op.scratch}};
  if (!same_panels(context, all)) {
    multiply_all(context, op.x, all);
    for_rows(context, op.x.rows(), op.gate->out,
             [&](int64_t t, int /*thread*/) { finish(op.out, op.scratch, t, 0, op.gate->out); });
    return;
  }
  in_parts(op.x, [&](int64_t begin, int64_t count) {
    Product gate = all[0], up = all[1];
    gate.out = op.out.slice(begin, count);
    up.out = op.scratch.slice(begin, count);
    for_tasks(context, *kernels_of(context, *op.gate).panels, op.x.slice(begin, count),
              gate.tiles(), 2, [&](const Panel& panel, TileRange range) {
                multiply(context, gate, panel, range);
                multiply(context, up, panel, range);
                const int64_t first = range.begin * kTile;
                const int64_t outputs = std::min(range.end * kTile, op.gate->out) - first;
                for (int64_t t = panel.begin; t < panel.begin + panel.rows; ++t) {
                  finish(gate.out, up.out, t, first, outputs);
                }
              });
  });
}

void run(Context& context, const op::Embed& op) {
  const Weight& table = *op.table;
  const size_t bytes = tile_bytes(table.layout, table.in);
  for_rows(context, op.tokens.rows(), table.in, [&](int64_t t, int /*thread*/) {
    const int64_t token = op.tokens.as<int32_t>()[t];
    const auto* tile = static_cast<const uint8_t*>(table.storage.data()) +
                       static_cast<size_t>(token / kTile) * bytes;
    decode_column(table.layout, tile, static_cast<int>(token % kTile), table.in,
                  op.out.row<float>(t));
  });
}

}  // namespace spate::cpu
