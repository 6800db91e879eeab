// A feed-forward layer of E experts, of which each token takes K: the router's choice, the weighted
// sum of the chosen experts' gated layers, and perhaps a shared expert that every token takes.
#pragma once

#include <optional>
#include <vector>

#include "nn/mlp.h"

namespace spate {

class ExpertMlp {
 public:
  ExpertMlp(const Source& source, const Config& config)
      : experts_(config.experts),
        router_(source / "gate", experts_.count, config.width,
                {.bias = experts_.router_bias, .of_layer = false}),
        gate_(stacked(source, "gate_proj", experts_.inner_width, config.width)),
        up_(stacked(source, "up_proj", experts_.inner_width, config.width)),
        down_(stacked(source, "down_proj", config.width, experts_.inner_width)),
        activation_(activation_of(config)) {
    if (experts_.choice_bias) {
      choice_bias_ = (source / "gate").vector("bias", experts_.count);
    }
    if (experts_.biases) {
      gate_bias_ = source.joined_vector(of_all(config, "gate_proj.bias", experts_.inner_width));
      up_bias_ = source.joined_vector(of_all(config, "up_proj.bias", experts_.inner_width));
      down_bias_ = source.joined_vector(of_all(config, "down_proj.bias", config.width));
    }
    if (experts_.shared_width > 0) {
      shared_.emplace(source / "shared_expert", config, experts_.shared_width);
    }
    if (experts_.shared_gate) {
      shared_gate_.emplace(source / "shared_expert_gate", 1, config.width,
                           Linear::Options{.of_layer = false});
    }
  }

  // The router takes plain rows.
  Operand operand(Step& /*step*/, Tensor rows) const { return rows; }

  // out [T, C] = layer(x [T, C]); out may be x.
  void forward(Step& step, const Operand& operand, Tensor out) const {
    const Tensor x = operand.rows;
    auto frame = step.scratch.frame();
    if (!shared_) return forward_chosen(step, x, out);
    const Tensor shared = step.take({x.rows(), x.row_size()});
    forward_shared(step, x, shared);
    forward_chosen(step, x, out);
    step.backend.run(op::Add{.a = out, .b = shared, .out = out});
  }

  // Elements of scratch that forward takes for a token.
  static int64_t scratch_width(const Config& config) {
    const Experts& experts = config.experts;
    const int64_t k = experts.chosen;
    constexpr int64_t kWord = 2;  // a word takes at most two elements
    const int64_t words = 4 * k + 2 * (experts.count + 1) + 1;
    const int64_t chosen = kWord * words + k * (2 * experts.inner_width + config.width);
    const int64_t shared = kWord + GatedMlp::scratch_width(experts.shared_width);
    return experts.count == 0 ? 0 : config.width + std::max(chosen, shared);
  }

 private:
  static std::vector<Source::Part> of_all(const Config& config, std::string_view name,
                                          int64_t out) {
    std::vector<Source::Part> parts;
    for (int64_t expert = 0; expert < config.experts.count; ++expert) {
      parts.push_back({cat("experts.", expert, ".", name), out});
    }
    return parts;
  }
  static Weight stacked(const Source& source, std::string_view name, int64_t out, int64_t in) {
    return source.stacked(of_all(source.config(), cat(name, ".weight"), out), in, true);
  }

  void forward_chosen(Step& step, Tensor x, Tensor out) const {
    const int64_t tokens = x.rows(), k = experts_.chosen, pairs = tokens * k;
    const Tensor logits = step.take({tokens, experts_.count}, DType::f32);
    const Tensor chosen = step.take({tokens, k}, DType::i32);
    const Tensor weights = step.take({tokens, k}, DType::f32);
    router_.forward(step, x, logits);
    step.backend.run(op::Route{.logits = logits,
                               .bias = choice_bias_.view,
                               .chosen = chosen,
                               .weights = weights,
                               .routing = experts_.routing});
    step.backend.run(op::ExpertMlp{
        .x = x,
        .chosen = chosen,
        .weights = weights,
        .gate = &gate_,
        .up = &up_,
        .down = &down_,
        .biases = {.gate = gate_bias_.view, .up = up_bias_.view, .down = down_bias_.view},
        .scratch = {.begin = step.take({experts_.count + 1}, DType::i32),
                    .tokens = step.take({pairs}, DType::i32),
                    .places = step.take({tokens, k}, DType::i32),
                    .inner = step.take({pairs, experts_.inner_width}),
                    .up = step.take({pairs, experts_.inner_width}),
                    .pairs = step.take({pairs, x.row_size()})},
        .out = out,
        .activation = activation_});
  }

  void forward_shared(Step& step, Tensor x, Tensor out) const {
    auto frame = step.scratch.frame();
    shared_->forward(step, x, out);
    if (!shared_gate_) return;
    const Tensor gate = step.take({x.rows(), 1}, DType::f32);
    shared_gate_->forward(step, x, gate);
    step.backend.run(op::GateRows{.x = out, .gate = gate});
  }

  Experts experts_;
  Linear router_;
  Vector choice_bias_;                      // [E], or empty
  Weight gate_, up_, down_;                 // of all experts
  Vector gate_bias_, up_bias_, down_bias_;  // or empty
  op::Activation activation_;
  std::optional<GatedMlp> shared_;
  std::optional<Linear> shared_gate_;
};

}  // namespace spate
