#include "models/dense.h"

#include <algorithm>

#include "models/decoder.h"
#include "nn/attention.h"
#include "nn/latent_attention.h"

namespace spate {

std::unique_ptr<Model> build_dense(const Source& root) {
  if (root.config().has_latents()) return std::make_unique<Decoder<LatentAttention>>(root);
  return std::make_unique<Decoder<Attention>>(root);
}

KvNeeds dense_kv_needs(const Config& config) {
  if (config.has_latents()) return LatentAttention::kv_needs(config);
  return {.layers = config.layers, .kv_heads = config.kv_heads, .head_width = config.head_width};
}

int64_t dense_scratch_width(const Config& config) {
  return Decoder<Attention>::scratch_width(
      config,
      config.has_latents() ? LatentAttention::scratch_width(config)
                           : Attention::scratch_width(config),
      std::max(GatedMlp::scratch_width(config.inner_width), ExpertMlp::scratch_width(config)));
}

}  // namespace spate
