// What decoders share whatever their attention is: blocks of attention and a feed-forward layer,
// each behind a norm and added to what came in, between an embedding and a head.
#pragma once

#include <algorithm>
#include <variant>
#include <vector>

#include "models/model.h"
#include "nn/head.h"
#include "nn/mlp.h"
#include "nn/moe.h"
#include "nn/rope.h"

namespace spate {

// AttentionLayer(source, config, rope, layer), and its operand(step, rows) and forward(step,
// operand, out). Rows x [T, C] are what a layer gave that is still to be added to `hidden`.
template <class AttentionLayer>
struct Block {
  RmsNorm attention_norm, mlp_norm;
  AttentionLayer attention;
  std::variant<GatedMlp, ExpertMlp> mlp;

  Block(const Source& source, const Config& config, const Rope& rope, int64_t layer)
      : attention_norm(source / "input_layernorm", config.width, config.norm_eps),
        mlp_norm(source / "post_attention_layernorm", config.width, config.norm_eps),
        attention(source / "self_attn", config, rope, layer),
        mlp(make_mlp(source / "mlp", config, layer)) {}

  static std::variant<GatedMlp, ExpertMlp> make_mlp(const Source& source, const Config& config,
                                                    int64_t layer) {
    if (config.has_experts(layer)) return ExpertMlp(source, config);
    return GatedMlp(source, config, config.inner_width);
  }

  // x comes as what the block before gave, or, where there is none before, as nothing.
  void attend(Step& step, Tensor hidden, Tensor x, bool is_first) const {
    auto frame = step.scratch.frame();
    const Operand to_attention = attention.operand(step, x);
    if (is_first) {
      attention_norm.forward(step, hidden, to_attention);
    } else {
      attention_norm.after_add(step, hidden, x, to_attention);
    }
    attention.forward(step, to_attention, x);
  }

  // Of any of the rows.
  void feed_forward(Step& step, Tensor hidden, Tensor x) const {
    auto frame = step.scratch.frame();
    std::visit(
        [&](const auto& layer) {
          const Operand to_layer = layer.operand(step, x);
          mlp_norm.after_add(step, hidden, x, to_layer);
          layer.forward(step, to_layer, x);
        },
        mlp);
  }
};

template <class AttentionLayer>
class Decoder : public Model {
 public:
  explicit Decoder(const Source& root)
      : embedding_(root / "model" / "embed_tokens", root.config().vocabulary, root.config().width),
        frequencies_(root.constant(rope_frequencies(root.config()))),
        head_(root, root / "model" / "norm", root.config(),
              root.config().tied_embeddings ? &embedding_.table() : nullptr) {
    const Config& config = root.config();
    const Rope rope{.frequencies = frequencies_.view,
                    .magnitude = rope_magnitude(config),
                    .pairs = config.rope_neighbours ? RopePairs::neighbours : RopePairs::halves};
    blocks_.reserve(static_cast<size_t>(config.layers));
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      blocks_.emplace_back(root / "model" / "layers" / layer, config, rope, layer);
    }
  }

  void embed(Step& step, Tensor hidden) const override { embedding_.forward(step, hidden); }
  void layers(Step& step, int64_t first, int64_t end, Tensor hidden) const override {
    auto frame = step.scratch.frame();
    const Tensor x = step.take({step.tokens(), hidden.row_size()});
    for (int64_t i = first; i < end; ++i) {
      const auto& block = blocks_[static_cast<size_t>(i)];
      block.attend(step, hidden, x, i == first);
      if (step.batch.wanted && &block == &blocks_.back()) return end_wanted(step, hidden, x);
      block.feed_forward(step, hidden, x);
    }
    step.backend.run(op::Add{.a = hidden, .b = x, .out = hidden});
  }
  // Elements of scratch that layers take for a token, where those of a block take so many: x, which
  // is both their operand, and at the end wanted rows with what the last block takes for them.
  static int64_t scratch_width(const Config& config, int64_t of_attention,
                               int64_t of_feed_forward) {
    return config.width + 2 * Linear::kOperandWidth +
           std::max({of_attention, of_feed_forward,
                     BatchView::most_wanted(2 * config.width + of_feed_forward) + 1});
  }
  void logits(Step& step, Tensor rows, Tensor logits) const override {
    head_.forward(step, rows, logits);
  }

 private:
  // No other token needs the last block's feed-forward layer: it gives no keys and no values.
  void end_wanted(Step& step, Tensor hidden, Tensor x) const {
    const Tensor& wanted = *step.batch.wanted;
    if (wanted.rows() == 0) return;
    const Tensor wanted_hidden = step.take({wanted.rows(), hidden.row_size()});
    const Tensor wanted_x = step.take({wanted.rows(), hidden.row_size()});
    step.backend.run(op::GatherRows{.x = hidden, .rows = wanted, .out = wanted_hidden});
    step.backend.run(op::GatherRows{.x = x, .rows = wanted, .out = wanted_x});
    blocks_.back().feed_forward(step, wanted_hidden, wanted_x);
    step.backend.run(
        op::Add{.a = wanted_hidden, .b = wanted_x, .out = hidden.slice(0, wanted.rows())});
  }

  Embedding embedding_;
  Vector frequencies_;
  Head head_;
  std::vector<Block<AttentionLayer>> blocks_;
};

}  // namespace spate
