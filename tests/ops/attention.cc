// Attention against plain loops: head counts and widths, segments, cache types, windows, soft caps,
// sinks, trees, chunks and decodes in one step. And its bits: a token's result is the same alone,
// batched, in chunks of any size, in other segments, with other threads and by other kernels; on a
// GPU, with the kernels that promise it.
#include "tests/reference/attention.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <map>
#include <optional>

#include "tests/ops/support.h"

namespace spate {
namespace {

using test::Owned;
using test::Random;

// One row of the step: its past and its new tokens, in segments of these sizes (the last is cut or
// repeated as needed).
struct RowCase {
  int length;  // keys, the new tokens counted
  int tokens;  // new
  std::vector<int> segments;
  int like = -1, common = 0;  // its first keys are those of that row before it, in the same slots
};

// See SharedKeys.
struct PartCase {
  int first_row, rows, begin, end, number;
};

struct AttentionCase {
  std::string name;
  int heads, kv_heads, width;
  std::vector<RowCase> rows;
  DType cache = DType::f16;
  int window = 0;
  float soft_cap = 0;
  bool sinks = false;
  int64_t row_gap = 0;   // elements between the rows of q, out and the cache
  bool tree = false;     // the tokens of each row are nodes of a random tree
  int value_width = 0;   // 0: that of keys
  bool in_keys = false;  // values are the first elements of keys
  std::vector<PartCase> parts;
  bool hollow = false;  // shared keys are missing in all rows but the first of a part

  int values() const { return value_width > 0 ? value_width : width; }
};

std::ostream& operator<<(std::ostream& out, const AttentionCase& c) { return out << c.name; }

// Keys, values and queries of sequences, by sequence and position: what does not depend on how they
// are laid out and cut.
struct Past {
  Past(const AttentionCase& c, uint64_t seed, DType activation = DType::f32)
      : activation(activation), random(seed) {
    for (const RowCase& row : c.rows) {
      keys.push_back(cached({row.length, c.kv_heads, c.width}, c.cache));
      values.push_back(cached({row.length, c.kv_heads, c.values()}, c.cache));
      if (c.in_keys) {
        values.back().fill([&](int64_t p, int64_t d) { return keys.back().at(p, d); });
      }
      queries.push_back(random.normal_tensor({row.length, c.heads, c.width}, activation));
      for (int p = 0; p < row.common; ++p) {
        for (auto* all : {&keys, &values}) {
          const Owned& from = (*all)[static_cast<size_t>(row.like)];
          for (int64_t d = 0; d < from.columns(); ++d) all->back().set(p, d, from.at(p, d));
        }
      }
    }
    if (c.sinks) sinks.emplace(random.normal_tensor({c.heads}));
    if (c.tree) {
      for (const RowCase& row : c.rows) paths.push_back(random_paths(row.tokens));
    }
  }

  // What a cache of the type can hold. In e4m3 those are codes times a scale, which differs much
  // from head to head; f32 holds the products.
  Owned cached(Shape shape, DType type) {
    if (type != DType::e4m3) return random.normal_tensor(shape, type);
    Owned out(shape);
    for (int64_t i = 0; i < shape[0] * shape[1]; ++i) {
      const double size = std::ldexp(1, static_cast<int>(random.whole(-7, 0)));
      std::vector<double> head;
      for (int64_t d = 0; d < shape[2]; ++d) head.push_back(random.normal(size));
      const double scale = reference::head_scale(head);
      for (int64_t d = 0; d < shape[2]; ++d) {
        const double code = reference::round_e4m3(head[static_cast<size_t>(d)] / scale);
        out.set(i / shape[1], i % shape[1] * shape[2] + d, code * scale);
      }
    }
    return out;
  }

  // The bits of each node: its own and those of its parent, which is any before it or none.
  std::vector<uint64_t> random_paths(int nodes) {
    std::vector<uint64_t> of_nodes;
    for (int node = 0; node < nodes; ++node) {
      const int64_t parent = random.whole(std::max(-1, node - 6), node - 1);
      const uint64_t before = parent < 0 ? 0 : of_nodes[static_cast<size_t>(parent)];
      of_nodes.push_back(before | uint64_t{1} << node);
    }
    return of_nodes;
  }

  // The places that the query of a sequence's position sees, in order.
  std::vector<size_t> seen(const AttentionCase& c, size_t sequence, int position) const {
    const RowCase& row = c.rows[sequence];
    const int before = row.length - row.tokens;
    const uint64_t path =
        c.tree ? paths[sequence][static_cast<size_t>(position - before)] : ~uint64_t{0};
    const int depth = c.tree ? before + std::popcount(path) - 1 : position;
    std::vector<size_t> places;
    for (int p = c.window > 0 ? std::max(0, depth - c.window + 1) : 0; p <= position; ++p) {
      if (!c.tree || p < before || (path >> (p - before) & 1) != 0) {
        places.push_back(static_cast<size_t>(p));
      }
    }
    return places;
  }

  DType activation;
  Random random;
  std::vector<Owned> keys, values, queries;
  std::optional<Owned> sinks;
  std::vector<std::vector<uint64_t>> paths;  // of trees: by sequence and token
};

// The tables and tensors of one step over some tokens of the sequences.
class StepOf {
 public:
  // What part of a sequence runs: its tokens [begin, end).
  struct Part {
    size_t sequence;
    int begin, end;
    std::vector<int> segments;
  };

