// The gated feed-forward layer: down(activation(gate(x)) * up(x)), inner width F.
#pragma once

#include <array>

#include "nn/linear.h"

namespace spate {

inline op::Activation activation_of(const Config& config) {
  if (config.activation == "silu") return op::Activation::silu;
  return config.activation == "clipped_silu" ? op::Activation::clipped_silu
                                             : op::Activation::gelu_tanh;
}

class GatedMlp {
 public:
  GatedMlp(const Source& source, const Config& config, int64_t inner)
      : into_inner_(source,
                    std::array{Linear::Part{"gate_proj", inner}, Linear::Part{"up_proj", inner}},
                    config.width, {config.mlp_bias}),
        down_(source / "down_proj", config.width, inner, {config.mlp_bias}),
        activation_(activation_of(config)),
        bias_(config.mlp_bias),
        inner_(inner) {}

  // What forward() likes to get in the memory of `rows`.
  Operand operand(Step& step, Tensor rows) const { return into_inner_.operand(step, rows); }

  // out [T, C] = mlp(x [T, C]); out may be x.
  void forward(Step& step, const Operand& x, Tensor out) const {
    auto frame = step.scratch.frame();
    const Tensor both = step.take({x.rows.rows(), 2 * inner_});
    const Tensor gate = both.columns(0, {inner_}), up = both.columns(inner_, {inner_});
    const Operand activated = down_.operand(step, gate);
    if (const Linear* joined = into_inner_.joined()) {
      run_rounded(step,
                  op::JoinedGated{
                      .product = joined->product(x, both), .out = gate, .activation = activation_},
                  activated);
    } else if (bias_) {  // the fused op has no bias
      into_inner_[0].forward(step, x, gate);
      into_inner_[1].forward(step, x, up);
      run_rounded(step, op::Gated{.gate = gate, .up = up, .out = gate, .activation = activation_},
                  activated);
    } else {
      step.backend.run(op::LinearGated{.x = x.rows,
                                       .gate = &into_inner_[0].weight(),
                                       .up = &into_inner_[1].weight(),
                                       .scratch = up,
                                       .out = gate,
                                       .activation = activation_});
      return down_.forward(step, gate, out);
    }
    down_.forward(step, activated, out);
  }

  // Elements of scratch that forward takes for a token.
  static int64_t scratch_width(int64_t inner) { return 2 * inner + Linear::kOperandWidth; }

 private:
  Projections into_inner_;  // gate, up
  Linear down_;
  op::Activation activation_;
  bool bias_;
  int64_t inner_;
};

}  // namespace spate
