#include "load/tensor_names.h"

#include <charconv>
#include <optional>

#include "base/check.h"

namespace spate {
namespace {

// A part of the model with a ".weight", and a ".bias" (of the weight's first dimension) where the
// config says so.
struct Part {
  std::string_view gguf, hugging_face;
  Shape (*shape)(const Config& config);                          // of the weight
  bool (*exists)(const Config& config) = nullptr;                // null: always
  bool (*bias)(const Config& config) = nullptr;                  // null: never
  std::vector<Shape> (*placed)(const Config& config) = nullptr;  // see ExpectedTensor
};

using C = Config;

bool has_qkv_bias(const C& c) { return c.qkv_bias; }
bool has_output_bias(const C& c) { return c.output_bias; }
bool has_mlp_bias(const C& c) { return c.mlp_bias; }
bool has_qk_norm(const C& c) { return c.qk_norm; }
bool has_heads(const C& c) { return !c.has_latents(); }  // keys and values of their own
bool has_latents(const C& c) { return c.has_latents(); }
bool has_query_latents(const C& c) { return c.latent.query_rank > 0; }
bool has_plain_queries(const C& c) { return c.latent.query_rank == 0; }
bool has_query_bias(const C& c) { return c.qkv_bias && !c.has_latents(); }

Shape vocabulary_by_width(const C& c) { return {c.vocabulary, c.width}; }
Shape width(const C& c) { return {c.width}; }
Shape head_width(const C& c) { return {c.head_width}; }
Shape kv_by_width(const C& c) { return {c.kv_heads * c.head_width, c.width}; }
Shape inner_by_width(const C& c) { return {c.inner_width, c.width}; }
Shape q_by_width(const C& c) { return {c.heads * c.head_width, c.width}; }
Shape width_by_values(const C& c) {
  return {c.width, c.heads * (c.has_latents() ? c.latent.value_width : c.head_width)};
}
Shape width_by_inner(const C& c) { return {c.width, c.inner_width}; }

// Of latent attention.
Shape query_rank(const C& c) { return {c.latent.query_rank}; }
Shape query_rank_by_width(const C& c) { return {c.latent.query_rank, c.width}; }
Shape q_by_query_rank(const C& c) { return {c.heads * c.head_width, c.latent.query_rank}; }
Shape rank(const C& c) { return {c.latent.rank}; }
Shape key_by_width(const C& c) { return {c.latent.rank + c.rope_width, c.width}; }
Shape heads_by_rank(const C& c) {
  return {c.heads * (c.latent.plain_width + c.latent.value_width), c.latent.rank};
}
// Of each head, see nn/latent_attention.h.
std::vector<Shape> into_and_out_of_latents(const C& c) {
  return {{c.heads * c.latent.rank, c.latent.plain_width},
          {c.heads * c.latent.value_width, c.latent.rank}};
}

constexpr std::string_view kGgufLayer = "blk.";
constexpr std::string_view kLayer = "model.layers.";

constexpr Part kLayerParts[] = {
    {"attn_norm", "input_layernorm", width},
    {"attn_q", "self_attn.q_proj", q_by_width, has_plain_queries, has_query_bias},
    {"attn_k", "self_attn.k_proj", kv_by_width, has_heads, has_qkv_bias},
    {"attn_v", "self_attn.v_proj", kv_by_width, has_heads, has_qkv_bias},
    {"attn_q_a", "self_attn.q_a_proj", query_rank_by_width, has_query_latents, has_qkv_bias},
    {"attn_q_a_norm", "self_attn.q_a_layernorm", query_rank, has_query_latents},
    {"attn_q_b", "self_attn.q_b_proj", q_by_query_rank, has_query_latents},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa", key_by_width, has_latents, has_qkv_bias},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm", rank, has_latents},
    {"attn_kv_b", "self_attn.kv_b_proj", heads_by_rank, has_latents, nullptr,
     into_and_out_of_latents},
    {"attn_output", "self_attn.o_proj", width_by_values, nullptr, has_output_bias},
    {"attn_q_norm", "self_attn.q_norm", head_width, has_qk_norm},
    {"attn_k_norm", "self_attn.k_norm", head_width, has_qk_norm},
    {"ffn_norm", "post_attention_layernorm", width},
    {"ffn_gate", "mlp.gate_proj", inner_by_width, nullptr, has_mlp_bias},
    {"ffn_up", "mlp.up_proj", inner_by_width, nullptr, has_mlp_bias},
    {"ffn_down", "mlp.down_proj", width_by_inner, nullptr, has_mlp_bias},
};

constexpr Part kModelParts[] = {
    {"token_embd", "model.embed_tokens", vocabulary_by_width},
    {"output_norm", "model.norm", width},
};

// Absent when the embedding serves as head.
constexpr Part kHead{"output", "lm_head", vocabulary_by_width};

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (text.substr(0, prefix.size()) != prefix) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "12.rest" -> 12, and `text` becomes "rest". Only the usual way to write a number counts.
std::optional<int64_t> take_index(std::string_view& text) {
  int64_t index = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
  const auto digits = static_cast<size_t>(end - text.data());
  const bool usual = index >= 0 && (text.substr(0, 1) != "0" || digits == 1);
  if (error != std::errc() || !usual || text.substr(digits, 1) != ".") return {};
  text.remove_prefix(digits + 1);
  return index;
}

// "attn_q.weight" -> "attn_q" and ".weight".
struct Stem {
  std::string_view part, ending;
};

Stem stem_of(std::string_view name) {
  const size_t dot = name.rfind('.');
  if (dot == std::string_view::npos) return {name, {}};
  return {name.substr(0, dot), name.substr(dot)};
}

bool expects(const Config& config, const Part& part, std::string_view ending) {
  if (part.exists != nullptr && !part.exists(config)) return false;
  return ending == ".weight" || (ending == ".bias" && part.bias != nullptr && part.bias(config));
}

// Appends the tensors of `part`, if the config has it.
void append(const Config& config, const Part& part, std::string_view prefix,
            std::vector<ExpectedTensor>& out) {
  const Shape shape = part.shape(config);
  const bool of_layer = !prefix.empty();
  if (expects(config, part, ".weight")) {
    out.push_back({cat(prefix, part.hugging_face, ".weight"), shape, of_layer});
    if (part.placed != nullptr) out.back().placed = part.placed(config);
  }
  if (expects(config, part, ".bias")) {
    out.push_back({cat(prefix, part.hugging_face, ".bias"), Shape{shape[0]}, of_layer});
  }
}

}  // namespace

