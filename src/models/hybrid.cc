#include "models/hybrid.h"

#include <algorithm>
#include <variant>

#include "models/decoder.h"
#include "nn/attention.h"
#include "nn/linear_attention.h"

namespace spate {
namespace {

class HybridAttention {
 public:
  HybridAttention(const Source& source, const Config& config, const Rope& rope, int64_t layer)
      : layer_(make(source, config, rope, layer)) {}

  Operand operand(Step& step, Tensor rows) const {
    return std::visit([&](const auto& layer) { return layer.operand(step, rows); }, layer_);
  }

  void forward(Step& step, const Operand& x, Tensor out) const {
    std::visit([&](const auto& layer) { layer.forward(step, x, out); }, layer_);
  }

 private:
  using Layer = std::variant<Attention, LinearAttention>;

  // Each kind of layer counts its own places in the cache.
  static Layer make(const Source& source, const Config& config, const Rope& rope, int64_t layer) {
    const int64_t full = config.full_layers(layer);
    if (config.is_linear(layer)) return LinearAttention(source, config, rope, layer, layer - full);
    return Attention(source, config, rope, full);
  }

  Layer layer_;
};

}  // namespace

std::unique_ptr<Model> build_hybrid(const Source& root) {
  return std::make_unique<Decoder<HybridAttention>>(root);
}

KvNeeds hybrid_kv_needs(const Config& config) {
  return {.layers = config.full_layers(config.layers),
          .kv_heads = config.kv_heads,
          .head_width = config.head_width,
          .states = LinearAttention::state_needs(config)};
}

int64_t hybrid_scratch_width(const Config& config) {
  return Decoder<HybridAttention>::scratch_width(
      config, std::max(Attention::scratch_width(config), LinearAttention::scratch_width(config)),
      std::max(GatedMlp::scratch_width(config.inner_width), ExpertMlp::scratch_width(config)));
}

}  // namespace spate
