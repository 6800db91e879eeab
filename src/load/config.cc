#include "load/config.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "load/config_experts.h"
#include "load/config_members.h"
#include "load/not_run.h"

namespace spate {
namespace {

// The Ling family names what Llama names otherwise.
void read_bailing(const Members& members, Config& config) {
  const bool bias = members.boolean("use_bias").value_or(false);
  config.qkv_bias = bias || members.boolean("use_qkv_bias").value_or(false);
  config.output_bias = config.mlp_bias = bias;
  config.qk_norm = members.boolean("use_qk_norm").value_or(false);
  config.normalized_head = members.boolean("norm_head").value_or(false);
  if (config.normalized_head && config.tied_embeddings) {
    members.fail_key("norm_head",
                     "is true; a head that is the embedding table cannot be brought "
                     "to length one");
  }
  if (members.find("partial_rotary_factor") == nullptr) {
    config.rope_width = members.integer("rotary_dim").value_or(config.rope_width);
  }
}

// gpt-oss: transformers assumes much where a key is absent; files have all of them.
void read_gpt_oss(const Members& members, Config& config) {
  config.norm_eps = static_cast<float>(members.need_number("rms_norm_eps"));
  config.qkv_bias = config.output_bias = members.boolean("attention_bias").value_or(true);
  config.activation = "clipped_silu";
  config.sinks = true;
  if (members.find("rope_scaling") == nullptr && members.find("rope_parameters") == nullptr) {
    members.fail_key("rope_scaling", "is missing");
  }
  const auto expect_number = [&](std::string_view key, double expected) {
    const double found = members.number(key).value_or(expected);
    if (std::abs(found - expected) > 1e-6) {
      members.fail_key(key, "is ", found, "; expected ", expected);
    }
  };
  expect_number("swiglu_limit", op::kClippedLimit);
  expect_number("swiglu_alpha", op::kClippedSlope);
}

// Hybrids of the family: linear attention in most layers.
void read_bailing_linear(const Members& members, Config& config) {
  read_bailing(members, config);
  for (const std::string_view key :
       {"use_linear_silu", "linear_silu", "use_linear_gqa", "use_low_rank"}) {
    if (members.boolean(key).value_or(false)) members.fail_key(key, "is true; expected false");
  }
  config.linear.group =
      members.at_least_1("layer_group_size", members.need_integer("layer_group_size"));
  config.linear.norm_groups =
      members.at_least_1("group_norm_size", members.integer("group_norm_size").value_or(1));
  config.linear.rope = members.boolean("linear_rope").value_or(true);
}

// Values of "architectures" in config.json that can be run. What differs between them and what
// transformers assumes where a key is absent stands in this table.
struct HuggingFaceArchitecture {
  std::string_view name;
  std::string_view model_type;  // used when "architectures" is absent
  std::string_view model;       // Config::architecture
  enum class QkvBias { by_key, always, unless_said } qkv_bias;  // Qwen2 has no key for it
  bool qk_norm;
  // Mistral has a window where the key is absent; Qwen3's mixture has one in all layers or none;
  // that of Qwen2's mixture must be listed layer by layer; gpt-oss has one in every second layer.
  enum class Window {
    none,
    all_layers,
    all_if_said,
    all_if_used,
    upper_layers,
    listed,
    every_second
  } window;
  int64_t head_width;  // 0: width / heads
  ReadExperts read_experts = nullptr;
  bool latent = false;
  void (*read_more)(const Members& members, Config& config) = nullptr;  // keys of the family's own
};

using Window = HuggingFaceArchitecture::Window;
using QkvBias = HuggingFaceArchitecture::QkvBias;

constexpr HuggingFaceArchitecture kArchitectures[] = {
    {"LlamaForCausalLM", "llama", "llama", QkvBias::by_key, false, Window::none, 0},
    {"MistralForCausalLM", "mistral", "llama", QkvBias::by_key, false, Window::all_layers, 0},
    {"Qwen2ForCausalLM", "qwen2", "qwen2", QkvBias::always, false, Window::upper_layers, 0},
    {"Qwen3ForCausalLM", "qwen3", "qwen3", QkvBias::by_key, true, Window::upper_layers, 128},
    {"MixtralForCausalLM", "mixtral", "mixtral", QkvBias::by_key, false, Window::all_if_said, 0,
     read_mixtral_experts},
    {"Qwen2MoeForCausalLM", "qwen2_moe", "qwen2moe", QkvBias::unless_said, false, Window::listed, 0,
     read_qwen2_experts},
    {"Qwen3MoeForCausalLM", "qwen3_moe", "qwen3moe", QkvBias::by_key, true, Window::all_if_used, 0,
     read_qwen3_experts},
    {"DeepseekForCausalLM", "deepseek", "deepseek", QkvBias::by_key, false, Window::none, 0,
     read_deepseek_experts},
    {"DeepseekV2ForCausalLM", "deepseek_v2", "deepseek2", QkvBias::by_key, false, Window::none, 0,
     read_deepseek2_experts, true},
    {"DeepseekV3ForCausalLM", "deepseek_v3", "deepseek2", QkvBias::by_key, false, Window::none, 0,
     read_deepseek3_experts, true},
    {"BailingForCausalLM", "bailing", "bailing", QkvBias::by_key, false, Window::none, 0, nullptr,
     false, read_bailing},
    {"BailingMoeForCausalLM", "bailing_moe", "bailing", QkvBias::by_key, false, Window::none, 0,
     read_bailing_experts, false, read_bailing},
    {"BailingMoeV2ForCausalLM", "bailing_moe_v2", "bailing", QkvBias::by_key, false, Window::none,
     0, read_bailing_experts, false, read_bailing},
    {"BailingMoeLinearForCausalLM", "bailing_moe_linear", "bailing-linear", QkvBias::by_key, false,
     Window::none, 0, read_bailing_experts, false, read_bailing_linear},
    {"BailingMoeLinearV2ForCausalLM", "bailing_moe_linear_v2", "bailing-linear", QkvBias::by_key,
     false, Window::none, 0, read_bailing_experts, false, read_bailing_linear},
    {"GptOssForCausalLM", "gpt_oss", "gpt-oss", QkvBias::by_key, false, Window::every_second, 64,
     read_gpt_oss_experts, false, read_gpt_oss},
};

constexpr std::string_view kActivations[] = {"silu", "gelu_pytorch_tanh"};

template <class List>
std::string names_in(const List& list) {
  std::string names;
  for (const auto& item : list) names += cat(names.empty() ? "" : ", ", item.name);
  return names;
}

const HuggingFaceArchitecture& architecture_of(const Members& members, const std::string& name) {
  std::string found;
  if (const Json* list = members.find("architectures")) {
    if (!list->is_array() || list->as_array().empty() || !list->as_array()[0].is_string()) {
      members.fail_key("architectures", "expected an array with the name of a model class");
    }
    found = list->as_array()[0].as_string();
    for (const auto& architecture : kArchitectures) {
      if (architecture.name == found) return architecture;
    }
  } else {
    found = members.need(members.text("model_type"), "architectures");
    for (const auto& architecture : kArchitectures) {
      if (architecture.model_type == found) return architecture;
    }
  }
  fail(name, ": the model is a \"", found, "\"", what_is_lacking(found),
       "; models that can be run are ", names_in(kArchitectures));
}

// `max_positions`: the model's own.
RopeScaling read_rope_scaling(const Members& rope, int64_t max_positions) {
  RopeScaling scaling;
  const std::string type = rope.text("rope_type").value_or(rope.text("type").value_or("default"));
  if (type == "default") return scaling;
  if (type == "linear") {
    scaling.kind = RopeScaling::Kind::linear;
    scaling.factor = rope.need_number("factor");
    return scaling;
  }
  if (type == "llama3") {
    scaling.kind = RopeScaling::Kind::llama3;
    scaling.factor = rope.need_number("factor");
    scaling.low_frequency_factor = rope.need_number("low_freq_factor");
    scaling.high_frequency_factor = rope.need_number("high_freq_factor");
    scaling.original_max_positions = rope.need_integer("original_max_position_embeddings");
    return scaling;
  }
  if (type == "yarn") {
    scaling.kind = RopeScaling::Kind::yarn;
    scaling.original_max_positions =
        rope.integer("original_max_position_embeddings").value_or(max_positions);
    // A null factor is how much longer the context is now.
    scaling.factor = rope.has("factor") && rope.find("factor") == nullptr
                         ? static_cast<double>(max_positions) /
                               static_cast<double>(scaling.original_max_positions)
                         : rope.need_number("factor");
    const auto other_than_0 = [&](std::string_view key, double& value) {
      if (const double found = rope.number(key).value_or(0); found != 0) value = found;
    };
    other_than_0("beta_fast", scaling.beta_fast);
    other_than_0("beta_slow", scaling.beta_slow);
    other_than_0("mscale", scaling.mscale);
    other_than_0("mscale_all_dim", scaling.mscale_all);
    other_than_0("attention_factor", scaling.magnitude);
    scaling.whole_pairs = rope.boolean("truncate").value_or(true);
    return scaling;
  }
  rope.fail_key("rope_type", "\"", type,
                "\" is not supported; supported are default, linear, llama3, yarn");
}

// Rope stands at the top and in "rope_scaling", or since transformers 5 all in "rope_parameters".
void read_rope(const Members& members, Config& config) {
  const auto parameters = members.object("rope_parameters");
  const auto old_scaling = members.object("rope_scaling");
  const Members& rope = parameters ? *parameters : members;
  if (parameters) {
    if (rope.find("rope_type") == nullptr && rope.find("rope_theta") == nullptr) {
      members.fail_key("rope_parameters",
                       "has neither rope_type nor rope_theta; one set for all layers is supported");
    }
    config.rope_scaling = read_rope_scaling(rope, config.max_positions);
  } else if (old_scaling) {
    config.rope_scaling = read_rope_scaling(*old_scaling, config.max_positions);
  }
  config.rope_theta =
      rope.number("rope_theta").value_or(members.number("rope_theta").value_or(10000));
  const double part = rope.number("partial_rotary_factor")
                          .value_or(members.number("partial_rotary_factor").value_or(1));
  if (!(part > 0 && part <= 1)) {
    members.fail_key("partial_rotary_factor", "is ", part, "; expected a number in (0, 1]");
  }
  config.rope_width = static_cast<int64_t>(static_cast<double>(config.head_width) * part);
}

// Which layers have the window: as "layer_types" says (transformers since 4.53), else those for
// which `assumed` does.
template <class Assumed>
void set_windowed(const Members& members, const Assumed& assumed, Config& config) {
  config.windowed.clear();
  for (int64_t layer = 0; layer < config.layers; ++layer) config.windowed.push_back(assumed(layer));
  if (const Json* list = members.find("layer_types")) {
    if (!list->is_array()) members.fail_key("layer_types", "expected an array");
    const JsonArray& types = list->as_array();
    if (static_cast<int64_t>(types.size()) != config.layers) {
      members.fail_key("layer_types", "has ", types.size(), " entries for ", config.layers,
                       " layers");
    }
    for (size_t layer = 0; layer < types.size(); ++layer) {
      config.windowed[layer] = types[layer] == Json("sliding_attention");
      if (!config.windowed[layer] && !(types[layer] == Json("full_attention"))) {
        members.fail_key("layer_types", "layer ", layer, " is ", types[layer].dump(),
                         "; expected \"full_attention\" or \"sliding_attention\"");
      }
    }
  }
  if (std::ranges::find(config.windowed, true) == config.windowed.end()) config.window = 0;
}

void read_window(const Members& members, Window kind, Config& config) {
  if (kind == Window::none) return;
  if (kind == Window::all_layers || kind == Window::all_if_said) {
    // Absent and null differ here: transformers takes 4096 for an absent key of Mistral.
    const bool said = kind == Window::all_if_said || members.has("sliding_window");
    config.window = members.integer("sliding_window").value_or(said ? 0 : 4096);
    return;
  }
  if (kind == Window::every_second) {
    config.window =
        members.has("sliding_window") ? members.integer("sliding_window").value_or(0) : 128;
    set_windowed(
        members, [](int64_t layer) { return layer % 2 == 0; }, config);
    return;
  }
  if (!members.boolean("use_sliding_window").value_or(false)) return;
  config.window = members.integer("sliding_window").value_or(4096);
  if (kind == Window::all_if_used) return;
  if (kind == Window::listed && members.find("layer_types") == nullptr) {
    members.fail_key("layer_types", "is missing; use_sliding_window needs it");
  }
  const int64_t first = members.integer("max_window_layers").value_or(28);
  if (first < 0) members.fail_key("max_window_layers", "is ", first, "; expected 0 or more");
  set_windowed(
      members, [&](int64_t layer) { return layer >= first; }, config);
}

// Heads are `plain_width` elements, then those that turn.
void read_latent(const Members& members, Config& config) {
  const auto size = [&](std::string_view key, int64_t least) {
    const int64_t value = members.need_integer(key);
    constexpr int64_t kMost = 1 << 16;
    if (value < least || value > kMost) {
      members.fail_key(key, "is ", value, "; expected ", least, " to ", kMost);
    }
    return value;
  };
  const auto whole_tiles = [&](std::string_view key) {
    const int64_t value = size(key, 1);
    if (value % 16 != 0) members.fail_key(key, "is ", value, "; expected a multiple of 16");
    return value;
  };
  config.rope_width = size("qk_rope_head_dim", 2);
  config.latent = {
      .rank = whole_tiles("kv_lora_rank"),
      .query_rank = members.find("q_lora_rank") == nullptr ? 0 : size("q_lora_rank", 1),
      .plain_width = size("qk_nope_head_dim", 1),
      .value_width = whole_tiles("v_head_dim")};
  config.head_width = config.latent.plain_width + config.rope_width;
  config.rope_neighbours = members.boolean("rope_interleave").value_or(true);
}

std::string read_dtype(const Members& members) {
  const char* key = members.find("dtype") != nullptr ? "dtype" : "torch_dtype";
  const std::string type = members.text(key).value_or("bfloat16");
  if (type == "bfloat16") return "bf16";
  if (type == "float16") return "f16";
  if (type == "float32") return "f32";
  members.fail_key(key, "\"", type, "\"; supported are bfloat16, float16, float32");
}

std::string read_activation(const Members& members) {
  const std::string activation = members.text("hidden_act").value_or("silu");
  for (const std::string_view known : kActivations) {
    if (known == activation) return activation;
  }
  members.fail_key("hidden_act", "\"", activation, "\"; supported are silu, gelu_pytorch_tanh");
}

// Two ways of storing weights are read: e4m3 with scales of blocks, and mxfp4 experts of gpt-oss,
// which their tensors' names say.
void read_quantization(const Members& members, Config& config) {
  const auto quantization = members.object("quantization_config");
  if (!quantization) return;
  const std::string method = quantization->text("quant_method").value_or("an unnamed method");
  if (method == "mxfp4" && config.architecture == "gpt-oss") return;
  if (method != "fp8") {
    members.fail_key("quantization_config", "the weights are quantised with \"", method,
                     "\", which is not supported; supported are fp8 with weight_block_size, and "
                     "mxfp4 for gpt-oss; or give the unquantised model or a GGUF file");
  }
  const std::vector<int64_t> block = quantization->integers("weight_block_size");
  constexpr int64_t kMost = 1 << 16;
  if (block.size() != 2 ||
      std::ranges::any_of(block, [](int64_t size) { return size < 1 || size > kMost; })) {
    quantization->fail_key("weight_block_size", "expected the two sizes of a block, such as ",
                           "[128, 128]; other scales of fp8 are not supported");
  }
  const std::string scheme = quantization->text("activation_scheme").value_or("dynamic");
  if (scheme != "dynamic") {
    quantization->fail_key("activation_scheme", "is \"", scheme, "\"; expected \"dynamic\"");
  }
  config.fp8_blocks = {.rows = block[0], .columns = block[1]};
}

}  // namespace

Config read_config(const Json& json, const std::string& name) {
  const Members members(json, name);
  const HuggingFaceArchitecture& architecture = architecture_of(members, name);

  Config config;
  config.architecture = architecture.model;
  read_quantization(members, config);
  config.layers = members.need_integer("num_hidden_layers");
  config.width = members.need_integer("hidden_size");
  config.heads = members.need_integer("num_attention_heads");
  config.kv_heads = members.integer("num_key_value_heads").value_or(config.heads);
  config.inner_width = members.need_integer("intermediate_size");
  config.vocabulary = members.need_integer("vocab_size");
  config.max_positions = members.need_integer("max_position_embeddings");
  config.norm_eps = static_cast<float>(members.number("rms_norm_eps").value_or(1e-6));
  const int64_t shared_width = config.heads > 0 ? config.width / config.heads : 0;
  config.head_width =
      members.integer("head_dim")
          .value_or(architecture.head_width != 0 ? architecture.head_width : shared_width);
  read_rope(members, config);
  if (architecture.latent) read_latent(members, config);
  config.tied_embeddings = members.boolean("tie_word_embeddings").value_or(false);
  const bool by_key = architecture.qkv_bias == QkvBias::by_key;
  const bool attention_bias = by_key && members.boolean("attention_bias").value_or(false);
  config.qkv_bias = by_key ? attention_bias
                           : architecture.qkv_bias == QkvBias::always ||
                                 members.boolean("qkv_bias").value_or(true);
  config.output_bias = attention_bias;
  config.mlp_bias = members.boolean("mlp_bias").value_or(false);
  config.qk_norm = architecture.qk_norm;
  config.activation = read_activation(members);
  if (architecture.read_more != nullptr) architecture.read_more(members, config);
  read_window(members, architecture.window, config);
  config.dtype = read_dtype(members);
  check_config(config, name);
  if (architecture.read_experts != nullptr) architecture.read_experts(members, name, config);
  return config;
}

GenerationDefaults read_generation_config(const Json& json, const std::string& name) {
  const Members members(json, name);
  GenerationDefaults defaults;
  defaults.temperature = members.number("temperature");
  defaults.top_p = members.number("top_p");
  defaults.min_p = members.number("min_p");
  defaults.top_k = members.integer("top_k");
  defaults.repetition_penalty = members.number("repetition_penalty");
  defaults.sample = members.boolean("do_sample");

  const auto add_end = [&](const Json& token) {
    if (!token.is_integer() || token.as_integer() < 0 || token.as_integer() > INT32_MAX) {
      members.fail_key("eos_token_id", token.dump(), "; expected a token id or an array of them");
    }
    defaults.end_tokens.push_back(static_cast<Token>(token.as_integer()));
  };
  if (const Json* end = members.find("eos_token_id"); end != nullptr && end->is_array()) {
    for (const Json& token : end->as_array()) add_end(token);
  } else if (end != nullptr) {
    add_end(*end);
  }
  return defaults;
}

void check_config(const Config& config, const std::string& name) {
  struct Size {
    std::string_view what;
    int64_t value, most;
  };
  const Size sizes[] = {
      {"number of layers", config.layers, 10'000},
      {"model width", config.width, 1 << 20},
      {"number of heads", config.heads, 1 << 16},
      {"number of key/value heads", config.kv_heads, 1 << 16},
      {"head width", config.head_width, 1 << 16},
      {"inner width", config.inner_width, 1 << 24},
      {"vocabulary", config.vocabulary, 1 << 28},
      {"longest sequence", config.max_positions, int64_t{1} << 31},
      {"rope width", config.rope_width, config.head_width},
  };
  for (const Size& size : sizes) {
    if (size.value < 1 || size.value > size.most) {
      fail(name, ": the ", size.what, " is ", size.value, "; expected 1 to ", size.most);
    }
  }
  if (config.heads % config.kv_heads != 0) {
    fail(name, ": ", config.heads, " heads cannot share ", config.kv_heads,
         " key/value heads evenly");
  }
  const int64_t elements = config.heads * config.head_width;
  if (config.linear.norm_groups < 1 || elements % config.linear.norm_groups != 0) {
    fail(name, ": the ", elements, " elements of all heads cannot be normed in ",
         config.linear.norm_groups, " equal groups");
  }
  if (config.rope_width % 2 != 0) {
    fail(name, ": the rope width is ", config.rope_width, "; pairs need an even number");
  }
  if (config.window < 0) {
    fail(name, ": the sliding window is ", config.window, "; expected 0 or more");
  }
  const RopeScaling& scaling = config.rope_scaling;
  const auto positive = [&](std::string_view what, double value) {
    if (!(value > 0) || !std::isfinite(value)) {
      fail(name, ": the ", what, " is ", value, "; expected a number above 0");
    }
  };
  positive("norm epsilon", config.norm_eps);
  positive("rope theta", config.rope_theta);
  positive("rope scaling factor", scaling.factor);
  positive("low frequency factor of rope", scaling.low_frequency_factor);
  positive("fast beta of rope", scaling.beta_fast);
  positive("slow beta of rope", scaling.beta_slow);
  const auto not_negative = [&](std::string_view what, double value) {
    if (!(value >= 0) || !std::isfinite(value)) {
      fail(name, ": the ", what, " of rope is ", value, "; expected 0 or more");
    }
  };
  not_negative("mscale", scaling.mscale);
  not_negative("mscale of all dimensions", scaling.mscale_all);
  not_negative("attention factor", scaling.magnitude);
  positive("original length of rope", static_cast<double>(scaling.original_max_positions));
  if (!(scaling.high_frequency_factor > scaling.low_frequency_factor) ||
      !std::isfinite(scaling.high_frequency_factor)) {
    fail(name, ": the high frequency factor of rope is ", scaling.high_frequency_factor,
         "; expected more than the low one, ", scaling.low_frequency_factor);
  }
}

}  // namespace spate
