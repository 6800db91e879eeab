// Linear, LinearGated, LinearQkv and Embed: cuts products into tasks for the threads. The kernels'
// own work is in linear/kernels.h; how weights lie is in tiles/layout.h.
//
// A task is one panel of rows times a run of tiles. Panels change fastest from task to task, so
// that threads work on the same tiles at the same time and find them in a shared cache.
#include <algorithm>
#include <array>
#include <functional>
#include <span>

#include "backend/cpu/linear/column.h"
#include "backend/cpu/linear/panels.h"
#include "backend/cpu/linear/place.h"
#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"

namespace spate::cpu {
namespace {

struct TileRange {
  int64_t begin, end;
};

struct Product {
  const Weight* weight;
  Tensor bias;  // or empty
  Tensor out;

  int64_t tiles() const { return tiles_of(weight->out); }
};

// Cuts and packs the rows of x.
std::vector<Panel> make_panels(Context& context, const PanelKind& kind, const Tensor& x) {
  std::vector<Panel> panels = cut_rows(kind, x.rows());
  const int64_t inputs = x.row_size();
  const auto bytes = [&](const Panel& panel) {
    return kind.bytes(kind.shapes[panel.shape].rows, inputs);
  };
  std::vector<int64_t> begins{0};
  for (const Panel& panel : panels) begins.push_back(begins.back() + bytes(panel));
  auto* memory = static_cast<uint8_t*>(context.shared(static_cast<size_t>(begins.back())));
  for_rows(context, static_cast<int64_t>(panels.size()), panels.front().rows * inputs,
           [&](int64_t index, int /*thread*/) {
             Panel& panel = panels[static_cast<size_t>(index)];
             const int size = kind.shapes[panel.shape].rows;
             const float* row = x.row<float>(panel.begin);
             panel.data = row;
             if (kind.bare_row && size == 1) return;
             uint8_t* to = memory + begins[static_cast<size_t>(index)];
             kind.pack(row, x.row_stride, panel.rows, inputs, size, to);
             panel.data = to;
           });
  return panels;
}

// Where a panel's part of a product goes: its first row's first output.
struct Outputs {
  float* first;
  int64_t stride;
};

Outputs outputs_of(const Product& product, const Panel& panel, TileRange tiles) {
  return {product.out.row<float>(panel.begin) + tiles.begin * kTile, product.out.row_stride};
}

void multiply(const Context& context, const Product& product, const Panel& panel, TileRange tiles,
              Outputs to) {
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
           .out = to.first,
           .out_stride = to.stride,
           .outputs = std::min(tiles.end * kTile, weight.out) - first,
           .bias = product.bias.data == nullptr ? nullptr : product.bias.as<float>() + first});
}

using Body = std::function<void(const Panel& panel, TileRange tiles, int thread)>;

// Calls body for every panel of x with every part of `tiles` tiles; a tile is worth `weights`
// vectors of weights of one input.
void for_tasks(Context& context, const PanelKind& kind, const Tensor& x, int64_t tiles,
               int64_t weights, const Body& body) {
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
  context.pool().parallel(panel_count * runs, [&](int64_t task, int thread) {
    const int64_t run = task / panel_count;
    body(panels[static_cast<size_t>(task % panel_count)],
         {.begin = std::min(units * run / runs * side_by_side, tiles),
          .end = std::min(units * (run + 1) / runs * side_by_side, tiles)},
         thread);
  });
}

// Products of the same x, with weights that want the same kind of panel: their tiles are one row of
// tiles, one product after the other.
void multiply_row_of_products(Context& context, const Tensor& x,
                              std::span<const Product> products) {
  int64_t tiles = 0;
  for (const Product& product : products) tiles += product.tiles();
  const PanelKind& kind = *kernels_of(context, *products[0].weight).panels;
  for_tasks(context, kind, x, tiles, 1, [&](const Panel& panel, TileRange range, int /*thread*/) {
    int64_t before = 0;
    for (const Product& product : products) {
      const TileRange part{.begin = std::max(range.begin - before, int64_t{0}),
                           .end = std::min(range.end - before, product.tiles())};
      if (part.begin < part.end) {
        multiply(context, product, panel, part, outputs_of(product, panel, part));
      }
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

// The activation follows each part of the products: the part of `up` never leaves the nearest
// cache.
void run(Context& context, const op::LinearGated& op) {
  const RowKernels& rows = *context.kernels().rows;
  const auto activate = activation_kernel(rows, op.activation);
  const Product all[] = {{.weight = op.gate, .bias = {}, .out = op.out},
                         {.weight = op.up, .bias = {}, .out = op.scratch}};
  if (!same_panels(context, all)) {
    multiply_all(context, op.x, all);
    for_rows(context, op.x.rows(), op.gate->out, [&](int64_t t, int /*thread*/) {
      float* row = op.out.row<float>(t);
      activate(row, op.scratch.row<float>(t), row, op.gate->out);
    });
    return;
  }
  in_parts(op.x, [&](int64_t begin, int64_t count) {
    Product gate = all[0];
    gate.out = op.out.slice(begin, count);
    const auto body = [&](const Panel& panel, TileRange tiles, int thread) {
      const int64_t width = (tiles.end - tiles.begin) * kTile;
      const Outputs to = outputs_of(gate, panel, tiles);
      auto* up = static_cast<float*>(
          context.scratch(thread, static_cast<size_t>(panel.rows * width) * sizeof(float)));
      multiply(context, gate, panel, tiles, to);
      multiply(context, all[1], panel, tiles, {up, width});
      const int64_t outputs = std::min(width, op.gate->out - tiles.begin * kTile);
      for (int64_t r = 0; r < panel.rows; ++r) {
        float* row = to.first + r * to.stride;
        activate(row, up + r * width, row, outputs);
      }
    };
    for_tasks(context, *kernels_of(context, *op.gate).panels, op.x.slice(begin, count),
              gate.tiles(), 2, body);
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
