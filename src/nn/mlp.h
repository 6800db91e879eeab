// The gated feed-forward layer: down(activation(gate(x)) * up(x)), inner width F.
#pragma once

#include "nn/linear.h"

namespace spate {

class GatedMlp {
 public:
  GatedMlp(const Source& source, const Config& config)
      : gate_(source / "gate_proj", config.inner_width, config.width, {config.mlp_bias}),
        up_(source / "up_proj", config.inner_width, config.width, {config.mlp_bias}),
        down_(source / "down_proj", config.width, config.inner_width, {config.mlp_bias}),
        activation_(config.activation == "silu" ? op::Activation::silu : op::Activation::gelu_tanh),
        bias_(config.mlp_bias),
        inner_(config.inner_width) {}

  // out [T, C] = mlp(x [T, C]); out may be x.
  void forward(Step& step, Tensor x, Tensor out) const {
    auto frame = step.scratch.frame();
    const Tensor gate = step.take({step.tokens(), inner_});
    const Tensor up = step.take({step.tokens(), inner_});
    if (bias_) {  // the fused op has no bias
      gate_.forward(step, x, gate);
      up_.forward(step, x, up);
      step.backend.run(op::Gated{.gate = gate, .up = up, .out = gate, .activation = activation_});
    } else {
      step.backend.run(op::LinearGated{.x = x,
                                       .gate = &gate_.weight(),
                                       .up = &up_.weight(),
                                       .scratch = up,
                                       .out = gate,
                                       .activation = activation_});
    }
    down_.forward(step, gate, out);
  }

  // Elements of scratch that forward takes for a token.
  static int64_t scratch_width(const Config& config) { return 2 * config.inner_width; }

 private:
  Linear gate_, up_, down_;
  op::Activation activation_;
  bool bias_;
  int64_t inner_;
};

}  // namespace spate