  StepOf(const AttentionCase& c, const Past& past, const std::vector<Part>& parts)
      : case_(c), parts_(parts) {
    std::vector<int64_t> row_begin{0}, length, segment_begin{0}, segments;
    int64_t slots = 3;  // the first ones belong to nobody
    for (const Part& part : parts) {
      row_begin.push_back(row_begin.back() + part.end - part.begin);
      length.push_back(part.end);
      int left = part.end;
      if (const RowCase& row = c.rows[part.sequence]; row.common > 0 && !c.hollow) {
        int common = row.common;
        for (auto n = 2 * static_cast<size_t>(segment_begin[static_cast<size_t>(row.like)]);
             common > 0; n += 2) {
          const int64_t size = std::min<int64_t>(segments[n + 1], common);
          segments.insert(segments.end(), {segments[n], size});
          common -= static_cast<int>(size);
        }
        left -= row.common;
      }
      for (size_t i = 0; left > 0; ++i) {
        int size =
            part.segments.empty() ? left : part.segments[std::min(i, part.segments.size() - 1)];
        // The last segment may be longer than what is used of it.
        if (i % 2 == 0) size = std::min(size, left);
        segments.insert(segments.end(), {slots, size});
        slots += size + 2;  // neighbours in a row are not neighbours in the cache
        left -= size;
      }
      segment_begin.push_back(static_cast<int64_t>(segments.size()) / 2);
    }
    const int64_t rows = static_cast<int64_t>(parts.size());
    keep(row_begin_, row_begin, {rows + 1});
    keep(length_, length, {rows});
    keep(segment_begin_, segment_begin, {rows + 1});
    keep(segments_, segments, {segment_begin.back(), 2});
    keep_parts(rows);
    keys_.emplace(Shape{slots, c.kv_heads, c.width}, c.cache, c.row_gap);
    values_.emplace(Shape{slots, c.kv_heads, c.values()}, c.cache, c.row_gap);
    if (c.cache == DType::e4m3) scales_.emplace(Shape{c.kv_heads, slots, 2}, DType::bf16);
    q_.emplace(Shape{row_begin.back(), c.heads, c.width}, past.activation, c.row_gap);
    out_.emplace(Shape{row_begin.back(), c.heads, c.values()}, past.activation, c.row_gap);
    for (size_t b = 0; b < parts.size(); ++b) fill(b, past);
    if (c.tree) {  // of whole rows
      std::vector<int64_t> words;
      for (const Part& part : parts) {
        for (const uint64_t path : past.paths[part.sequence]) {
          words.push_back(static_cast<int32_t>(path));
          words.push_back(static_cast<int32_t>(path >> 32));
        }
      }
      keep(tree_, words, {row_begin.back(), 2});
    }
  }

  Tensor out(Backend& backend, const Past& past) {
    out_->poison();
    backend.run(op::Attention{.q = q_->tensor,
                              .out = out_->tensor,
                              .kv = view(),
                              .scale = scale(case_),
                              .window = case_.window,
                              .soft_cap = case_.soft_cap,
                              .sinks = case_.sinks ? past.sinks->tensor : Tensor{},
                              .tree = case_.tree ? tree_->tensor : Tensor{}});
    return out_->tensor;
  }
  const Owned& found() const { return *out_; }
  static float scale(const AttentionCase& c) { return 1 / std::sqrt(static_cast<float>(c.width)); }

 private:
  static void keep(std::optional<Owned>& to, const std::vector<int64_t>& values, Shape shape) {
    to.emplace(shape, DType::i32);
    to->fill([&](int64_t row, int64_t column) {
      return static_cast<double>(values[static_cast<size_t>(row * to->columns() + column)]);
    });
  }

  // The tables of shared keys, with two unused parts.
  void keep_parts(int64_t rows) {
    std::vector<int64_t> parts, own(static_cast<size_t>(2 * rows));
    for (const PartCase& part : case_.parts) {
      parts.insert(parts.end(), {part.first_row, part.rows, part.begin, part.end, part.number});
      most_parts_ = std::max(most_parts_, part.number + 1);
      for (int row = part.first_row; row < part.first_row + part.rows; ++row) {
        int64_t* of_row = own.data() + 2 * row;
        of_row[0] = std::max<int64_t>(of_row[0], part.end);
        of_row[1] += 1;
      }
    }
    parts.resize(parts.size() + 10);
    keep(parts_table_, parts, {static_cast<int64_t>(parts.size()) / 5, 5});
    keep(own_, own, {rows, 2});
  }

  // Copies what row b needs; slots that hold no visible key stay NaN.
  void fill(size_t b, const Past& past) {
    const Part& part = parts_[b];
    int position = 0;
    for (auto n = static_cast<int64_t>(segment_begin_->at(static_cast<int64_t>(b), 0));
         position < part.end; ++n) {
      for (int64_t i = 0; i < segments_->at(n, 1) && position < part.end; ++i, ++position) {
        if (case_.hollow && position < case_.rows[part.sequence].common) continue;
        const auto slot = static_cast<int64_t>(segments_->at(n, 0)) + i;
        for (int64_t head = 0; head < case_.kv_heads; ++head) {
          fill_head(*keys_, slot, past.keys[part.sequence], position, head, 0);
          fill_head(*values_, slot, past.values[part.sequence], position, head, 1);
        }
      }
    }
    const auto first = static_cast<int64_t>(row_begin_->at(static_cast<int64_t>(b), 0));
    for (int64_t t = 0; t < part.end - part.begin; ++t) {
      for (int64_t d = 0; d < q_->columns(); ++d) {
        q_->set(first + t, d, past.queries[part.sequence].at(part.begin + t, d));
      }
    }
  }

