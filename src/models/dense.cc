#include "models/dense.h"

#include <algorithm>
#include <variant>
#include <vector>

#include "nn/attention.h"
#include "nn/head.h"
#include "nn/latent_attention.h"
#include "nn/mlp.h"
#include "nn/moe.h"
#include "nn/rope.h"

namespace spate {
namespace {

// AttentionLayer: Attention or LatentAttention.
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

  void forward(Step& step, Tensor hidden) const {
    auto frame = step.scratch.frame();
    const Tensor x = step.take({step.tokens(), hidden.row_size()});
    attention_norm.forward(step, hidden, x);
    attention.forward(step, x, x);
    mlp_norm.after_add(step, hidden, x, x);
    std::visit([&](const auto& layer) { layer.forward(step, x, x); }, mlp);
    step.backend.run(op::Add{.a = hidden, .b = x, .out = hidden});
  }
};

template <class AttentionLayer>
class Dense : public Model {
 public:
  explicit Dense(const Source& root)
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
  void layer(Step& step, int64_t index, Tensor hidden) const override {
    blocks_[static_cast<size_t>(index)].forward(step, hidden);
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

}  // namespace

std::unique_ptr<Model> build_dense(const Source& root) {
  if (root.config().has_latents()) return std::make_unique<Dense<LatentAttention>>(root);
  return std::make_unique<Dense<Attention>>(root);
}

KvNeeds dense_kv_needs(const Config& config) {
  if (config.has_latents()) return LatentAttention::kv_needs(config);
  return {.layers = config.layers, .kv_heads = config.kv_heads, .head_width = config.head_width};
}

int64_t dense_scratch_width(const Config& config) {
  // The block's x, and the largest of its layers: they do not run at once.
  const int64_t attention = config.has_latents() ? LatentAttention::scratch_width(config)
                                                 : Attention::scratch_width(config);
  return config.width + std::max({attention, GatedMlp::scratch_width(config.inner_width),
                                  ExpertMlp::scratch_width(config)});
}

}  // namespace spate
