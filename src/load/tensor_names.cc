#include "load/tensor_names.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/check.h"

namespace spate {
namespace {

using C = Config;
using Exists = bool (*)(const Config& config, int64_t layer);

bool always(const C&, int64_t) { return true; }
bool has_qk_norm(const C& c, int64_t) { return c.qk_norm; }
bool has_sinks(const C& c, int64_t) { return c.sinks; }
// Keys and values of their own; a linear layer has as many as queries.
bool has_heads(const C& c, int64_t layer) { return !c.has_latents() && !c.is_linear(layer); }
bool is_linear(const C& c, int64_t layer) { return c.is_linear(layer); }
bool has_latents(const C& c, int64_t) { return c.has_latents(); }
bool has_latents_together(const C& c, int64_t) { return c.has_latents() && !c.latent.apart; }
bool has_latents_apart(const C& c, int64_t) { return c.has_latents() && c.latent.apart; }
bool has_query_latents(const C& c, int64_t) { return c.latent.query_rank > 0; }
bool has_plain_queries(const C& c, int64_t) { return c.latent.query_rank == 0; }
bool has_dense(const C& c, int64_t layer) { return !c.has_experts(layer); }
bool has_experts(const C& c, int64_t layer) { return c.has_experts(layer); }
bool has_shared(const C& c, int64_t layer) {
  return c.has_experts(layer) && c.experts.shared_width > 0;
}
bool has_shared_gate(const C& c, int64_t layer) {
  return has_shared(c, layer) && c.experts.shared_gate;
}

bool has_qkv_bias(const C& c) { return c.qkv_bias; }
bool has_output_bias(const C& c) { return c.output_bias; }
bool has_mlp_bias(const C& c) { return c.mlp_bias; }
bool has_router_bias(const C& c) { return c.experts.choice_bias || c.experts.router_bias; }
bool has_expert_biases(const C& c) { return c.experts.biases; }
bool has_query_bias(const C& c) { return c.qkv_bias && !c.has_latents(); }

// A part of the model with a ".weight", and a ".bias" (of the weight's first dimension) where the
// config says so. A part of each expert has a * in its Hugging Face name; in GGUF those of all
// experts are one tensor. Parts without a GGUF name are of models that no GGUF file has.
struct Part {
  std::string_view gguf, hugging_face;
  Shape (*shape)(const Config& config);  // of the weight
  Exists exists = always;
  bool (*bias)(const Config& config) = nullptr;                  // null: never
  std::vector<Shape> (*placed)(const Config& config) = nullptr;  // see ExpectedTensor
  bool of_layer = true;                                          // see HostWeight
};

Shape vocabulary_by_width(const C& c) { return {c.vocabulary, c.width}; }
Shape width(const C& c) { return {c.width}; }
Shape head_width(const C& c) { return {c.head_width}; }
Shape heads(const C& c) { return {c.heads}; }
Shape kv_by_width(const C& c) { return {c.kv_heads * c.head_width, c.width}; }
Shape q_width(const C& c) { return {c.heads * c.head_width}; }
Shape inner_by_width(const C& c) { return {c.inner_width, c.width}; }
Shape q_by_width(const C& c) { return {c.heads * c.head_width, c.width}; }
Shape width_by_values(const C& c) {
  return {c.width, c.heads * (c.has_latents() ? c.latent.value_width : c.head_width)};
}
Shape width_by_inner(const C& c) { return {c.width, c.inner_width}; }
Shape experts_by_width(const C& c) { return {c.experts.count, c.width}; }
Shape expert_by_width(const C& c) { return {c.experts.inner_width, c.width}; }
Shape width_by_expert(const C& c) { return {c.width, c.experts.inner_width}; }
Shape shared_by_width(const C& c) { return {c.experts.shared_width, c.width}; }
Shape width_by_shared(const C& c) { return {c.width, c.experts.shared_width}; }
Shape one_by_width(const C& c) { return {1, c.width}; }

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
Shape into_latents(const C& c) { return {c.heads * c.latent.rank, c.latent.plain_width}; }
Shape out_of_latents(const C& c) { return {c.heads * c.latent.value_width, c.latent.rank}; }
std::vector<Shape> into_as_floats(const C& c) { return {into_latents(c)}; }
std::vector<Shape> out_as_floats(const C& c) { return {out_of_latents(c)}; }
std::vector<Shape> both_as_floats(const C& c) { return {into_latents(c), out_of_latents(c)}; }

constexpr std::string_view kGgufLayer = "blk.";
constexpr std::string_view kLayer = "model.layers.";

constexpr Part kLayerParts[] = {
    {"attn_norm", "input_layernorm", width},
    {"attn_q", "self_attn.q_proj", q_by_width, has_plain_queries, has_query_bias},
    {"attn_k", "self_attn.k_proj", kv_by_width, has_heads, has_qkv_bias},
    {"attn_v", "self_attn.v_proj", kv_by_width, has_heads, has_qkv_bias},
    {"", "self_attn.k_proj", q_by_width, is_linear, has_qkv_bias},
    {"", "self_attn.v_proj", q_by_width, is_linear, has_qkv_bias},
    {"", "self_attn.g_proj", q_by_width, is_linear},
    {"", "self_attn.g_norm", q_width, is_linear},
    {"attn_q_a", "self_attn.q_a_proj", query_rank_by_width, has_query_latents, has_qkv_bias},
    {"attn_q_a_norm", "self_attn.q_a_layernorm", query_rank, has_query_latents},
    {"attn_q_b", "self_attn.q_b_proj", q_by_query_rank, has_query_latents},
    {"attn_kv_a_mqa", "self_attn.kv_a_proj_with_mqa", key_by_width, has_latents, has_qkv_bias},
    {"attn_kv_a_norm", "self_attn.kv_a_layernorm", rank, has_latents},
    {"attn_kv_b", "self_attn.kv_b_proj", heads_by_rank, has_latents_together, nullptr,
     both_as_floats},
    {"attn_k_b", "self_attn.k_b_proj", into_latents, has_latents_apart, nullptr, into_as_floats},
    {"attn_v_b", "self_attn.v_b_proj", out_of_latents, has_latents_apart, nullptr, out_as_floats},
    {"attn_output", "self_attn.o_proj", width_by_values, always, has_output_bias},
    {"attn_q_norm", "self_attn.q_norm", head_width, has_qk_norm},
    {"attn_k_norm", "self_attn.k_norm", head_width, has_qk_norm},
    {"attn_sinks", "self_attn.sinks", heads, has_sinks},
    {"ffn_norm", "post_attention_layernorm", width},
    {"ffn_gate", "mlp.gate_proj", inner_by_width, has_dense, has_mlp_bias},
    {"ffn_up", "mlp.up_proj", inner_by_width, has_dense, has_mlp_bias},
    {"ffn_down", "mlp.down_proj", width_by_inner, has_dense, has_mlp_bias},
    {"ffn_gate_inp", "mlp.gate", experts_by_width, has_experts, has_router_bias, nullptr, false},
    {"ffn_gate_exps", "mlp.experts.*.gate_proj", expert_by_width, has_experts, has_expert_biases},
    {"ffn_up_exps", "mlp.experts.*.up_proj", expert_by_width, has_experts, has_expert_biases},
    {"ffn_down_exps", "mlp.experts.*.down_proj", width_by_expert, has_experts, has_expert_biases},
    {"ffn_gate_shexp", "mlp.shared_expert.gate_proj", shared_by_width, has_shared},
    {"ffn_up_shexp", "mlp.shared_expert.up_proj", shared_by_width, has_shared},
    {"ffn_down_shexp", "mlp.shared_expert.down_proj", width_by_shared, has_shared},
    {"ffn_gate_inp_shexp", "mlp.shared_expert_gate", one_by_width, has_shared_gate, nullptr,
     nullptr, false},
};

// What some families call these parts; # is the number of an expert.
struct OtherName {
  std::string_view theirs, ours;
};
constexpr OtherName kOtherNames[] = {
    {"block_sparse_moe.gate", "mlp.gate"},
    {"block_sparse_moe.experts.#.w1", "mlp.experts.#.gate_proj"},
    {"block_sparse_moe.experts.#.w3", "mlp.experts.#.up_proj"},
    {"block_sparse_moe.experts.#.w2", "mlp.experts.#.down_proj"},
    {"mlp.router", "mlp.gate"},
    {"mlp.shared_experts.gate_proj", "mlp.shared_expert.gate_proj"},
    {"mlp.shared_experts.up_proj", "mlp.shared_expert.up_proj"},
    {"mlp.shared_experts.down_proj", "mlp.shared_expert.down_proj"},
    {"attention.query_key_value", "self_attn.query_key_value"},
    {"attention.dense", "self_attn.o_proj"},
    {"attention.g_proj", "self_attn.g_proj"},
    {"attention.g_norm", "self_attn.g_norm"},
    {"attention.query_layernorm", "self_attn.q_norm"},
    {"attention.key_layernorm", "self_attn.k_norm"},
};
constexpr OtherName kOtherModelNames[] = {{"model.word_embeddings", "model.embed_tokens"}};

constexpr OtherName kOtherGgufNames[] = {{"post_attention_norm", "post_attention_layernorm"},
                                         {"attn_qkv", "self_attn.query_key_value"}};

// What is not named as a weight or a bias: sinks, and biases of a router that are for choices
// alone.
constexpr std::string_view kSinks = "self_attn.sinks";
constexpr std::string_view kRouter = "mlp.gate", kGgufChoiceBias = "exp_probs_b.bias";
constexpr std::string_view kChoiceBiases[] = {".e_score_correction_bias", ".expert_bias"};

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

bool expects(const Config& config, const Part& part, int64_t layer, std::string_view ending) {
  if (!part.exists(config, layer)) return false;
  return ending == ".weight" || (ending == ".bias" && part.bias != nullptr && part.bias(config));
}

// "mlp.experts.12.up_proj" -> 12, and `part` becomes "mlp.experts.*.up_proj", with `sign` in the
// place of the number. Other names stay as they are.
std::optional<int64_t> take_expert(std::string& part, char sign) {
  constexpr std::string_view kExperts = ".experts.";
  const size_t place = part.find(kExperts);
  if (place == std::string::npos) return {};
  std::string_view rest = std::string_view(part).substr(place + kExperts.size());
  const std::optional<int64_t> expert = take_index(rest);
  if (expert) part = cat(part.substr(0, place + kExperts.size()), sign, ".", std::string(rest));
  return expert;
}

std::string with_expert(std::string_view part, char sign, int64_t expert) {
  const size_t place = part.find(sign);
  if (place == std::string_view::npos) return std::string(part);
  return cat(part.substr(0, place), expert, part.substr(place + 1));
}

// Appends the tensors of `part`, if the config has it.
void append(const Config& config, const Part& part, std::string_view prefix, int64_t layer,
            std::vector<ExpectedTensor>& out) {
  const Shape shape = part.shape(config);
  const bool of_layer = !prefix.empty() && part.of_layer;
  const bool of_expert = part.hugging_face.find('*') != std::string_view::npos;
  for (const std::string_view ending : {".weight", ".bias"}) {
    if (!expects(config, part, layer, ending)) continue;
    for (int64_t expert = 0; expert < (of_expert ? config.experts.count : 1); ++expert) {
      out.push_back({cat(prefix, with_expert(part.hugging_face, '*', expert), ending),
                     ending == ".bias" ? Shape{shape[0]} : shape, of_layer});
      if (ending == ".weight" && part.placed != nullptr) out.back().placed = part.placed(config);
    }
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
    if (rest == kGgufChoiceBias) return cat(kLayer, *layer, ".", kRouter, ".bias");
    for (const Part& part : kLayerParts) {
      if (!part.gguf.empty() && part.gguf == stem.part) {
        return cat(kLayer, *layer, ".", part.hugging_face, stem.ending);
      }
    }
    for (const OtherName& other : kOtherGgufNames) {
      if (other.theirs == stem.part) return cat(kLayer, *layer, ".", other.ours, stem.ending);
    }
    return std::string(name);
  }
  for (const Part& part : kModelParts) {
    if (part.gguf == stem.part) return cat(part.hugging_face, stem.ending);
  }
  if (stem.part == kHead.gguf) return cat(kHead.hugging_face, stem.ending);
  return std::string(name);
}

std::string translate_hugging_face_name(std::string_view name) {
  std::string_view rest = name;
  if (!take_prefix(rest, kLayer)) {
    const Stem stem = stem_of(name);
    for (const OtherName& other : kOtherModelNames) {
      if (other.theirs == stem.part) return cat(other.ours, stem.ending);
    }
    return std::string(name);
  }
  const std::optional<int64_t> layer = take_index(rest);
  const Stem stem = stem_of(rest);
  std::string part(stem.part);
  if (layer && rest == kSinks) return cat(name, ".weight");
  if (layer && stem.part == kRouter &&
      std::ranges::find(kChoiceBiases, stem.ending) != std::end(kChoiceBiases)) {
    return cat(kLayer, *layer, ".", kRouter, ".bias");
  }
  const std::optional<int64_t> expert = take_expert(part, '#');
  for (const OtherName& other : kOtherNames) {
    if (!layer || other.theirs != part) continue;
    return cat(kLayer, *layer, ".", with_expert(other.ours, '#', expert.value_or(0)), stem.ending);
  }
  return std::string(name);
}

std::vector<NamedRows> parts_of_tensor(const Config& config, std::string_view name) {
  constexpr std::string_view kWhole = "query_key_value";
  const Stem stem = stem_of(name);
  if (!stem.part.ends_with(kWhole)) return {};
  const std::string_view place = stem.part.substr(0, stem.part.size() - kWhole.size());
  std::string_view rest = name;
  const std::optional<int64_t> layer = take_prefix(rest, kLayer) ? take_index(rest) : std::nullopt;
  const bool linear = layer && config.is_linear(*layer);
  const int64_t of_q = config.heads * config.head_width;
  const int64_t of_k = linear ? of_q : config.kv_heads * config.head_width;
  return {{cat(place, "q_proj", stem.ending), of_q},
          {cat(place, "k_proj", stem.ending), of_k},
          {cat(place, "v_proj", stem.ending), of_k}};
}

std::string expert_name(std::string_view name, int64_t expert) {
  return with_expert(name, '*', expert);
}

bool config_expects_tensor(const Config& config, std::string_view name) {
  if (take_prefix(name, kLayer)) {
    const std::optional<int64_t> layer = take_index(name);
    if (!layer || *layer >= config.layers) return false;
    const Stem stem = stem_of(name);
    std::string found(stem.part);
    const std::optional<int64_t> expert = take_expert(found, '*');
    if (expert ? *expert >= config.experts.count : found.find('*') != std::string::npos) {
      return false;
    }
    return std::ranges::any_of(kLayerParts, [&](const Part& part) {
      return part.hugging_face == found && expects(config, part, *layer, stem.ending);
    });
  }
  const Stem stem = stem_of(name);
  for (const Part& part : kModelParts) {
    if (part.hugging_face == stem.part) return expects(config, part, 0, stem.ending);
  }
  return stem.part == kHead.hugging_face && !config.tied_embeddings &&
         expects(config, kHead, 0, stem.ending);
}

std::vector<ExpectedTensor> expected_tensors(const Config& config) {
  std::vector<ExpectedTensor> tensors;
  for (const Part& part : kModelParts) append(config, part, "", 0, tensors);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const Part& part : kLayerParts)
      append(config, part, cat(kLayer, layer, "."), layer, tensors);
  }
  if (!config.tied_embeddings) append(config, kHead, "", 0, tensors);
  return tensors;
}

}  // namespace spate