  // `scale`: which of the two of a slot and head.
  void fill_head(Owned& to, int64_t slot, const Owned& from, int64_t position, int64_t head,
                 int64_t scale) {
    const int64_t width = to.tensor.shape[2], begin = head * width;
    double factor = 1;
    if (scales_) {
      std::vector<double> elements;
      for (int64_t d = 0; d < width; ++d) elements.push_back(from.at(position, begin + d));
      factor = reference::head_scale(elements);
      scales_->set(head, 2 * slot + scale, factor);
    }
    for (int64_t d = begin; d < begin + width; ++d) {
      to.set(slot, d, from.at(position, d) / factor);
    }
  }

  KvView view() const {
    return {
        .keys = keys_->tensor,
        .values = case_.in_keys ? keys_->tensor.columns(0, {1, case_.values()}) : values_->tensor,
        .scales = scales_ ? scales_->tensor : Tensor{},
        .row_begin = row_begin_->tensor,
        .length = length_->tensor,
        .segment_begin = segment_begin_->tensor,
        .segments = segments_->tensor,
        .shared = {.parts = parts_table_->tensor, .own = own_->tensor, .most_parts = most_parts_}};
  }

  AttentionCase case_;
  std::vector<Part> parts_;
  std::optional<Owned> row_begin_, length_, segment_begin_, segments_, keys_, values_, scales_, q_,
      out_, tree_, parts_table_, own_;
  int most_parts_ = 0;
};

std::vector<StepOf::Part> parts_of(const AttentionCase& c) {
  std::vector<StepOf::Part> parts;
  for (size_t b = 0; b < c.rows.size(); ++b) {
    const RowCase& row = c.rows[b];
    parts.push_back({b, row.length - row.tokens, row.length, row.segments});
  }
  return parts;
}

// The step's expected output, all tokens one after the other; and how far off it may be.
struct Expected {
  std::vector<double> values, tolerance;
};

Expected expected_of(const AttentionCase& c, const Past& past) {
  Expected out;
  // Scores of size 1 to 4 in f32 sums over D; weights are off by that, values are of size 1 to 4.
  const double of_scores = 40 * test::kF32Epsilon * std::sqrt(c.width);
  // With 16-bit hidden states weights may be rounded to the cache's type, or f16 where that has
  // eight bits, and the output is.
  const bool rounds = past.activation != DType::f32;
  const DType weights = c.cache == DType::e4m3 ? DType::f16 : c.cache;
  const double of_weights = rounds ? 3 * test::epsilon_of(weights) : 0;
  const double of_output = rounds ? test::epsilon_of(past.activation) : 0;
  for (size_t b = 0; b < c.rows.size(); ++b) {
    const auto column = [&](const Owned& from, int64_t position, int head) {
      const int64_t width = from.tensor.shape[2];
      std::vector<double> row;
      for (int64_t d = 0; d < width; ++d) row.push_back(from.at(position, head * width + d));
      return row;
    };
    std::vector<std::vector<std::vector<double>>> keys, values;  // [G][position][D]
    for (int g = 0; g < c.kv_heads; ++g) {
      keys.emplace_back();
      values.emplace_back();
      for (int p = 0; p < c.rows[b].length; ++p) {
        keys.back().push_back(column(past.keys[b], p, g));
        values.back().push_back(column(past.values[b], p, g));
      }
    }
    for (int p = c.rows[b].length - c.rows[b].tokens; p < c.rows[b].length; ++p) {
      for (int h = 0; h < c.heads; ++h) {
        const auto g = static_cast<size_t>(h * c.kv_heads / c.heads);
        reference::AttentionOptions options{.scale = StepOf::scale(c), .soft_cap = c.soft_cap};
        if (c.sinks) options.sink = past.sinks->at(h, 0);
        const reference::Attended row = reference::attention(
            column(past.queries[b], p, h), keys[g], values[g], past.seen(c, b, p), options);
        out.values.insert(out.values.end(), row.values.begin(), row.values.end());
        for (size_t d = 0; d < row.values.size(); ++d) {
          out.tolerance.push_back(of_scores + of_weights * row.spread[d] +
                                  of_output * std::abs(row.values[d]));
        }
      }
    }
  }
  return out;
}

std::vector<AttentionCase> cases() {
  std::vector<AttentionCase> out;
  const auto add = [&](AttentionCase c) { out.push_back(std::move(c)); };
  const std::vector<RowCase> mixed{{130, 1, {7, 1, 50}}, {40, 9, {40}},   {1, 1, {1}},
                                   {300, 70, {128, 1}},  {129, 1, {200}}, {257, 2, {1, 2, 3, 31}}};
  add({"smollm2", 9, 3, 64, mixed});
  add({"one_to_one", 4, 4, 64, mixed, DType::f32});
  add({"eight_to_one", 8, 1, 128, mixed, DType::bf16, 0, 0, false, 16});
  add({"width_32", 4, 2, 32, mixed, DType::bf16});
  add({"width_80", 10, 2, 80, mixed, DType::f16, 0, 0, false, 5});
  add({"width_96", 7, 1, 96, mixed, DType::f32});
  add({"width_256", 4, 1, 256, {{140, 20, {33}}, {131, 1, {64}}}, DType::f16, 0, 30});
  add({"width_20", 6, 3, 20, mixed, DType::f16, 0, 0, true, 3});  // no whole vectors
  add({"width_20_bf16", 2, 1, 20, {{140, 20, {33}}, {131, 1, {64}}}, DType::bf16});
  add({"window", 6, 2, 64, mixed, DType::f16, 33});
  add({"window_over_blocks", 6, 2, 64, {{700, 300, {99}}, {641, 1, {640, 1}}}, DType::f16, 200});
  add({"window_1", 2, 2, 32, {{150, 40, {13}}, {140, 1, {}}}, DType::f32, 1});
  add({"soft_cap", 4, 2, 64, mixed, DType::f16, 0, 2});
  add({"sinks", 9, 3, 64, mixed, DType::f16, 0, 0, true});
  add({"everything", 10, 5, 96, mixed, DType::bf16, 50, 5, true, 32});
  for (int share = 1; share <= 8; ++share) {
    add({cat("share_", share), share, 1, 32, {{135, 13, {50}}, {131, 1, {64}}}});
  }
  // One token each; what rows of many tokens leave to others; heads in more than one tile.
  const std::vector<RowCase> single{
      {130, 1, {7, 1, 50}}, {1, 1, {1}}, {64, 1, {}}, {65, 1, {64, 1}}};
  const std::vector<RowCase> many{{150, 90, {31, 1, 100}}, {70, 70, {}}};
  for (const int width : {64, 80, 96, 128, 256}) {
    const DType cache = width % 3 == 2 ? DType::f16 : DType::bf16;
    add({cat("single_", width), 6, 2, width, single, cache});
    add({cat("many_", width), 2, 1, width, many, cache});
    add({cat("single_all_", width), 8, 2, width, single, cache, 40, 20, true, 8});
    add({cat("many_all_", width), 4, 4, width, many, cache, 40, 20, true, 8});
  }
  // Tiles of 128 (or 64) keys of a bf16 cache: segments that begin and end inside of them, windows
  // smaller than they are, more queries and rows than one tile holds, large groups.
  const std::vector<RowCase> tiled{
      {400, 300, {70, 1, 129}}, {257, 257, {}}, {130, 2, {128, 1}}, {300, 33, {1}}, {129, 1, {}}};
  for (const int width : {64, 80, 96, 128, 256}) {
    add({cat("tiled_", width), 6, 2, width, tiled, DType::bf16});
    add({cat("tiled_all_", width), 3, 1, width, tiled, DType::bf16, 50, 20, true, 8});
  }
  add({"tiled_window", 8, 1, 64, {{700, 300, {99}}, {641, 20, {}}}, DType::bf16, 200});
  add({"tiled_one_to_one", 2, 2, 128, {{300, 300, {31, 200}}, {140, 50, {}}}, DType::bf16});
  add({"tiled_group_65", 65, 1, 64, {{140, 5, {9}}, {70, 70, {}}}, DType::bf16, 0, 0, true});
  std::vector<RowCase> rows_of_two(70, {20, 2, {}});  // more rows than a warp has lanes
  rows_of_two[40] = {90, 60, {50}};
  rows_of_two[68] = {140, 1, {}};
  add({"tiled_rows", 16, 2, 64, rows_of_two, DType::bf16});
  // More parts than a GPU has blocks: there each of four heads beside each other has a warp.
  std::vector<RowCase> ragged;
  for (int i = 0; i < 230; ++i) ragged.push_back({1 + i * 37 % 70, 1, {20}});
  ragged[3] = {300, 1, {130, 1}};
  add({"apart_64", 8, 8, 64, ragged, DType::bf16, 60, 20, true, 8});
  add({"apart_128", 16, 8, 128, ragged, DType::bf16});
  ragged[100] = {40, 2, {}};
  ragged[200] = {90, 60, {}};
  ragged.resize(400, {3, 1, {}});
  add({"apart_group_9", 36, 4, 64, ragged, DType::bf16, 30});
  add({"group_17", 17, 1, 64, {{100, 1, {9}}, {70, 2, {}}, {80, 33, {}}}, DType::f16});
  add({"group_40", 40, 1, 64, {{100, 1, {}}, {70, 1, {}}}, DType::bf16, 30});
  add({"width_320", 3, 1, 320, {{70, 3, {9}}, {65, 1, {}}}, DType::f16, 0, 0, true});
  add({"one_key", 4, 2, 64, {{1, 1, {}}}, DType::f16, 0, 0, true});
  const std::vector<RowCase> trees{
      {130, 30, {7, 1, 50}}, {64, 64, {}}, {300, 5, {128, 1}}, {90, 1, {}}, {260, 64, {250}}};
  for (const int width : {32, 64, 96, 128}) {
    AttentionCase c{cat("tree_", width), 6, 3, width, trees, DType::bf16};
    c.tree = true;
    add(c);
    c.name = cat("tree_all_", width);
    c.cache = DType::f16;
    c.window = 40;
    c.soft_cap = 20;
    c.sinks = true;
    add(c);
  }
  add({"segments_of_one", 4, 2, 64, {{90, 1, {1}}, {90, 20, {1}}}, DType::bf16});
  // Values narrower than keys, with memory of their own and in their keys.
  struct Widths {
    int heads, kv_heads, width, value_width;
    bool in_keys;
  };
  for (const auto& [heads, kv_heads, width, value_width, in_keys] :
       {Widths{6, 2, 96, 64, false}, Widths{4, 2, 64, 20, false}, Widths{5, 1, 24, 16, true},
        Widths{8, 1, 576, 512, true}, Widths{40, 1, 96, 64, true}}) {
    for (const DType cache : {DType::f32, DType::bf16}) {
      AttentionCase c{cat("values_", heads, "_", width, "_", value_width, "_", name_of(cache)),
                      heads,
                      kv_heads,
                      width,
                      mixed,
                      cache};
      c.value_width = value_width;
      c.in_keys = in_keys;
      if (width == 576) c.rows = {{140, 12, {7, 1, 50}}, {300, 1, {200}}, {3, 3, {}}};
      add(c);
      c.name += "_all";
      c.window = 40;
      c.soft_cap = 20;
      c.sinks = true;
      c.row_gap = 8;
      add(c);
    }
  }
  // The shape of the kernels of latent attention: heads of several tokens, of one, and of parts of
  // one in a tile.
  for (const int heads : {1, 20, 96, 128}) {
    AttentionCase c{cat("latent_", heads), heads, 1, 576, {}, DType::bf16};
    c.rows = {{140, 12, {7, 1, 50}}, {300, 1, {200}}, {129, 2, {64, 65}}, {3, 3, {}}};
    if (heads > 64) c.rows = {{70, 2, {7, 1, 50}}, {130, 1, {64}}};
    c.value_width = 512;
    c.in_keys = true;
    add(c);
    c.name += "_all";
    c.soft_cap = 20;
    c.sinks = true;
    c.row_gap = 8;
    add(c);
  }
  // In eight bits all that 16 bits have but values that lie in their keys.
  const size_t count = out.size();
  for (size_t i = 0; i < count; ++i) {
    AttentionCase c = out[i];
    if (c.cache != DType::bf16 || c.in_keys) continue;
    c.name += "_e4m3";
    c.cache = DType::e4m3;
    c.row_gap *= 2;  // bytes as before
    add(c);
  }
  return out;
}

// Rows that share keys: ragged behind them, beside rows that share nothing.
std::vector<RowCase> sharing_rows() {
  std::vector<RowCase> rows{{385, 1, {70, 1, 300}}};
  for (const int length : {464, 449, 394, 664}) {
    rows.push_back({length, 1, {9, 100}, 0, 384});
  }
  rows.push_back({130, 1, {}});
  rows.push_back({200, 1, {130}});
  for (const int length : {201, 256, 257}) rows.push_back({length, 1, {}, 6, 199});
  return rows;
}

std::vector<AttentionCase> sharing_cases() {
  std::vector<AttentionCase> out;
  for (const int width : {64, 80, 96, 128, 256}) {
    AttentionCase c{cat("width_", width), 6, 2, width, sharing_rows(), DType::bf16};
    c.parts = {{0, 5, 0, 384, 0}, {6, 4, 0, 128, 0}};
    out.push_back(c);
    c.name += "_all";
    c.kv_heads = 6;
    c.soft_cap = 20;
    c.sinks = true;
    c.row_gap = 8;
    c.parts = {{0, 5, 0, 128, 0}, {0, 5, 128, 256, 1}, {0, 5, 256, 384, 2}, {6, 4, 0, 128, 0}};
    c.rows.push_back({300, 70, {128, 1}});  // of many tokens, and of few
    c.rows.push_back({257, 2, {1, 2, 3, 31}});
    out.push_back(c);
  }
  AttentionCase nested{"nested", 8, 2, 64, {{700, 1, {300}}}, DType::bf16};
  for (int row = 1; row < 12; ++row) {
    nested.rows.push_back(
        row < 6 ? RowCase{650 + row, 1, {}, 0, 640}
                : RowCase{400 + row, 1, {64}, row == 6 ? 0 : 6, row == 6 ? 128 : 390});
  }
  nested.parts = {{0, 12, 0, 128, 0}, {0, 6, 128, 640, 1}, {6, 6, 128, 384, 1}};
  out.push_back(nested);
  AttentionCase many{"many", 3, 1, 64, {{300, 1, {}}}, DType::bf16};  // items of 42 rows
  for (int row = 1; row < 130; ++row) many.rows.push_back({200 + row, 1, {}, 0, 200});
  many.parts = {{0, 130, 0, 128, 0}};
  out.push_back(many);
  for (size_t i = 0, count = out.size(); i < count; ++i) {
    AttentionCase c = out[i];
    c.name += "_e4m3";
    c.cache = DType::e4m3;
    c.row_gap *= 2;  // bytes as before
    out.push_back(c);
  }
  AttentionCase passed_over = out.front();
  passed_over.name = "window";
  passed_over.window = 100;
  out.push_back(passed_over);
  passed_over.name = "f16";
  passed_over.window = 0;
  passed_over.cache = DType::f16;
  out.push_back(passed_over);
  return out;
}

class AttentionTest : public testing::TestWithParam<AttentionCase> {};

// A case's inputs for a type of hidden states, with what they give.
struct Prepared {
  Prepared(const AttentionCase& c, uint64_t seed, DType activation)
      : past(c, seed, activation), step(c, past, parts_of(c)), expected(expected_of(c, past)) {}
  void expect(Backend& backend, const std::string& name) {
    step.out(backend, past);
    test::expect_close(step.found(), expected.values, expected.tolerance, name);
  }
  Past past;
  StepOf step;
  Expected expected;
};

// Keeps what it has prepared, for the setups to come.
class PreparedByType {
 public:
  PreparedByType(AttentionCase c, uint64_t seed) : case_(std::move(c)), seed_(seed) {}
  const AttentionCase& of() const { return case_; }
  void expect(Backend& backend, const std::string& name) {
    const DType type = backend.activation_type();
    prepared_.try_emplace(type, case_, seed_, type).first->second.expect(backend, name);
  }

