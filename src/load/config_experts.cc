#include "load/config_experts.h"

#include <algorithm>

namespace spate {
namespace {

// Also says which layers have them: has(layer).
template <class Has>
void set_expert_layers(Config& config, const Has& has) {
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    config.experts.in_layer.push_back(has(layer));
  }
}

int64_t at_least_1(const Members& members, std::string_view key, int64_t absent) {
  return members.at_least_1(key, members.integer(key).value_or(absent));
}

// Experts of the Qwen family: every decoder_sparse_step-th layer but those of mlp_only_layers.
void read_qwen_experts(const Members& members, const std::string& name, const ExpertKeys& keys,
                       Config& config) {
  Experts& experts = config.experts;
  experts.count = members.need_integer(keys.count);
  experts.chosen = members.need_integer(keys.chosen);
  experts.inner_width = members.need_integer(keys.inner_width);
  experts.routing.normalize = members.boolean("norm_topk_prob").value_or(false);
  if (!keys.shared_width.empty()) {
    experts.shared_width = members.need_integer(keys.shared_width);
    experts.shared_gate = true;
  }
  const int64_t step = at_least_1(members, "decoder_sparse_step", 1);
  const std::vector<int64_t> dense = members.integers("mlp_only_layers");
  set_expert_layers(config, [&](int64_t layer) {
    return (layer + 1) % step == 0 && std::ranges::find(dense, layer) == dense.end();
  });
  check_experts(config, name, keys);
}

// Files of transformers 5 have the second name.
std::string qwen_count(const Members& members) {
  return members.find("num_local_experts") == nullptr ? "num_experts" : "num_local_experts";
}

void expect_text(const Members& members, std::string_view key, std::string_view expected) {
  const std::string found = members.text(key).value_or(std::string(expected));
  if (found != expected) {
    members.fail_key(key, "is \"", found, "\"; expected \"", expected, "\"");
  }
}

// What families with shared experts call things: keys of config.json.
struct SharedExpertKeys {
  ExpertKeys experts;
  std::string_view shared;        // how many
  std::string_view shared_width;  // of each, where it is not that of the others; empty: no key
};
const SharedExpertKeys kDeepseekKeys{
    {"n_routed_experts", "num_experts_per_tok", "moe_intermediate_size", {}},
    "n_shared_experts",
    {}};
const SharedExpertKeys kBailingKeys{
    {"num_experts", "num_experts_per_tok", "moe_intermediate_size", {}},
    "num_shared_experts",
    "moe_shared_expert_intermediate_size"};

// Experts from layer `first` on, and shared ones, which are one of their widths together.
void read_experts_from(const Members& members, const std::string& name,
                       const SharedExpertKeys& keys, int64_t first, const op::Routing& routing,
                       Config& config) {
  config.experts = {.count = members.need_integer(keys.experts.count),
                    .chosen = members.need_integer(keys.experts.chosen),
                    .inner_width = members.need_integer(keys.experts.inner_width),
                    .routing = routing};
  const int64_t step = at_least_1(members, "moe_layer_freq", 1);
  set_expert_layers(config, [&](int64_t layer) { return layer >= first && layer % step == 0; });
  check_experts(config, name, keys.experts);
  const int64_t shared = members.integer(keys.shared).value_or(0);
  if (shared < 0 || shared > config.experts.count) {
    members.fail_key(keys.shared, "is ", shared, "; expected 0 to ", config.experts.count);
  }
  const int64_t width = keys.shared_width.empty()
                            ? config.experts.inner_width
                            : at_least_1(members, keys.shared_width, config.experts.inner_width);
  config.experts.shared_width = shared * width;
}

// A model all of whose layers are dense may have the other keys of experts in any form.
bool any_experts(const Members& members, int64_t first, const Config& config) {
  return members.integer("n_routed_experts").value_or(0) != 0 && first < config.layers;
}

// Experts come from the best groups of them.
void read_groups(const Members& members, op::Routing& routing) {
  routing.groups = members.integer("n_group").value_or(1);
  routing.top_groups = members.integer("topk_group").value_or(1);
}

void check_groups(const Members& members, const Experts& experts) {
  const op::Routing& routing = experts.routing;
  if (routing.groups < 1 || experts.count % routing.groups != 0) {
    members.fail_key("n_group", "is ", routing.groups, "; expected a divisor of the ",
                     experts.count, " experts");
  }
  const int64_t in_group = experts.count / routing.groups;
  if (routing.group_score == op::Routing::GroupScore::two_best && in_group < 2) {
    members.fail_key("n_group", "is ", routing.groups, "; expected groups of two or more of the ",
                     experts.count, " experts");
  }
  if (routing.top_groups < 1 || routing.top_groups > routing.groups ||
      experts.chosen > routing.top_groups * in_group) {
    members.fail_key("topk_group", "is ", routing.top_groups, "; expected so many of ",
                     routing.groups, " groups of ", in_group, " experts that they have ",
                     experts.chosen);
  }
}

}  // namespace

void read_qwen2_experts(const Members& members, const std::string& name, Config& config) {
  read_qwen_experts(members, name,
                    {qwen_count(members), "num_experts_per_tok", "moe_intermediate_size",
                     "shared_expert_intermediate_size"},
                    config);
}

void read_qwen3_experts(const Members& members, const std::string& name, Config& config) {
  read_qwen_experts(members, name,
                    {qwen_count(members), "num_experts_per_tok", "moe_intermediate_size", {}},
                    config);
}

