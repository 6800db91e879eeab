// Lightning attention (Qin et al., 2024; Ling and Ring Linear): linear attention with a decay by
// head. Queries, keys and values have as many heads; queries and keys may be normed and turn. Its
// output is normed in groups, times the sigmoid of one more product of the input.
#pragma once

#include <cmath>
#include <optional>
#include <vector>

#include "nn/attention.h"

namespace spate {

// [H], a state decays by e^-slope a token: the slopes of ALiBi (Press et al., 2021), which fall
// from head to head, times the part of them that a layer keeps: all in the first, nearly nothing in
// the last.
std::vector<float> linear_attention_slopes(int64_t heads, int64_t layer, int64_t layers);

class LinearAttention {
 public:
  // `index`: of its states in the pool.
  LinearAttention(const Source& source, const Config& config, const Rope& rope, int64_t layer,
                  int64_t index)
      : qkv_(source, config, config.heads),
        gate_(source / "g_proj", config.heads * config.head_width, config.width, {}),
        o_(source / "o_proj", config.width, config.heads * config.head_width, {config.output_bias}),
        out_norm_(source / "g_norm", config.heads * config.head_width, config.norm_eps),
        slope_(source.constant(linear_attention_slopes(config.heads, layer, config.layers))),
        index_(index),
        heads_(config.heads),
        head_width_(config.head_width),
        norm_groups_(config.linear.norm_groups),
        eps_(config.norm_eps) {
    if (config.qk_norm) {
      q_norm_.emplace(source / "q_norm", head_width_, eps_);
      k_norm_.emplace(source / "k_norm", head_width_, eps_);
    }
    if (config.linear.rope) rope_ = rope;
  }

  // What forward() likes to get in the memory of `rows`.
  Operand operand(Step& step, Tensor rows) const { return qkv_.operand(step, rows); }

  // out [T, C] = attention(x [T, C]); reads and writes the rows' states. out may be x.
  void forward(Step& step, const Operand& x, Tensor out) const {
    auto frame = step.scratch.frame();
    const int64_t width = heads_ * head_width_;
    const Tensor qkv = step.take({step.tokens(), 3 * width});
    const Tensor gate = step.take({step.tokens(), width});
    const Tensor mixed = step.take({step.tokens(), width});
    qkv_.forward(step, x, qkv);
    gate_.forward(step, x, gate);
    const Tensor q = qkv.columns(0, {heads_, head_width_});
    const Tensor k = qkv.columns(width, {heads_, head_width_});
    if (q_norm_) {
      q_norm_->forward(step, q, q);
      k_norm_->forward(step, k, k);
    }
    if (rope_) {
      step.backend.run(op::RopeApply{.x = qkv.columns(0, {2 * heads_, head_width_}),
                                     .positions = step.batch.positions,
                                     .rope = *rope_});
    }
    step.backend.run(op::LinearAttention{.q = q,
                                         .k = k,
                                         .v = qkv.columns(2 * width, {heads_, head_width_}),
                                         .out = mixed.columns(0, {heads_, head_width_}),
                                         .slope = slope_.view,
                                         .state = step.states.of_layer(index_),
                                         .row_begin = step.batch.row_begin,
                                         .state_from = step.batch.state_from,
                                         .state_to = step.batch.state_to,
                                         .scale = 1 / std::sqrt(static_cast<float>(head_width_))});
    step.backend.run(op::GatedGroupNorm{.x = mixed,
                                        .gate = gate,
                                        .weight = out_norm_.weight(),
                                        .out = mixed,
                                        .groups = norm_groups_,
                                        .eps = eps_});
    o_.forward(step, mixed, out);
  }

  static StateNeeds state_needs(const Config& config) {
    return {.layers = config.linear_layers(), .heads = config.heads, .width = config.head_width};
  }

  // Elements of scratch that forward takes for a token.
  static int64_t scratch_width(const Config& config) {
    return 5 * config.heads * config.head_width;
  }

 private:
  QkvLinear qkv_;
  Linear gate_, o_;
  std::optional<RmsNorm> q_norm_, k_norm_;
  RmsNorm out_norm_;          // its weight
  std::optional<Rope> rope_;  // its frequencies belong to the model
  Vector slope_;              // [H]
  int64_t index_, heads_, head_width_, norm_groups_;
  float eps_;
};

inline std::vector<float> linear_attention_slopes(int64_t heads, int64_t layer, int64_t layers) {
  // Where n is a power of two: 2^(-8/n), 2^(-16/n), ... 2^-8.
  const auto of_power = [](int64_t n, int64_t i) {
    return std::exp2(-8 * static_cast<double>(i + 1) / static_cast<double>(n));
  };
  int64_t power = 1;
  while (2 * power <= heads) power *= 2;
  // Training counted layers from 1: nothing is taken off in the first one.
  const double left =
      1 + 1e-5 - (layers > 1 ? static_cast<double>(layer) / static_cast<double>(layers - 1) : 0);
  std::vector<float> slopes;
  for (int64_t h = 0; h < heads; ++h) {
    // Heads beyond the power take every other slope of the next one.
    const double slope = h < power ? of_power(power, h) : of_power(2 * power, 2 * (h - power));
    slopes.push_back(static_cast<float>(slope * left));
  }
  return slopes;
}

}  // namespace spate