 private:
  AttentionCase case_;
  uint64_t seed_;
  std::map<DType, Prepared> prepared_;
};

TEST_P(AttentionTest, MatchesThePlainLoops) {
  const DType cache = GetParam().cache;
  if (cache == DType::e4m3 && !test::has_gpu()) GTEST_SKIP() << test::reason_without_gpu();
  PreparedByType prepared(GetParam(), 17);
  test::for_each_cache_setup("attention", cache, [&](Backend& backend, const std::string& name) {
    prepared.expect(backend, name);
  });
}

INSTANTIATE_TEST_SUITE_P(Cases, AttentionTest, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(SharedKeys, AttentionTest, testing::ValuesIn(sharing_cases()),
                         [](const auto& info) { return info.param.name; });

// Rows find their shared keys in the slots of a part's first row alone.
TEST(Attention, SharedKeysAreReadOnceOnAGpu) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  for (AttentionCase c : sharing_cases()) {
    if (c.window > 0 || c.cache == DType::f16 || c.name.starts_with("nested")) continue;
    if (c.cache == DType::e4m3 && c.width > 128) continue;
    c.hollow = true;
    for (PartCase& part : c.parts) {
      for (int row = part.first_row + 1; row < part.first_row + part.rows; ++row) {
        RowCase& of_part = c.rows[static_cast<size_t>(row)];
        of_part.common = part.end;
      }
    }
    Prepared prepared(c, 31, DType::bf16);
    for (const char* kernels : {"", "attention=mixed"}) {
      const auto backend = open_cuda_backend({.activation = DType::bf16, .kernels = kernels}, 0);
      backend->set_waiting(true);
      prepared.expect(*backend, cat(c.name, " ", kernels));
    }
  }
}

// The setups whose bits must not depend on the batch: the CPU; on a GPU the kernels that promise
// it, and the ones that are chosen when it is asked for.
void for_each_steady_setup(DType cache, const test::SetupBody& body) {
  if (cache != DType::e4m3) test::for_each_cpu_setup("attention", body);
  if (!test::has_gpu()) return;
  for (const DType type : {DType::f32, DType::bf16}) {
    for (const char* kernels : {"", "attention=hopper", "attention=prefill",
                                "attention=latent_whole", "attention=general"}) {
      const bool forced = *kernels != 0;
      const auto backend =
          open_cuda_backend({.activation = type, .deterministic = !forced, .kernels = kernels}, 0);
      backend->set_waiting(true);
      test::run_setup(*backend, cat("GPU ", name_of(type), " ", kernels, ", "), forced, body);
    }
  }
}

// Runs all sequences' last tokens in some way and compares with each token run alone by the setup
// that comes first for its instruction set (on a GPU: for its kernel).
class AttentionBits : public testing::TestWithParam<AttentionCase> {};

const std::byte* bytes_of(const Tensor& tensor, int64_t row) {
  return tensor.as<std::byte>() +
         row * tensor.row_stride * static_cast<int64_t>(size_of(tensor.dtype));
}

TEST_P(AttentionBits, DependOnTheTokenAlone) {
  const AttentionCase& c = GetParam();
  std::map<DType, Past> pasts;                                       // by type of hidden states
  std::map<std::string, std::vector<std::vector<std::byte>>> alone;  // by instruction set
  const auto past_of = [&](Backend& backend) -> const Past& {
    const DType type = backend.activation_type();
    return pasts.try_emplace(type, c, 23, type).first->second;
  };
  const auto expect_alone = [&](Backend& backend, const std::string& name,
                                const std::vector<StepOf::Part>& parts) {
    const Past& past = past_of(backend);
    StepOf step(c, past, parts);
    const Tensor out = step.out(backend, past);
    const std::vector<std::vector<std::byte>>& expected = alone.at(name.substr(0, name.find(',')));
    int64_t t = 0;
    for (const StepOf::Part& part : parts) {
      for (int p = part.begin; p < part.end; ++p, ++t) {
        const int from = c.rows[part.sequence].length - c.rows[part.sequence].tokens;
        size_t index = static_cast<size_t>(p - from);
        for (size_t b = 0; b < part.sequence; ++b) index += static_cast<size_t>(c.rows[b].tokens);
        ASSERT_EQ(std::memcmp(bytes_of(out, t), expected[index].data(), expected[index].size()), 0)
            << name << ": sequence " << part.sequence << ", position " << p;
      }
    }
  };

  for_each_steady_setup(c.cache, [&](Backend& backend, const std::string& name) {
    const std::string isa = name.substr(0, name.find(','));
    if (!alone.contains(isa)) {
      const Past& past = past_of(backend);
      std::vector<std::vector<std::byte>> results;
      for (const StepOf::Part& row : parts_of(c)) {
        for (int p = row.begin; p < row.end; ++p) {
          StepOf step(c, past, {{row.sequence, p, p + 1, {}}});
          const Tensor out = step.out(backend, past);
          const std::byte* bytes = bytes_of(out, 0);
          results.emplace_back(bytes, bytes + c.heads * c.values() * size_of(out.dtype));
        }
      }
      alone[isa] = std::move(results);
    }
    expect_alone(backend, name, parts_of(c));
    for (const int chunk : {2, 5, 33}) {
      for (const std::vector<int>& segments :
           {std::vector<int>{}, std::vector<int>{1}, std::vector<int>{37, 128, 3}}) {
        // Chunk i of every sequence is one step.
        for (int i = 0;; ++i) {
          std::vector<StepOf::Part> parts;
          for (StepOf::Part part : parts_of(c)) {
            const int begin = part.begin + i * chunk;
            if (begin < part.end) {
              parts.push_back({part.sequence, begin, std::min(begin + chunk, part.end), segments});
            }
          }
          if (parts.empty()) break;
          expect_alone(backend, name, parts);
        }
        if (chunk < 5) break;  // many small steps: one layout is enough
      }
    }
  });
}

AttentionCase latent_case(const std::string& name, int heads, int width, int value_width) {
  AttentionCase c{name, heads, 1, width, {{300, 40, {77}}, {129, 3, {}}, {600, 1, {}}}};
  if (width > 500) {
    c.rows = {{150, 17, {77}}, {129, 3, {}}, {200, 1, {}}};
    c.cache = DType::bf16;
  }
  c.value_width = value_width;
  c.in_keys = true;
  return c;
}

INSTANTIATE_TEST_SUITE_P(
    Cases, AttentionBits,
    testing::Values(
        AttentionCase{"plain", 6, 2, 64, {{300, 40, {77}}, {129, 3, {}}, {700, 1, {}}}},
        AttentionCase{
            "window_sinks", 3, 1, 32, {{280, 60, {5}}, {600, 2, {}}}, DType::bf16, 150, 4, true},
        AttentionCase{"width_128",
                      8,
                      2,
                      128,
                      {{200, 40, {77}}, {129, 3, {}}, {170, 1, {}}},
                      DType::bf16,
                      0,
                      0,
                      true},
        AttentionCase{
            "window_64", 6, 2, 64, {{300, 40, {}}, {180, 20, {}}}, DType::bf16, 70, 9, true},
        AttentionCase{"width_256_bf16", 3, 1, 256, {{260, 40, {}}, {90, 1, {}}}, DType::bf16},
        AttentionCase{
            "plain_e4m3", 6, 2, 64, {{300, 40, {77}}, {129, 3, {}}, {700, 1, {}}}, DType::e4m3},
        AttentionCase{"all_e4m3",
                      8,
                      2,
                      128,
                      {{200, 40, {77}}, {129, 3, {}}, {170, 1, {}}},
                      DType::e4m3,
                      90,
                      9,
                      true},
        AttentionCase{"window_96", 3, 1, 96, {{180, 40, {}}, {150, 20, {}}}, DType::f16, 70, 9},
        AttentionCase{"width_256", 3, 1, 256, {{160, 20, {}}, {90, 1, {}}}, DType::f16},
        AttentionCase{"width_20", 4, 2, 20, {{280, 60, {}}, {400, 1, {}}}, DType::f32, 0, 0, true},
        latent_case("latent", 6, 96, 64), latent_case("latent_20", 3, 28, 20),
        latent_case("latent_512", 12, 576, 512)),
    [](const auto& info) { return info.param.name; });

// A value that no query may see yet, or no longer, touches nothing, whatever it is.
TEST(Attention, UnseenKeysTouchNothing) {
  AttentionCase c{"nan", 3, 1, 64, {{200, 60, {}}}, DType::f32, 100};
  Past past(c, 5);
  Past broken(c, 5);
  for (int d = 0; d < c.width; ++d) {
    for (const int position : {30, 180}) {
      broken.keys[0].set(position, d, std::numeric_limits<double>::quiet_NaN());
      broken.values[0].set(position, d, std::numeric_limits<double>::quiet_NaN());
    }
  }
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    StepOf whole(c, past, parts_of(c)), holed(c, broken, parts_of(c));
    whole.out(backend, past);
    holed.out(backend, broken);
    for (int t = 0; t < 60; ++t) {
      const int position = 140 + t;
      const bool sees = position >= 180;  // 30 left the window at position 130
      for (int i = 0; i < c.heads * c.width; ++i) {
        const double value = holed.found().at(t, i);
        ASSERT_TRUE(sees ? std::isnan(value) : value == whole.found().at(t, i))
            << name << ", position " << position << ": " << value;
      }
    }
  });
}