void read_mixtral_experts(const Members& members, const std::string& name, Config& config) {
  const ExpertKeys keys{"num_local_experts", "num_experts_per_tok", "intermediate_size", {}};
  config.experts = {.count = members.need_integer(keys.count),
                    .chosen = members.need_integer(keys.chosen),
                    .inner_width = config.inner_width,
                    .routing = {.normalize = true}};
  set_expert_layers(config, [](int64_t) { return true; });
  check_experts(config, name, keys);
}

void read_gpt_oss_experts(const Members& members, const std::string& name, Config& config) {
  const ExpertKeys keys{qwen_count(members), "num_experts_per_tok", "intermediate_size", {}};
  config.experts = {.count = members.need_integer(keys.count),
                    .chosen = members.need_integer(keys.chosen),
                    .inner_width = config.inner_width,
                    .router_bias = true,
                    .biases = true,
                    .routing = {.normalize = true}};
  set_expert_layers(config, [](int64_t) { return true; });
  check_experts(config, name, keys);
}

// The first model of the family.
void read_deepseek_experts(const Members& members, const std::string& name, Config& config) {
  expect_text(members, "scoring_func", "softmax");
  read_experts_from(members, name, kDeepseekKeys,
                    members.integer("first_k_dense_replace").value_or(0),
                    {.normalize = members.boolean("norm_topk_prob").value_or(false)}, config);
}

void read_deepseek2_experts(const Members& members, const std::string& name, Config& config) {
  const int64_t first = members.integer("first_k_dense_replace").value_or(0);
  if (!any_experts(members, first, config)) return;
  expect_text(members, "scoring_func", "softmax");
  if (members.boolean("norm_topk_prob").value_or(false)) {
    members.fail_key("norm_topk_prob", "is true; expected false");
  }
  op::Routing routing{.scale =
                          static_cast<float>(members.number("routed_scaling_factor").value_or(1))};
  const std::string method = members.text("topk_method").value_or("greedy");
  if (method == "group_limited_greedy") {
    read_groups(members, routing);
  } else if (method != "greedy") {
    members.fail_key("topk_method", "is \"", method,
                     "\"; expected \"greedy\" or \"group_limited_greedy\"");
  }
  read_experts_from(members, name, kDeepseekKeys, first, routing, config);
  check_groups(members, config.experts);
}

void read_deepseek3_experts(const Members& members, const std::string& name, Config& config) {
  const int64_t first = members.integer("first_k_dense_replace").value_or(3);
  if (!any_experts(members, first, config)) return;
  expect_text(members, "scoring_func", "sigmoid");
  expect_text(members, "topk_method", "noaux_tc");
  op::Routing routing{
      .score = op::Routing::Score::sigmoid,
      .normalize = members.boolean("norm_topk_prob").value_or(true),
      .scale = static_cast<float>(members.number("routed_scaling_factor").value_or(2.5)),
      .group_score = op::Routing::GroupScore::two_best};
  read_groups(members, routing);
  read_experts_from(members, name, kDeepseekKeys, first, routing, config);
  config.experts.choice_bias = true;
  check_groups(members, config.experts);
}

// Ling: the first generation has softmax, the second sigmoid with a bias, and groups.
void read_bailing_experts(const Members& members, const std::string& name, Config& config) {
  if (config.mlp_bias) members.fail_key("use_bias", "is true; experts have no bias");
  const std::string score = members.text("score_function").value_or("softmax");
  if (score != "softmax" && score != "sigmoid") {
    members.fail_key("score_function", "is \"", score, "\"; expected \"softmax\" or \"sigmoid\"");
  }
  using Routing = op::Routing;
  Routing routing{.score = score == "softmax" ? Routing::Score::softmax : Routing::Score::sigmoid,
                  .normalize = members.boolean("norm_topk_prob").value_or(true),
                  .scale = static_cast<float>(members.number("routed_scaling_factor").value_or(1)),
                  .group_score = Routing::GroupScore::two_best};
  if (members.integer("n_group").value_or(0) > 0) read_groups(members, routing);
  const int64_t first = members.integer("first_k_dense_replace").value_or(0);
  read_experts_from(members, name, kBailingKeys, first, routing, config);
  config.experts.choice_bias = members.boolean("moe_router_enable_expert_bias").value_or(false);
  check_groups(members, config.experts);
}

void check_experts(const Config& config, const std::string& name, const ExpertKeys& keys) {
  const Experts& experts = config.experts;
  const auto within = [&](const std::string& key, int64_t value, int64_t most) {
    if (value < 1 || value > most) {
      fail(name, ": key \"", key, "\" is ", value, "; expected 1 to ", most);
    }
  };
  const auto whole_tiles = [&](const std::string& key, int64_t value) {
    if (value % 16 != 0) {
      fail(name, ": key \"", key, "\" is ", value, "; experts need a multiple of 16");
    }
  };
  constexpr int64_t kMostExperts = 4096, kWidest = 1 << 24;
  within(keys.count, experts.count, kMostExperts);
  within(keys.chosen, experts.chosen, experts.count);
  within(keys.inner_width, experts.inner_width, kWidest);
  whole_tiles(keys.inner_width, experts.inner_width);
  if (experts.shared_gate || experts.shared_width != 0) {
    within(keys.shared_width, experts.shared_width, kWidest);
  }
  if (config.width % 16 != 0) {
    fail(name, ": the model width is ", config.width, "; experts need a multiple of 16");
  }
}

}  // namespace spate
