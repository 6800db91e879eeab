#include "load/gguf_config.h"

#include <algorithm>

#include "base/check.h"
#include "load/not_run.h"

namespace spate {
namespace {

// Values of general.architecture that can be run. To add one: a line here, when its layers are made
// of tensors that load/tensor_names.cc knows, and a model in models/list.cc.
struct GgufArchitecture {
  std::string_view name;   // in the file; also the prefix of its keys
  std::string_view model;  // Config::architecture
  bool rope_neighbours;    // the converter permuted the rows of q and k to suit pairs (2i, 2i + 1)
  bool qkv_bias, qk_norm;
  bool normalizes_experts = true;              // where the file does not say
  void (*complete)(Config& config) = nullptr;  // what files of the family take for granted
};

// gpt-oss: every second layer has the window, the first among them.
void complete_gpt_oss(Config& config) {
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    config.windowed.push_back(layer % 2 == 0);
  }
  config.sinks = config.experts.router_bias = true;
  config.activation = "clipped_silu";
  config.rope_scaling.whole_pairs = false;
}

constexpr GgufArchitecture kArchitectures[] = {
    {"llama", "llama", true, false, false},  // Llama 1 to 3, Mistral, SmolLM and their like
    {"qwen2", "qwen2", false, true, false},
    {"qwen3", "qwen3", false, false, true},
    {"qwen2moe", "qwen2moe", false, true, false, false},
    {"qwen3moe", "qwen3moe", false, false, true},
    {"deepseek", "deepseek", true, false, false, false},
    {"deepseek2", "deepseek2", true, false, false, false},  // V2 and V3
    {"bailingmoe", "bailing", true, false,
     false},  // Ling; the converter brings heads to length one
    {"bailingmoe2", "bailing", false, false, true},
    {"gpt-oss", "gpt-oss", false, true, false, true, complete_gpt_oss},
};

const GgufArchitecture& architecture_of(const GgufFile& file) {
  std::string known;
  for (const auto& architecture : kArchitectures) {
    known += cat(known.empty() ? "" : ", ", architecture.name);
  }
  const auto name = file.text("general.architecture");
  if (!name) fail(file.name(), ": has no general.architecture; is it a model? known are ", known);
  for (const auto& architecture : kArchitectures) {
    if (architecture.name == *name) return architecture;
  }
  fail(file.name(), ": general.architecture is \"", *name, "\"", what_is_lacking(*name),
       "; those that can be run are ", known);
}

// Reads "<architecture>.<key>".
class Keys {
 public:
  Keys(const GgufFile& file, std::string_view prefix) : file_(file), prefix_(prefix) {}

  std::string name(std::string_view key) const { return cat(prefix_, ".", key); }

  // A value that some files give per layer; the layers must then agree.
  std::optional<int64_t> find(std::string_view key) const {
    if (!file_.is_array(name(key))) return file_.integer(name(key));
    const auto values = *file_.integers(name(key));
    if (values.empty() ||
        std::adjacent_find(values.begin(), values.end(), std::not_equal_to<>()) != values.end()) {
      fail(file_.name(), ": \"", name(key),
           "\" differs from layer to layer; only models with equal layers can be run");
    }
    return values.front();
  }

  int64_t integer(std::string_view key) const { return need(find(key), key); }
  double number(std::string_view key) const { return need(file_.number(name(key)), key); }
  std::optional<double> find_number(std::string_view key) const { return file_.number(name(key)); }
  std::optional<std::string_view> text(std::string_view key) const { return file_.text(name(key)); }

 private:
  template <class T>
  T need(std::optional<T> value, std::string_view key) const {
    if (!value) fail(file_.name(), ": the metadata key \"", name(key), "\" is missing");
    return *value;
  }