// Scores far apart, and some of them -infinity.
TEST(Attention, ExtremeScores) {
  AttentionCase c{"extreme", 2, 1, 32, {{300, 20, {}}}, DType::f32};
  Past past(c, 6);
  for (int p = 0; p < 300; ++p) {
    for (int d = 0; d < c.width; ++d) {
      past.keys[0].set(p, d, p < 128 || p % 7 == 0 ? -1e30 : 3 * past.keys[0].at(p, d));
    }
  }
  for (int p = 280; p < 300; ++p) {
    for (int i = 0; i < c.heads * c.width; ++i) past.queries[0].set(p, i, p % 2 == 0 ? 1e10 : 30);
  }
  const std::vector<double> expected = expected_of(c, past).values;
  StepOf step(c, past, parts_of(c));
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    step.out(backend, past);
    for (int64_t t = 0; t < 20; ++t) {
      for (int64_t i = 0; i < c.heads * c.width; ++i) {
        // The one key with the largest score wins, up to rounding of sums of size 1e3 to 1e12.
        ASSERT_NEAR(step.found().at(t, i), expected[static_cast<size_t>(t * c.heads * c.width + i)],
                    2e-3)
            << name << " at " << t << ", " << i;
      }
    }
  });
}

// A step of a few rows of any kind.
AttentionCase random_case(Random& random, int number) {
  const auto one_of = [&](std::initializer_list<int> list) {
    return list.begin()[random.whole(0, static_cast<int64_t>(list.size()) - 1)];
  };
  AttentionCase c{cat("random ", number)};
  c.kv_heads = one_of({1, 1, 2, 3});
  c.heads = c.kv_heads * one_of({1, 2, 3, 4, 7, 8, 20});
  c.width = one_of({64, 64, 80, 96, 128, 256, 24});
  std::vector types{DType::bf16, DType::f16, DType::bf16, DType::f16, DType::f32};
  if (test::has_gpu()) types.insert(types.end(), 3, DType::e4m3);
  c.cache = types[static_cast<size_t>(random.whole(0, std::ssize(types) - 1))];
  c.window = one_of({0, 0, 0, 1, 40, 64, 100});
  c.soft_cap = static_cast<float>(one_of({0, 0, 0, 3}));
  c.sinks = one_of({0, 0, 1}) == 1;
  c.row_gap = one_of({0, 0, 8, 16, 64, 3});
  c.tree = one_of({0, 0, 0, 1}) == 1;
  const int64_t rows = random.whole(1, 6);
  const bool single = random.whole(0, 2) == 0;  // one token each
  for (int64_t row = 0; row < rows; ++row) {
    RowCase next{.length = static_cast<int>(random.whole(1, one_of({3, 70, 200})))};
    next.tokens =
        single ? 1 : static_cast<int>(random.whole(1, std::min(next.length, one_of({1, 4, 60}))));
    for (int64_t segment = random.whole(0, 4); segment > 0; --segment) {
      next.segments.push_back(one_of({1, 2, 63, 64, 65, static_cast<int>(random.whole(1, 100))}));
    }
    c.rows.push_back(next);
  }
  return c;
}

