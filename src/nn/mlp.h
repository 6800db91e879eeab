// The gated feed-forward layer: down(activation(gate(x)) * up(x)), inner width F.
#pragma once

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
      : down_(source / "down_proj", config.width, inner, {config.mlp_bias}),
        activation_(activation_of(config)),
        bias_(config.mlp_bias),
        inner_(inner) {
    const Linear::Part parts[] = {{"gate_proj", inner_}, {"up_proj", inner_}};
    joined_ = Linear::joined(source, parts, config.width, {config.mlp_bias});
    if (joined_) return;
    for (const Linear::Part& part : parts) {
      apart_.emplace_back(source / part.name, part.out, config.width,
                          Linear::Options{config.mlp_bias});
    }
  }

  // out [T, C] = mlp(x [T, C]); out may be x.
  void forward(Step& step, Tensor x, Tensor out) const {
    auto frame = step.scratch.frame();
    if (joined_) {
      const Tensor both = step.take({step.tokens(), 2 * inner_});
      const Tensor gate = both.columns(0, {inner_}), up = both.columns(inner_, {inner_});
      joined_->forward(step, x, both);
      step.backend.run(op::Gated{.gate = gate, .up = up, .out = gate, .activation = activation_});
      down_.forward(step, gate, out);
      return;
    }
    const Tensor gate = step.take({step.tokens(), inner_});
    const Tensor up = step.take({step.tokens(), inner_});
    if (bias_) {  // the fused op has no bias
      apart_[0].forward(step, x, gate);
      apart_[1].forward(step, x, up);
      step.backend.run(op::Gated{.gate = gate, .up = up, .out = gate, .activation = activation_});
    } else {
      step.backend.run(op::LinearGated{.x = x,
                                       .gate = &apart_[0].weight(),
                                       .up = &apart_[1].weight(),
                                       .scratch = up,
                                       .out = gate,
                                       .activation = activation_});
    }
    down_.forward(step, gate, out);
  }

  // Elements of scratch that forward takes for a token.
  static int64_t scratch_width(int64_t inner) { return 2 * inner; }

 private:
  std::optional<Linear> joined_;  // gate and up as one product, where the backend joins them
  std::vector<Linear> apart_;     // gate, up
  Linear down_;
  op::Activation activation_;
  bool bias_;
  int64_t inner_;
};

}  // namespace spate
