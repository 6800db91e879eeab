// A matrix product with the layer's own weight and, where the checkpoint has one, bias.
#pragma once

#include <optional>
#include <span>

#include "load/source.h"
#include "nn/step.h"

namespace spate {

// Rows that a product takes: plain, or rounded where its weight is. Codes then lie where the plain
// rows would.
struct Operand {
  Tensor rows;
  op::RoundedRows rounded;
  Operand(Tensor rows) : rows(rows) {}
};

// Runs an op whose `out` is the operand's memory.
template <class Op>
void run_rounded(Step& step, const Op& op, const Operand& to) {
  if (!to.rounded.there()) return step.backend.run(op);
  step.backend.run(op::Rounded<Op>{.op = op, .to = to.rounded});
}

class Linear {
 public:
  struct Options {
    bool bias = false;
    bool of_layer = true;  // see HostWeight
  };
  Linear(const Source& source, int64_t out, int64_t in, Options options)
      : weight_(source.weight("weight", out, in, options.of_layer)) {
    if (options.bias) bias_ = source.vector("bias", out);
  }

  // One of several products of the same x: where it lies below their common place.
  struct Part {
    std::string_view name;
    int64_t out;
  };
  // Those products as one, the outputs of each behind those of the one before; nothing where the
  // backend does not join them.
  static std::optional<Linear> joined(const Source& source, std::span<const Part> parts, int64_t in,
                                      Options options);

  // What forward() likes to get in the memory of `rows` [T, I].
  Operand operand(Step& step, Tensor rows) const {
    Operand out(rows);
    const int64_t width = op::rounded_width(weight_.in);
    const auto size = static_cast<int64_t>(size_of(rows.dtype));
    const bool fits = width <= weight_.in * size && rows.row_stride * size % 16 == 0;
    if (!fits || !step.backend.rounds_rows(weight_)) return out;
    out.rounded.codes = view_of(rows.data, DType::u8, {rows.rows(), width}, rows.device);
    out.rounded.codes.row_stride = rows.row_stride * size;
    out.rounded.scales = step.take({rows.rows()}, DType::f32);
    return out;
  }
  // Elements of scratch that operand() takes for a token.
  static constexpr int64_t kOperandWidth = 2;

  // out [T, O] = x [T, I] * weight^T + bias
  void forward(Step& step, const Operand& x, Tensor out) const {
    step.backend.run(product(x, out));
  }
  op::Linear product(const Operand& x, Tensor out) const {
    op::Linear product{.x = x.rows, .weight = &weight_, .bias = bias_.view, .out = out};
    if (x.rounded.there()) {
      product.x = {};
      product.rounded = x.rounded;
    }
    return product;
  }
  // As one of several products of the same x.
  op::LinearQkv::Part part(Tensor out) const {
    return {.weight = &weight_, .bias = bias_.view, .out = out};
  }
  const Weight& weight() const { return weight_; }

 private:
  Linear(Weight weight, Vector bias) : weight_(std::move(weight)), bias_(std::move(bias)) {}

  Weight weight_;
  Vector bias_;
};

// Several products of the same x: one, where the backend joins them.
class Projections {
 public:
  Projections(const Source& source, std::span<const Linear::Part> parts, int64_t in,
              Linear::Options options)
      : joined_(Linear::joined(source, parts, in, options)) {
    if (joined_) return;
    for (const Linear::Part& part : parts) {
      apart_.emplace_back(source / part.name, part.out, in, options);
    }
  }

  const Linear* joined() const { return joined_ ? &*joined_ : nullptr; }
  // One of them, where they are not joined.
  const Linear& operator[](size_t index) const { return apart_[index]; }
  Operand operand(Step& step, Tensor rows) const {
    return joined_ ? joined_->operand(step, rows) : Operand(rows);
  }

 private:
  std::optional<Linear> joined_;
  std::vector<Linear> apart_;
};

inline std::optional<Linear> Linear::joined(const Source& source, std::span<const Part> parts,
                                            int64_t in, Options options) {
  const auto named = [&](std::string_view ending) {
    std::vector<Source::Part> out;
    for (const Part& part : parts) out.push_back({cat(part.name, ending), part.out});
    return out;
  };
  std::optional<Weight> weight = source.joined(named(".weight"), in, options.of_layer);
  if (!weight) return {};
  return Linear(std::move(*weight), options.bias ? source.joined_vector(named(".bias")) : Vector{});
}

}  // namespace spate