// Ragged steps, all by every setup.
TEST(Attention, RandomSteps) {
  const int count = test::has_gpu() ? 300 : 25;
  Random random(99);
  std::vector<PreparedByType> prepared;
  for (int i = 0; i < count; ++i) prepared.emplace_back(random_case(random, i), 1000 + i);
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    for (PreparedByType& each : prepared) {
      const AttentionCase& c = each.of();
      if (c.cache == DType::e4m3 && backend.device().kind == Device::Kind::cpu) continue;
      std::string rows;
      for (const RowCase& row : c.rows) rows += cat(" ", row.tokens, "@", row.length);
      SCOPED_TRACE(cat(c.name, ": heads ", c.heads, "/", c.kv_heads, ", width ", c.width,
                       ", cache ", name_of(c.cache), ", window ", c.window, ", cap ", c.soft_cap,
                       ", sinks ", c.sinks, ", tree ", c.tree, ", gap ", c.row_gap, ", rows",
                       rows));
      // A kernel that is forced leaves out what it does not accept.
      test::run_setup(backend, name, name.find('=') != std::string::npos,
                      [&](Backend& same, const std::string& what) { each.expect(same, what); });
      if (testing::Test::HasFatalFailure()) return;
    }
  });
}

// So many rows that their heads share blocks, so long ones that they are cut into many pieces.
TEST(Attention, LongAndManyRowsOnAGpu) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  std::vector<AttentionCase> cases;
  cases.push_back({"long", 4, 1, 64, {{131072, 1, {1, 100000}}}, DType::bf16});
  AttentionCase many{"many", 4, 2, 64, {}, DType::f16};
  for (int row = 0; row < 300; ++row) many.rows.push_back({1 + row * 7919 % 150, 1, {30, 1}});
  cases.push_back(many);
  many.name = "many_mixed";
  many.rows[100].tokens = many.rows[100].length = 150;
  many.rows[299].tokens = many.rows[299].length;
  cases.push_back(many);
  AttentionCase ragged{"ragged",    4, 2, 128, {{9000, 1, {5000, 1}}, {3, 1, {}}},
                       DType::bf16, 0, 0, true};
  for (int row = 0; row < 30; ++row) ragged.rows.push_back({1 + row * 53, 1, {}});
  cases.push_back(ragged);
  // A part in many pieces among parts enough for each warp to have its own.
  AttentionCase apart{"apart", 8, 8, 64, {{6000, 1, {2000, 1}}}, DType::bf16};
  for (int row = 0; row < 300; ++row) apart.rows.push_back({1 + row * 37 % 20, 1, {}});
  cases.push_back(apart);
  apart.name = "apart_group_9";
  apart.heads = 36;
  apart.kv_heads = 4;
  cases.push_back(apart);
  for (size_t i = 0, count = cases.size(); i < count; ++i) {
    AttentionCase c = cases[i];
    c.name += "_e4m3";
    c.cache = DType::e4m3;
    cases.push_back(c);
  }
  AttentionCase latent{"latent", 16, 1, 576, {{5000, 1, {3000, 1}}, {3, 1, {}}}, DType::bf16};
  for (int row = 0; row < 12; ++row) latent.rows.push_back({1 + row * 53, 1 + row % 7 / 6, {}});
  latent.rows.push_back({300, 40, {100, 1}});
  latent.value_width = 512;
  latent.in_keys = true;
  cases.push_back(latent);
  latent = {"latent_heads", 128, 1, 576, {{1500, 1, {1000, 1}}, {20, 20, {}}, {1, 1, {}}},
            DType::bf16};
  latent.value_width = 512;
  latent.in_keys = true;
  cases.push_back(latent);
  for (const AttentionCase& c : cases) {
    SCOPED_TRACE(c.name);
    PreparedByType prepared(c, 3);
    test::for_each_gpu_setup("attention", [&](Backend& backend, const std::string& name) {
      prepared.expect(backend, name);
    });
  }
}

// No tokens, as a step without rows has them.
TEST(Attention, NoRows) {
  AttentionCase c{"none", 4, 2, 64, {}, DType::f16};
  test::for_each_setup("attention", [&](Backend& backend, const std::string& name) {
    Past past(c, 1, backend.activation_type());
    StepOf step(c, past, {});
    step.out(backend, past);
    step.found().expect_guarded(name);
  });
}

}  // namespace
}  // namespace spate