  const GgufFile& file_;
  std::string_view prefix_;
};

// Llama 3.1's scaling is no key in GGUF: its factors come as the tensor rope_freqs.
RopeScaling read_rope_scaling(const GgufFile& file, const Keys& keys) {
  const auto type = keys.text("rope.scaling.type");
  const auto factor = keys.find_number("rope.scaling.factor");
  const auto old_factor = keys.find_number("rope.scale_linear");  // files before August 2023
  if (type && *type != "none" && *type != "linear" && *type != "yarn") {
    fail(file.name(), ": \"", keys.name("rope.scaling.type"), "\" is \"", *type,
         "\"; supported are none, linear, yarn, and Llama 3's factors in rope_freqs.weight");
  }
  RopeScaling scaling;
  if (type && *type == "yarn") {
    scaling.kind = RopeScaling::Kind::yarn;
    scaling.factor = keys.number("rope.scaling.factor");
    scaling.original_max_positions = keys.integer("rope.scaling.original_context_length");
    const auto other_than_0 = [&](std::string_view key, double& value) {
      if (const double found = keys.find_number(key).value_or(0); found != 0) value = found;
    };
    for (const char* key : {"rope.scaling.attn_factor", "rope.scaling.yarn_attn_factor"}) {
      if (const double found = keys.find_number(key).value_or(1); found != 1) {
        fail(file.name(), ": \"", keys.name(key), "\" is ", found, "; expected 1");
      }
    }
    other_than_0("rope.scaling.yarn_beta_fast", scaling.beta_fast);
    other_than_0("rope.scaling.yarn_beta_slow", scaling.beta_slow);
    // A tenth of mscale_all_dim; the models that have one have an equal mscale.
    scaling.mscale = scaling.mscale_all =
        10 * keys.find_number("rope.scaling.yarn_log_multiplier").value_or(0);
    return scaling;
  }
  if (type ? *type == "linear" : old_factor.has_value()) {
    scaling.kind = RopeScaling::Kind::linear;
    scaling.factor = factor.value_or(old_factor.value_or(1));
  }
  return scaling;
}

// Experts come from the best groups of them.
void read_groups(const GgufFile& file, const Keys& keys, Experts& experts) {
  op::Routing& routing = experts.routing;
  routing.groups = keys.find("expert_group_count").value_or(1);
  routing.top_groups = keys.find("expert_group_used_count").value_or(1);
  const bool two = routing.group_score == op::Routing::GroupScore::two_best && routing.groups > 1;
  const bool whole = routing.groups >= 1 && experts.count % routing.groups == 0;
  const int64_t in_group = whole ? experts.count / routing.groups : 0;
  if (!whole || (two && in_group < 2) || routing.top_groups < 1 ||
      routing.top_groups > routing.groups || experts.chosen > routing.top_groups * in_group) {
    fail(file.name(), ": \"", keys.name("expert_group_used_count"), "\" of \"",
         keys.name("expert_group_count"), "\" are ", routing.top_groups, " of ", routing.groups,
         "; expected whole groups of the ", experts.count, " experts, enough to choose ",
         experts.chosen, " from");
  }
}

// Files say how wide heads are as the layer sees them, or (with "_mla") as the model was trained.
void read_latent(const GgufFile& file, const Keys& keys, Config& config) {
  constexpr int64_t kMost = 1 << 16;
  const auto in_bounds = [&](std::string_view key, int64_t value, int64_t least, int64_t multiple) {
    if (value < least || value > kMost || value % multiple != 0) {
      fail(file.name(), ": \"", keys.name(key), "\" is ", value, "; expected ", least, " to ",
           kMost, multiple > 1 ? cat(", a multiple of ", multiple) : "");
    }
    return value;
  };
  const auto width = [&](std::string_view key, std::string_view older) {
    return keys.find(key) ? key : older;
  };
  const auto key_width = width("attention.key_length_mla", "attention.key_length");
  const auto value_width = width("attention.value_length_mla", "attention.value_length");
  Latent& latent = config.latent;
  latent.rank = in_bounds("attention.kv_lora_rank", keys.integer("attention.kv_lora_rank"), 1, 16);
  if (const auto rank = keys.find("attention.q_lora_rank")) {
    latent.query_rank = in_bounds("attention.q_lora_rank", *rank, 0, 1);
  }
  config.rope_width = in_bounds("rope.dimension_count", keys.integer("rope.dimension_count"), 2, 2);
  config.head_width = in_bounds(key_width, keys.integer(key_width), config.rope_width + 1, 1);
  latent.plain_width = config.head_width - config.rope_width;
  latent.value_width = in_bounds(value_width, keys.integer(value_width), 1, 16);
  config.kv_heads = config.heads;  // 1 in newer files: the one key of all heads
}

// Shared experts are found by their tensors.
void read_experts(const GgufFile& file, const Keys& keys, bool normalizes, Config& config) {
  const ExpertKeys names{keys.name("expert_count"), keys.name("expert_used_count"),
                         keys.name("expert_feed_forward_length"),
                         keys.name("expert_shared_feed_forward_length")};
  Experts& experts = config.experts;
  experts.count = keys.integer("expert_count");
  experts.chosen = keys.integer("expert_used_count");
  experts.inner_width = keys.find("expert_feed_forward_length").value_or(config.inner_width);
  experts.routing.normalize = file.boolean(keys.name("expert_weights_norm")).value_or(normalizes);
  const double scale = keys.find_number("expert_weights_scale").value_or(0);
  if (scale != 0) experts.routing.scale = static_cast<float>(scale);
  constexpr int64_t kSoftmax = 1, kSigmoid = 2, kSoftmaxOfChosen = 3;
  const int64_t gating = keys.find("expert_gating_func").value_or(kSoftmax);
  if (gating < kSoftmax || gating > kSoftmaxOfChosen) {
    fail(file.name(), ": \"", keys.name("expert_gating_func"), "\" is ", gating,
         "; expected 1, a softmax, 2, a sigmoid, or 3, a softmax of the chosen");
  }
  if (gating == kSoftmaxOfChosen) experts.routing.normalize = true;  // which is the same
  if (gating == kSigmoid) {
    experts.routing.score = op::Routing::Score::sigmoid;
    experts.routing.group_score = op::Routing::GroupScore::two_best;
  }
  const int64_t first = keys.find("leading_dense_block_count").value_or(0);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    experts.in_layer.push_back(layer >= first);
  }
  check_experts(config, file.name(), names);
  read_groups(file, keys, experts);
}

