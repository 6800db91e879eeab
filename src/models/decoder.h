// What decoders share whatever their attention is: blocks of attention and a feed-forward layer,
// each behind a norm and added to what came in, between an embedding and a head.
#pragma once

#include <variant>
#include <vector>

#include "models/model.h"
#include "nn/head.h"
#include "nn/mlp.h"
#include "nn/moe.h"
#include "nn/rope.h"

namespace spate {

// AttentionLayer(source, config, rope, layer), and its operand(step, rows) and forward(step,
// operand, out).
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

  // x [T, C] comes as what the block before gave, still to be added to `hidden`, or, where there is
  // none before, as nothing; it goes as what this block gives.
  void forward(Step& step, Tensor hidden, Tensor x, bool is_first) const {
    auto frame = step.scratch.frame();
    const Operand to_attention = attention.operand(step, x);
    if (is_first) {
      attention_norm.forward(step, hidden, to_attention);
    } else {
      attention_norm.after_add(step, hidden, x, to_attention);
    }
    attention.forward(step, to_attention, x);
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
      blocks_[static_cast<size_t>(i)].forward(step, hidden, x, i == first);
    }
    step.backend.run(op::Add{.a = hidden, .b = x, .out = hidden});
  }
  // Elements of scratch that layers take for a token, besides what those of a block do: x, which is
  // both their operand.
  static int64_t scratch_width(const Config& config) {
    return config.width + 2 * Linear::kOperandWidth;
  }
  void logits(Step& step, Tensor rows, Tensor logits) const override {
    head_.forward(step, rows, logits);
  }

 private:
  Embedding embedding_;
  Vector frequencies_;
  Head head_;
  std::vector<Block<AttentionLayer>> blocks_;
};

}  // namespace spate