std::string translate_gguf_name(std::string_view name) {
  std::string_view rest = name;
  const bool in_layer = take_prefix(rest, kGgufLayer);
  const std::optional<int64_t> layer = in_layer ? take_index(rest) : std::nullopt;
  const Stem stem = stem_of(rest);
  if (stem.ending != ".weight" && stem.ending != ".bias") return std::string(name);
  if (in_layer) {
    if (!layer) return std::string(name);
    for (const Part& part : kLayerParts) {
      if (part.gguf == stem.part) {
        return cat(kLayer, *layer, ".", part.hugging_face, stem.ending);
      }
    }
    return std::string(name);
  }
  for (const Part& part : kModelParts) {
    if (part.gguf == stem.part) return cat(part.hugging_face, stem.ending);
  }
  if (stem.part == kHead.gguf) return cat(kHead.hugging_face, stem.ending);
  return std::string(name);
}

bool config_expects_tensor(const Config& config, std::string_view name) {
  if (take_prefix(name, kLayer)) {
    const std::optional<int64_t> layer = take_index(name);
    if (!layer || *layer >= config.layers) return false;
    const Stem stem = stem_of(name);
    for (const Part& part : kLayerParts) {
      if (part.hugging_face == stem.part) return expects(config, part, stem.ending);
    }
    return false;
  }
  const Stem stem = stem_of(name);
  for (const Part& part : kModelParts) {
    if (part.hugging_face == stem.part) return expects(config, part, stem.ending);
  }
  return stem.part == kHead.hugging_face && !config.tied_embeddings &&
         expects(config, kHead, stem.ending);
}

std::vector<ExpectedTensor> expected_tensors(const Config& config) {
  std::vector<ExpectedTensor> tensors;
  for (const Part& part : kModelParts) append(config, part, "", tensors);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const Part& part : kLayerParts) append(config, part, cat(kLayer, layer, "."), tensors);
  }
  if (!config.tied_embeddings) append(config, kHead, "", tensors);
  return tensors;
}

}  // namespace spate