int64_t read_vocabulary(const GgufFile& file, const Keys& keys) {
  for (const GgufTensor& tensor : file.tensors()) {
    if (tensor.name == "token_embd.weight") return tensor.shape[0];
  }
  if (const auto size = keys.find("vocab_size")) return *size;
  const auto tokens = file.texts("tokenizer.ggml.tokens");
  return tokens ? static_cast<int64_t>(tokens->size()) : 0;
}

}  // namespace

Config read_gguf_config(const GgufFile& file) {
  const GgufArchitecture& architecture = architecture_of(file);
  const Keys keys(file, architecture.name);

  Config config;
  config.architecture = architecture.model;
  // Layers that predict further tokens come last; they are not run.
  config.layers = keys.integer("block_count") - keys.find("nextn_predict_layers").value_or(0);
  config.width = keys.integer("embedding_length");
  config.heads = keys.integer("attention.head_count");
  config.kv_heads = keys.find("attention.head_count_kv").value_or(config.heads);
  config.inner_width = keys.integer("feed_forward_length");
  config.vocabulary = read_vocabulary(file, keys);
  config.max_positions = keys.integer("context_length");
  config.norm_eps = static_cast<float>(keys.number("attention.layer_norm_rms_epsilon"));

  const auto key_width = keys.find("attention.key_length");
  const auto value_width = keys.find("attention.value_length");
  const bool latent = config.architecture == "deepseek2";
  config.head_width = key_width.value_or(config.heads > 0 ? config.width / config.heads : 0);
  if (!latent && value_width.value_or(config.head_width) != config.head_width) {
    fail(file.name(), ": \"", keys.name("attention.value_length"), "\" is ", *value_width,
         ", but keys are ", config.head_width, " wide; only equal widths can be run");
  }

  config.rope_theta = keys.find_number("rope.freq_base").value_or(10000);
  config.rope_width = keys.find("rope.dimension_count").value_or(config.head_width);
  if (latent) read_latent(file, keys, config);
  config.rope_scaling = read_rope_scaling(file, keys);
  config.rope_neighbours = architecture.rope_neighbours;
  config.qkv_bias = architecture.qkv_bias;
  config.qk_norm = architecture.qk_norm;
  config.window = keys.find("attention.sliding_window").value_or(0);
  if (architecture.complete != nullptr) architecture.complete(config);
  check_config(config, file.name());
  if (keys.find("expert_count").value_or(0) != 0) {
    read_experts(file, keys, architecture.normalizes_experts, config);
  }
  return config;
}

GenerationDefaults read_gguf_generation(const GgufFile& file) {
  GenerationDefaults defaults;
  defaults.temperature = file.number("general.sampling.temp");
  defaults.top_p = file.number("general.sampling.top_p");
  defaults.min_p = file.number("general.sampling.min_p");
  defaults.top_k = file.integer("general.sampling.top_k");
  defaults.repetition_penalty = file.number("general.sampling.penalty_repeat");
  // End of the text, of a turn, of a message that waits for a tool.
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                          "tokenizer.ggml.eom_token_id"}) {
    const auto token = file.integer(key);
    if (!token || *token < 0 || *token > INT32_MAX) continue;
    const auto end = static_cast<Token>(*token);
    auto& tokens = defaults.end_tokens;
    if (std::find(tokens.begin(), tokens.end(), end) == tokens.end()) tokens.push_back(end);
  }
  return defaults;
}

}  // namespace spate
