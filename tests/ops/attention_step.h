// Cases of attention: sequences with a past, steps over some of their tokens, and what plain loops
// make of them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <optional>

#include "tests/ops/support.h"
#include "tests/reference/attention.h"

namespace spate::test {

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

inline std::ostream& operator<<(std::ostream& out, const AttentionCase& c) { return out << c.name; }

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

inline std::vector<StepOf::Part> parts_of(const AttentionCase& c) {
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

inline Expected expected_of(const AttentionCase& c, const Past& past) {
  Expected out;
  // Scores of size 1 to 4 in f32 sums over D; weights are off by that, values are of size 1 to 4.
  const double of_scores = 40 * kF32Epsilon * std::sqrt(c.width);
  // With 16-bit hidden states weights may be rounded to the cache's type, or f16 where that has
  // eight bits, and the output is.
  const bool rounds = past.activation != DType::f32;
  const DType weights = c.cache == DType::e4m3 ? DType::f16 : c.cache;
  const double of_weights = rounds ? 3 * epsilon_of(weights) : 0;
  const double of_output = rounds ? epsilon_of(past.activation) : 0;
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

}  // namespace spate::test
