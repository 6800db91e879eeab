// Grouped-query attention with rotary positions: H query heads on G key/value heads of width D.
// Options from the config: bias on q, k, v (Qwen2), norm of each q and k head (Qwen3), window,
// sinks (gpt-oss).
#pragma once

#include <array>
#include <cmath>
#include <optional>

#include "nn/linear.h"
#include "nn/norm.h"

namespace spate {

// The three products of an attention layer's input.
class QkvLinear {
 public:
  QkvLinear(const Source& source, const Config& config, int64_t kv_heads)
      : q_width_(config.heads * config.head_width),
        kv_width_(kv_heads * config.head_width),
        products_(source,
                  std::array{Linear::Part{"q_proj", q_width_}, Linear::Part{"k_proj", kv_width_},
                             Linear::Part{"v_proj", kv_width_}},
                  config.width, {config.qkv_bias}) {}

  Operand operand(Step& step, Tensor rows) const { return products_.operand(step, rows); }

  // out [T, q, k and v beside each other]
  void forward(Step& step, const Operand& x, Tensor out) const {
    if (const Linear* joined = products_.joined()) return joined->forward(step, x, out);
    step.backend.run(
        op::LinearQkv{.x = x.rows,
                      .q = products_[0].part(out.columns(0, {q_width_})),
                      .k = products_[1].part(out.columns(q_width_, {kv_width_})),
                      .v = products_[2].part(out.columns(q_width_ + kv_width_, {kv_width_}))});
  }

 private:
  int64_t q_width_, kv_width_;
  Projections products_;  // q, k, v
};

class Attention {
 public:
  Attention(const Source& source, const Config& config, const Rope& rope, int64_t layer)
      : qkv_(source, config, config.kv_heads),
        o_(source / "o_proj", config.width, config.heads * config.head_width, {config.output_bias}),
        rope_(rope),
        layer_(layer),
        heads_(config.heads),
        kv_heads_(config.kv_heads),
        head_width_(config.head_width),
        window_(config.window_of(layer)),
        eps_(config.norm_eps) {
    if (config.qk_norm) {
      q_norm_.emplace(source / "q_norm", head_width_, eps_);
      k_norm_.emplace(source / "k_norm", head_width_, eps_);
    }
    if (config.sinks) sinks_ = (source / "sinks").vector("weight", heads_);
  }

  // What forward() likes to get in the memory of `rows`.
  Operand operand(Step& step, Tensor rows) const { return qkv_.operand(step, rows); }

  // out [T, C] = attention(x [T, C]); writes the step's keys and values to the cache. out may be x.
  void forward(Step& step, const Operand& x, Tensor out) const {
    auto frame = step.scratch.frame();
    const int64_t q_width = heads_ * head_width_, kv_width = kv_heads_ * head_width_;
    const Tensor qkv = step.take({step.tokens(), q_width + 2 * kv_width});
    const Tensor mixed = step.take({step.tokens(), q_width});
    qkv_.forward(step, x, qkv);

    const KvView kv = step.kv_view(layer_);
    const Tensor q_heads = qkv.columns(0, {heads_, head_width_});
    step.backend.run(
        op::QkvNormRopeWrite{.q = q_heads,
                             .key = qkv.columns(q_width, {kv_heads_, head_width_}),
                             .value = qkv.columns(q_width + kv_width, {kv_heads_, head_width_}),
                             .q_norm = q_norm_ ? q_norm_->weight() : Tensor{},
                             .k_norm = k_norm_ ? k_norm_->weight() : Tensor{},
                             .eps = eps_,
                             .positions = step.batch.positions,
                             .rope = rope_,
                             .kv = kv});
    step.backend.run(op::Attention{.q = q_heads,
                                   .out = mixed.columns(0, {heads_, head_width_}),
                                   .kv = kv,
                                   .scale = 1 / std::sqrt(static_cast<float>(head_width_)),
                                   .window = static_cast<int>(window_),
                                   .sinks = sinks_.view});
    o_.forward(step, mixed, out);
  }

  // Elements of scratch that forward takes for a token.
  static int64_t scratch_width(const Config& config) {
    return 2 * (config.heads + config.kv_heads) * config.head_width;
  }

 private:
  QkvLinear qkv_;
  Linear o_;
  std::optional<RmsNorm> q_norm_, k_norm_;
  Vector sinks_;  // [H], or empty
  Rope rope_;     // its frequencies belong to the model
  int64_t layer_, heads_, kv_heads_, head_width_, window_;
  float eps_;
};

}  // namespace spate
