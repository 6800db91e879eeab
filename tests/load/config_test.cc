// config.json and generation_config.json of the known architectures: keys, what is assumed where a
// key is absent (as transformers does), and the texts of refusals.
#include "load/config.h"

#include <gtest/gtest.h>

#include "tests/load/support.h"

namespace spate {
namespace {

using load_test::expect_error;

// A config.json with the sizes of a small model; `more` are further members.
Config config_of(const std::string& architecture, const std::string& more = "") {
  const std::string text = R"({"architectures": [")" + architecture + R"("], "hidden_size": 64,
      "num_hidden_layers": 4, "num_attention_heads": 8, "num_key_value_heads": 2,
      "intermediate_size": 96, "vocab_size": 100, "max_position_embeddings": 512)" +
                           (more.empty() ? "" : ", " + more) + "}";
  return read_config(parse_json(text, "config.json"), "config.json");
}

void expect_refusal(const std::string& architecture, const std::string& more,
                    std::initializer_list<std::string_view> parts) {
  SCOPED_TRACE(more);
  expect_error([&] { config_of(architecture, more); }, parts);
}

TEST(ReadConfig, LlamaAndItsDefaults) {
  const Config config = config_of("LlamaForCausalLM");
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.width, 64);
  EXPECT_EQ(config.layers, 4);
  EXPECT_EQ(config.heads, 8);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_width, 8);
  EXPECT_EQ(config.rope_width, 8);
  EXPECT_EQ(config.inner_width, 96);
  EXPECT_EQ(config.vocabulary, 100);
  EXPECT_EQ(config.max_positions, 512);
  EXPECT_EQ(config.norm_eps, 1e-6F);
  EXPECT_EQ(config.rope_theta, 10000.0);
  EXPECT_EQ(config.rope_scaling.kind, RopeScaling::Kind::none);
  EXPECT_FALSE(config.rope_neighbours || config.tied_embeddings || config.qkv_bias ||
               config.output_bias || config.mlp_bias || config.qk_norm);
  EXPECT_EQ(config.activation, "silu");
  EXPECT_EQ(config.window, 0);
  EXPECT_EQ(config.dtype, "bf16");
}

TEST(ReadConfig, KeysThatChangeThem) {
  const Config config = config_of("LlamaForCausalLM",
                                  R"("head_dim": 16, "rms_norm_eps": 1e-5, "rope_theta": 500000.0,
      "tie_word_embeddings": true, "attention_bias": true, "mlp_bias": true,
      "torch_dtype": "float16", "partial_rotary_factor": 0.5, "hidden_act": "gelu_pytorch_tanh")");
  EXPECT_EQ(config.head_width, 16);
  EXPECT_EQ(config.rope_width, 8);
  EXPECT_EQ(config.norm_eps, 1e-5F);
  EXPECT_EQ(config.rope_theta, 500000.0);
  EXPECT_TRUE(config.tied_embeddings && config.qkv_bias && config.output_bias && config.mlp_bias);
  EXPECT_EQ(config.dtype, "f16");
  EXPECT_EQ(config.activation, "gelu_pytorch_tanh");
  EXPECT_EQ(config_of("LlamaForCausalLM", R"("dtype": "float32")").dtype, "f32");
}

TEST(ReadConfig, RopeScalingInTheOldForms) {
  for (const char* key : {"type", "rope_type"}) {
    const Config linear = config_of(
        "LlamaForCausalLM", cat(R"("rope_scaling": {")", key, R"(": "linear", "factor": 4})"));
    EXPECT_EQ(linear.rope_scaling.kind, RopeScaling::Kind::linear);
    EXPECT_EQ(linear.rope_scaling.factor, 4.0);
  }
  const Config llama3 = config_of("LlamaForCausalLM", R"("rope_theta": 500000.0, "rope_scaling": {
      "factor": 32.0, "high_freq_factor": 5.0, "low_freq_factor": 1.5,
      "original_max_position_embeddings": 4096, "rope_type": "llama3"})");
  EXPECT_EQ(llama3.rope_scaling.kind, RopeScaling::Kind::llama3);
  EXPECT_EQ(llama3.rope_scaling.factor, 32.0);
  EXPECT_EQ(llama3.rope_scaling.low_frequency_factor, 1.5);
  EXPECT_EQ(llama3.rope_scaling.high_frequency_factor, 5.0);
  EXPECT_EQ(llama3.rope_scaling.original_max_positions, 4096);
  EXPECT_EQ(config_of("LlamaForCausalLM", R"("rope_scaling": null)").rope_scaling.kind,
            RopeScaling::Kind::none);
  EXPECT_EQ(config_of("LlamaForCausalLM", R"("rope_scaling": {"rope_type": "default"})")
                .rope_scaling.kind,
            RopeScaling::Kind::none);
}

TEST(ReadConfig, RopeParametersOfTransformers5) {
  const Config plain = config_of(
      "LlamaForCausalLM", R"("rope_parameters": {"rope_theta": 20000.0, "rope_type": "default"})");
  EXPECT_EQ(plain.rope_theta, 20000.0);
  EXPECT_EQ(plain.rope_scaling.kind, RopeScaling::Kind::none);
  const Config llama3 = config_of("LlamaForCausalLM", R"("rope_parameters": {
      "factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0, "rope_theta": 500000.0,
      "original_max_position_embeddings": 8192, "rope_type": "llama3"})");
  EXPECT_EQ(llama3.rope_theta, 500000.0);
  EXPECT_EQ(llama3.rope_scaling.kind, RopeScaling::Kind::llama3);
  EXPECT_EQ(llama3.rope_scaling.factor, 8.0);
  expect_refusal("LlamaForCausalLM",
                 R"("rope_parameters": {"full_attention": {"rope_type": "default"}})",
                 {"rope_parameters", "one set for all layers"});
}

TEST(ReadConfig, Yarn) {
  const RopeScaling plain = config_of("Qwen2ForCausalLM",
                                      R"("rope_scaling": {"type": "yarn", "factor": 4.0,
                   "original_max_position_embeddings": 128})")
                                .rope_scaling;
  EXPECT_EQ(plain.kind, RopeScaling::Kind::yarn);
  EXPECT_EQ(plain.factor, 4);
  EXPECT_EQ(plain.original_max_positions, 128);
  EXPECT_EQ(plain.beta_fast, 32);
  EXPECT_EQ(plain.beta_slow, 1);
  EXPECT_TRUE(plain.whole_pairs);
  EXPECT_EQ(plain.mscale, 0);
  EXPECT_EQ(plain.magnitude, 0);
  const RopeScaling all =
      config_of("LlamaForCausalLM",
                R"("rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": null,
                   "original_max_position_embeddings": 64, "beta_fast": 16, "beta_slow": 2,
                   "mscale": 0.5, "mscale_all_dim": 0.75, "attention_factor": 1.5,
                   "truncate": false})")
          .rope_scaling;
  EXPECT_EQ(all.factor, 8);
  EXPECT_EQ(all.beta_fast, 16);
  EXPECT_EQ(all.beta_slow, 2);
  EXPECT_EQ(all.mscale, 0.5);
  EXPECT_EQ(all.mscale_all, 0.75);
  EXPECT_EQ(all.magnitude, 1.5);
  EXPECT_FALSE(all.whole_pairs);
  const auto refuse = [](const std::string& more, std::initializer_list<std::string_view> parts) {
    expect_refusal("LlamaForCausalLM", cat(R"("rope_scaling": {"type": "yarn")", more, "}"), parts);
  };
  refuse("", {"\"rope_scaling.factor\" is missing"});
  refuse(R"(, "factor": 2, "original_max_position_embeddings": 0)", {"original length of rope"});
  refuse(R"(, "factor": 2, "beta_fast": -1)", {"fast beta of rope is -1"});
  refuse(R"(, "factor": 2, "mscale": -1)", {"mscale of rope is -1"});
}

const std::string kLatent = R"("num_key_value_heads": 8, "kv_lora_rank": 32,
    "qk_nope_head_dim": 24, "qk_rope_head_dim": 8, "v_head_dim": 16)";

TEST(ReadConfig, LatentAttention) {
  for (const char* name : {"DeepseekV2ForCausalLM", "DeepseekV3ForCausalLM"}) {
    const Config config = config_of(name, kLatent);
    EXPECT_EQ(config.architecture, "deepseek2");
    EXPECT_TRUE(config.has_latents());
    EXPECT_EQ(config.latent.rank, 32);
    EXPECT_EQ(config.latent.query_rank, 0);
    EXPECT_EQ(config.latent.plain_width, 24);
    EXPECT_EQ(config.latent.value_width, 16);
    EXPECT_EQ(config.head_width, 32);
    EXPECT_EQ(config.rope_width, 8);
    EXPECT_TRUE(config.rope_neighbours);
  }
  const Config other =
      config_of("DeepseekV3ForCausalLM",
                kLatent + R"(, "q_lora_rank": 20, "rope_interleave": false, "head_dim": 8,
                             "n_routed_experts": 64, "first_k_dense_replace": 4)");
  EXPECT_EQ(other.latent.query_rank, 20);
  EXPECT_EQ(other.head_width, 32);
  EXPECT_FALSE(other.rope_neighbours);
  EXPECT_FALSE(config_of("LlamaForCausalLM").has_latents());
}

TEST(ReadConfig, RefusalsOfLatentAttention) {
  const auto refuse = [](const std::string& more, std::initializer_list<std::string_view> parts) {
    expect_refusal("DeepseekV2ForCausalLM", more, parts);
  };
  refuse("", {"config.json", "\"qk_rope_head_dim\" is missing"});
  refuse(R"("qk_rope_head_dim": 8, "kv_lora_rank": 40)",
         {"config.json", "\"kv_lora_rank\"", "is 40", "multiple of 16"});
  refuse(kLatent + R"(, "q_lora_rank": 0)", {"\"q_lora_rank\"", "is 0", "expected 1 to"});
}

TEST(ReadConfig, ExpertsOfDeepSeek2And3) {
  const std::string experts = kLatent + R"(, "n_routed_experts": 12, "num_experts_per_tok": 3,
      "moe_intermediate_size": 16, "n_shared_experts": 2, "first_k_dense_replace": 1)";
  const Config greedy = config_of("DeepseekV2ForCausalLM", experts);
  EXPECT_EQ(greedy.experts.count, 12);
  EXPECT_EQ(greedy.experts.chosen, 3);
  EXPECT_EQ(greedy.experts.shared_width, 32);
  EXPECT_EQ(greedy.experts.in_layer, (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(greedy.experts.routing.score, op::Routing::Score::softmax);
  EXPECT_EQ(greedy.experts.routing.groups, 1);
  EXPECT_EQ(greedy.experts.routing.scale, 1.0F);
  EXPECT_FALSE(greedy.experts.routing.normalize || greedy.experts.choice_bias);
  const std::string grouped = experts + R"(, "n_group": 4, "topk_group": 2,
      "routed_scaling_factor": 16.0)";
  const op::Routing two =
      config_of("DeepseekV2ForCausalLM", grouped + R"(, "topk_method": "group_limited_greedy")")
          .experts.routing;
  EXPECT_EQ(two.groups, 4);
  EXPECT_EQ(two.top_groups, 2);
  EXPECT_EQ(two.group_score, op::Routing::GroupScore::best);
  EXPECT_EQ(two.scale, 16.0F);
  const Config three = config_of("DeepseekV3ForCausalLM", grouped);
  EXPECT_EQ(three.experts.routing.score, op::Routing::Score::sigmoid);
  EXPECT_EQ(three.experts.routing.groups, 4);
  EXPECT_EQ(three.experts.routing.group_score, op::Routing::GroupScore::two_best);
  EXPECT_TRUE(three.experts.routing.normalize && three.experts.choice_bias);

  const auto refuse = [&](const char* name, const std::string& more,
                          std::initializer_list<std::string_view> parts) {
    expect_refusal(name, experts + more, parts);
  };
  const char *of_2 = "DeepseekV2ForCausalLM", *of_3 = "DeepseekV3ForCausalLM";
  refuse(of_2, R"(, "topk_method": "noaux_tc")", {"\"topk_method\"", "noaux_tc", "greedy"});
  refuse(of_2, R"(, "norm_topk_prob": true)", {"\"norm_topk_prob\"", "expected false"});
  refuse(of_2, R"(, "scoring_func": "sigmoid")", {"\"scoring_func\"", "softmax"});
  refuse(of_3, R"(, "scoring_func": "softmax")", {"\"scoring_func\"", "sigmoid"});
  refuse(of_3, R"(, "n_group": 5)", {"config.json", "\"n_group\"", "is 5", "12 experts"});
  refuse(of_3, R"(, "n_group": 0)", {"\"n_group\"", "is 0"});
  refuse(of_3, R"(, "n_group": 12, "topk_group": 3)", {"\"n_group\"", "two or more"});
  refuse(of_3, R"(, "n_group": 6, "topk_group": 1)", {"\"topk_group\"", "groups of 2 experts"});
  refuse(of_3, R"(, "n_group": 4, "topk_group": 5)", {"\"topk_group\"", "is 5"});
}

TEST(ReadConfig, Ling) {
  const Config plain = config_of("BailingForCausalLM");
  EXPECT_EQ(plain.architecture, "bailing");
  EXPECT_FALSE(plain.qkv_bias || plain.output_bias || plain.mlp_bias || plain.qk_norm ||
               plain.normalized_head || plain.has_experts(0));
  const Config dense =
      config_of("BailingForCausalLM", R"("use_bias": true, "norm_head": true, "rotary_dim": 4)");
  EXPECT_TRUE(dense.qkv_bias && dense.output_bias && dense.mlp_bias && dense.normalized_head);
  EXPECT_EQ(dense.rope_width, 4);
  const std::string experts = R"("num_experts": 8, "num_experts_per_tok": 2,
      "moe_intermediate_size": 32, "num_shared_experts": 2, "use_qkv_bias": true)";
  const Config first = config_of("BailingMoeForCausalLM", experts);
  EXPECT_TRUE(first.qkv_bias && !first.output_bias && first.experts.routing.normalize);
  EXPECT_EQ(first.experts.shared_width, 64);
  EXPECT_EQ(first.experts.in_layer, std::vector<bool>(4, true));
  EXPECT_EQ(first.experts.routing.score, op::Routing::Score::softmax);
  const Config second = config_of("BailingMoeV2ForCausalLM", experts + R"(, "use_qk_norm": true,
      "score_function": "sigmoid", "n_group": 4, "topk_group": 2, "first_k_dense_replace": 1,
      "moe_router_enable_expert_bias": true, "routed_scaling_factor": 2.5,
      "moe_shared_expert_intermediate_size": 48)");
  EXPECT_TRUE(second.qk_norm && second.experts.choice_bias);
  EXPECT_EQ(second.experts.shared_width, 96);
  EXPECT_EQ(second.experts.routing.score, op::Routing::Score::sigmoid);
  EXPECT_EQ(second.experts.routing.groups, 4);
  EXPECT_EQ(second.experts.routing.scale, 2.5F);
  EXPECT_FALSE(second.has_experts(0));

  expect_refusal("BailingForCausalLM", R"("norm_head": true, "tie_word_embeddings": true)",
                 {"\"norm_head\"", "embedding table"});
  expect_refusal("BailingForCausalLM", R"("rotary_dim": 5)", {"rope width is 5", "even"});
  expect_refusal("BailingMoeForCausalLM", experts + R"(, "use_bias": true)", {"\"use_bias\""});
  expect_refusal("BailingMoeForCausalLM", experts + R"(, "score_function": "tanh")",
                 {"\"score_function\"", "tanh", "sigmoid"});
  expect_refusal("BailingMoeForCausalLM", "", {"\"num_experts\"", "missing"});
}

TEST(ReadConfig, LingLinear) {
  const std::string experts = R"("num_experts": 8, "num_experts_per_tok": 2,
      "moe_intermediate_size": 32, "num_hidden_layers": 8, "num_attention_heads": 6,
      "head_dim": 16)";
  const auto layers = [](const Config& config) {
    std::string out;
    for (int64_t layer = 0; layer < config.layers; ++layer) {
      out += config.is_linear(layer) ? 'l' : 'f';
    }
    return out;
  };
  const char *first = "BailingMoeLinearForCausalLM", *second = "BailingMoeLinearV2ForCausalLM";
  const Config one = config_of(first, experts + R"(, "layer_group_size": 3)");
  EXPECT_EQ(one.architecture, "bailing-linear");
  EXPECT_EQ(layers(one), "llfllfff") << "layers behind the last whole group are full";
  EXPECT_EQ(one.linear_layers(), 4);
  EXPECT_EQ(one.full_layers(3), 1);
  EXPECT_EQ(one.full_layers(7), 3);
  EXPECT_EQ(one.full_layers(8), 4);
  EXPECT_EQ(one.linear.norm_groups, 1);
  EXPECT_TRUE(one.linear.rope);
  const Config two = config_of(second, experts + R"(, "layer_group_size": 4, "linear_silu": false,
      "group_norm_size": 3, "linear_rope": false)");
  EXPECT_EQ(layers(two), "lllflllf");
  EXPECT_EQ(two.linear.norm_groups, 3);
  EXPECT_FALSE(two.linear.rope);
  EXPECT_EQ(layers(config_of(second, experts + R"(, "layer_group_size": 1)")), "ffffffff");
  EXPECT_EQ(layers(config_of(second, experts + R"(, "layer_group_size": 9)")), "ffffffff");
  EXPECT_EQ(layers(config_of("BailingMoeV2ForCausalLM", experts)), "ffffffff");

  expect_refusal(second, experts, {"\"layer_group_size\"", "missing"});
  expect_refusal(second, experts + R"(, "layer_group_size": 0)",
                 {"config.json", "\"layer_group_size\"", "is 0", "at least 1"});
  expect_refusal(second, experts + R"(, "layer_group_size": 4, "group_norm_size": 5)",
                 {"config.json", "96 elements", "5 equal groups"});
  expect_refusal(second, experts + R"(, "layer_group_size": 4, "group_norm_size": 0)",
                 {"\"group_norm_size\"", "is 0"});
  for (const std::string key :
       {"linear_silu", "use_linear_silu", "use_linear_gqa", "use_low_rank"}) {
    expect_refusal(second, experts + R"(, "layer_group_size": 4, ")" + key + R"(": true)",
                   {key, "expected false"});
  }
}

TEST(ReadConfig, UnsupportedRopeTypesAreNamed) {
  for (const char* type : {"longrope", "dynamic"}) {
    expect_refusal("LlamaForCausalLM",
                   cat(R"("rope_scaling": {"rope_type": ")", type, R"(", "factor": 2.0})"),
                   {"config.json", "rope_scaling.rope_type", type, "supported are default"});
  }
  expect_refusal("LlamaForCausalLM", R"("rope_scaling": {"type": "linear"})",
                 {"\"rope_scaling.factor\" is missing"});
  expect_refusal("LlamaForCausalLM", R"("rope_scaling": {"type": "linear", "factor": 0})",
                 {"rope scaling factor is 0"});
  expect_refusal("LlamaForCausalLM", R"("rope_scaling": 3)",
                 {"rope_scaling", "expected an object"});
}

TEST(ReadConfig, Qwen2) {
  const Config config = config_of("Qwen2ForCausalLM", R"("attention_bias": true)");
  EXPECT_EQ(config.architecture, "qwen2");
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.output_bias || config.qk_norm);
  EXPECT_EQ(config.window, 0);
}

TEST(ReadConfig, Qwen3) {
  const Config config = config_of("Qwen3ForCausalLM");
  EXPECT_EQ(config.architecture, "qwen3");
  EXPECT_EQ(config.head_width, 128);  // not 64 / 8
  EXPECT_TRUE(config.qk_norm);
  EXPECT_FALSE(config.qkv_bias || config.output_bias);
  EXPECT_TRUE(config_of("Qwen3ForCausalLM", R"("attention_bias": true)").output_bias);
}

TEST(ReadConfig, WindowsOfQwen) {
  const std::string on = R"("use_sliding_window": true, "sliding_window": 32)";
  EXPECT_EQ(config_of("Qwen2ForCausalLM", R"("sliding_window": 32)").window, 0);
  const Config upper = config_of("Qwen2ForCausalLM", on + R"(, "max_window_layers": 3)");
  EXPECT_EQ(upper.window, 32);
  EXPECT_EQ(upper.windowed, (std::vector<bool>{false, false, false, true}));
  EXPECT_EQ(upper.window_of(2), 0);
  EXPECT_EQ(upper.window_of(3), 32);
  EXPECT_EQ(config_of("Qwen2ForCausalLM", on + R"(, "max_window_layers": 4)").window, 0);
  const std::string types = R"(, "layer_types": ["full_attention", "sliding_attention", )";
  EXPECT_EQ(config_of("Qwen3ForCausalLM", on + types + R"("full_attention", "sliding_attention"])")
                .windowed,
            (std::vector<bool>{false, true, false, true}));
  EXPECT_EQ(config_of("Qwen3ForCausalLM", on + R"(, "max_window_layers": 0)").window_of(0), 32);
  expect_refusal("Qwen3ForCausalLM", on + R"(, "max_window_layers": -1)",
                 {"max_window_layers", "is -1"});
  expect_refusal("Qwen3ForCausalLM", on + types + R"("chunked_attention", "sliding_attention"])",
                 {"layer_types", "layer 2", "chunked_attention"});
  expect_refusal("Qwen3ForCausalLM", on + R"(, "layer_types": ["full_attention"])",
                 {"1 entries for 4 layers"});
}

std::string experts_of(const std::string& more = "") {
  return R"("num_experts": 8, "num_experts_per_tok": 2, "moe_intermediate_size": 32)" +
         (more.empty() ? "" : ", " + more);
}

TEST(ReadConfig, Qwen3WithExperts) {
  const Config config = config_of("Qwen3MoeForCausalLM", experts_of());
  EXPECT_EQ(config.architecture, "qwen3moe");
  EXPECT_EQ(config.head_width, 8);
  EXPECT_TRUE(config.qk_norm);
  EXPECT_FALSE(config.qkv_bias);
  const Experts& experts = config.experts;
  EXPECT_EQ(experts.count, 8);
  EXPECT_EQ(experts.chosen, 2);
  EXPECT_EQ(experts.inner_width, 32);
  EXPECT_EQ(experts.shared_width, 0);
  EXPECT_FALSE(experts.shared_gate || experts.routing.normalize);
  EXPECT_EQ(experts.in_layer, std::vector<bool>(4, true));
  EXPECT_TRUE(config_of("Qwen3MoeForCausalLM", experts_of(R"("norm_topk_prob": true)"))
                  .experts.routing.normalize);
  const Config some = config_of("Qwen3MoeForCausalLM",
                                experts_of(R"("decoder_sparse_step": 2, "mlp_only_layers": [3])"));
  EXPECT_EQ(some.experts.in_layer, (std::vector<bool>{false, true, false, false}));
  EXPECT_TRUE(some.has_experts(1));
  EXPECT_FALSE(some.has_experts(3));
  EXPECT_FALSE(config_of("Qwen3ForCausalLM").has_experts(0));
  EXPECT_EQ(config_of("Qwen3MoeForCausalLM",
                      experts_of(R"("use_sliding_window": true, "sliding_window": 32)"))
                .window,
            32);
}

TEST(ReadConfig, Qwen2WithExperts) {
  const std::string shared = R"("shared_expert_intermediate_size": 40)";
  const Config config = config_of("Qwen2MoeForCausalLM", experts_of(shared));
  EXPECT_EQ(config.architecture, "qwen2moe");
  EXPECT_TRUE(config.qkv_bias);
  EXPECT_FALSE(config.output_bias || config.qk_norm);
  EXPECT_EQ(config.experts.shared_width, 40);
  EXPECT_TRUE(config.experts.shared_gate);
  EXPECT_FALSE(
      config_of("Qwen2MoeForCausalLM", experts_of(shared + R"(, "qkv_bias": false)")).qkv_bias);
  expect_refusal("Qwen2MoeForCausalLM", experts_of(),
                 {"config.json", "shared_expert_intermediate_size", "is missing"});
  expect_refusal("Qwen2MoeForCausalLM",
                 experts_of(shared + R"(, "use_sliding_window": true, "sliding_window": 9)"),
                 {"layer_types", "is missing"});
}

TEST(ReadConfig, Mixtral) {
  const Config config =
      config_of("MixtralForCausalLM", R"("num_local_experts": 8, "num_experts_per_tok": 2)");
  EXPECT_EQ(config.architecture, "mixtral");
  EXPECT_EQ(config.experts.count, 8);
  EXPECT_EQ(config.experts.inner_width, 96);
  EXPECT_TRUE(config.experts.routing.normalize);
  EXPECT_EQ(config.window, 0);
  expect_refusal("MixtralForCausalLM", R"("num_experts_per_tok": 2)",
                 {"\"num_local_experts\" is missing"});
}

TEST(ReadConfig, DeepSeekOfOneKindOfAttention) {
  const std::string keys =
      R"("n_routed_experts": 8, "num_experts_per_tok": 3, "n_shared_experts": 2,
      "moe_intermediate_size": 16, "first_k_dense_replace": 1)";
  const Config config = config_of("DeepseekForCausalLM", keys);
  EXPECT_EQ(config.architecture, "deepseek");
  EXPECT_EQ(config.experts.shared_width, 32);
  EXPECT_FALSE(config.experts.shared_gate || config.experts.routing.normalize);
  EXPECT_EQ(config.experts.in_layer, (std::vector<bool>{false, true, true, true}));
  EXPECT_EQ(config_of("DeepseekForCausalLM", keys + R"(, "moe_layer_freq": 2)").experts.in_layer,
            (std::vector<bool>{false, false, true, false}));
  expect_refusal("DeepseekForCausalLM", keys + R"(, "scoring_func": "sigmoid")",
                 {"scoring_func", "softmax"});
}

TEST(ReadConfig, ExpertsThatCannotBeAreRefused) {
  const auto refuse = [](const std::string& count, const std::string& chosen,
                         const std::string& inner, const std::string& more,
                         std::initializer_list<std::string_view> parts) {
    expect_refusal("Qwen3MoeForCausalLM",
                   cat(R"("num_experts": )", count, R"(, "num_experts_per_tok": )", chosen,
                       R"(, "moe_intermediate_size": )", inner, more),
                   parts);
  };
  refuse("0", "2", "32", "", {"config.json", "\"num_experts\" is 0", "1 to"});
  refuse("-8", "2", "32", "", {"\"num_experts\" is -8"});
  refuse("8", "9", "32", "", {"\"num_experts_per_tok\" is 9", "1 to 8"});
  refuse("8", "0", "32", "", {"\"num_experts_per_tok\" is 0"});
  refuse("8", "2", "0", "", {"\"moe_intermediate_size\" is 0"});
  refuse("8", "2", "40", "", {"\"moe_intermediate_size\" is 40", "multiple of 16"});
  refuse("8", "2", "32", R"(, "decoder_sparse_step": 0)", {"decoder_sparse_step", "is 0"});
  refuse("8", "2", "32", R"(, "mlp_only_layers": 3)", {"mlp_only_layers", "array"});
  expect_refusal("Qwen3MoeForCausalLM", R"("num_experts_per_tok": 2)",
                 {"\"num_experts\" is missing"});
}

TEST(ReadConfig, WindowOfMistral) {
  EXPECT_EQ(config_of("MistralForCausalLM").architecture, "llama");
  EXPECT_EQ(config_of("MistralForCausalLM").window, 4096);
  EXPECT_EQ(config_of("MistralForCausalLM", R"("sliding_window": null)").window, 0);
  EXPECT_EQ(config_of("MistralForCausalLM", R"("sliding_window": 64)").window, 64);
  EXPECT_EQ(config_of("MistralForCausalLM", R"("sliding_window": 64)").window_of(0), 64);
}

TEST(ReadConfig, GptOss) {
  const std::string keys =
      R"("num_local_experts": 8, "num_experts_per_tok": 2, "rms_norm_eps": 1e-5)";
  const std::string rope =
      R"(, "rope_scaling": {"rope_type": "yarn", "factor": 4, "truncate": false})";
  const Config config = config_of("GptOssForCausalLM", keys + rope);
  EXPECT_EQ(config.architecture, "gpt-oss");
  EXPECT_EQ(config.head_width, 64);
  EXPECT_TRUE(config.qkv_bias && config.output_bias && config.sinks);
  EXPECT_EQ(config.activation, "clipped_silu");
  EXPECT_FALSE(config.rope_scaling.whole_pairs);
  EXPECT_EQ(config.windowed, (std::vector<bool>{true, false, true, false}));
  EXPECT_EQ(config.window_of(0), 128);
  EXPECT_EQ(config.window_of(1), 0);
  const Experts& experts = config.experts;
  EXPECT_EQ(experts.count, 8);
  EXPECT_EQ(experts.inner_width, 96);
  EXPECT_TRUE(experts.biases && experts.router_bias && experts.routing.normalize);
  EXPECT_FALSE(experts.choice_bias);
  const Config other =
      config_of("GptOssForCausalLM",
                keys + rope + R"(, "attention_bias": false, "sliding_window": 32, "layer_types":
        ["full_attention", "full_attention", "full_attention", "sliding_attention"],
        "quantization_config": {"quant_method": "mxfp4"})");
  EXPECT_FALSE(other.qkv_bias || other.output_bias);
  EXPECT_EQ(other.window_of(0), 0);
  EXPECT_EQ(other.window_of(3), 32);
  expect_refusal("GptOssForCausalLM", keys, {"config.json", "\"rope_scaling\"", "is missing"});
  expect_refusal("GptOssForCausalLM", keys + rope + R"(, "swiglu_limit": 8)",
                 {"config.json", "\"swiglu_limit\"", "is 8", "expected 7"});
  expect_refusal("GptOssForCausalLM", keys + rope + R"(, "swiglu_alpha": 1.5)",
                 {"\"swiglu_alpha\"", "is 1.5"});
}

TEST(ReadConfig, Fp8WithScalesOfBlocks) {
  const auto with = [](const std::string& more) {
    return cat(R"("quantization_config": {"quant_method": "fp8")", more, "}");
  };
  const Config config = config_of("LlamaForCausalLM", with(R"(, "weight_block_size": [128, 64])"));
  EXPECT_EQ(config.fp8_blocks.rows, 128);
  EXPECT_EQ(config.fp8_blocks.columns, 64);
  EXPECT_EQ(config_of("LlamaForCausalLM").fp8_blocks.rows, 0);
  for (const char* size :
       {"", R"(, "weight_block_size": [128])", R"(, "weight_block_size": [128, 0])",
        R"(, "weight_block_size": null)"}) {
    expect_refusal("LlamaForCausalLM", with(size),
                   {"config.json", "quantization_config.weight_block_size", "[128, 128]"});
  }
  expect_refusal("LlamaForCausalLM",
                 with(R"(, "weight_block_size": [128, 128], "activation_scheme": "static")"),
                 {"quantization_config.activation_scheme", "\"static\""});
  expect_refusal("LlamaForCausalLM", R"("quantization_config": {"quant_method": "mxfp4"})",
                 {"quantization_config", "\"mxfp4\"", "gpt-oss"});
}

TEST(ReadConfig, RefusalsNameFileKeyFoundAndKnown) {
  expect_refusal("Gemma3ForCausalLM", "",
                 {"config.json", "\"Gemma3ForCausalLM\", which needs norms behind layers",
                  "can be run are Llama"});
  expect_refusal("GPT2LMHeadModel", "",
                 {"config.json", "GPT2LMHeadModel",
                  "LlamaForCausalLM, MistralForCausalLM, Qwen2ForCausalLM, Qwen3ForCausalLM"});
  expect_refusal("LlamaForCausalLM", R"("quantization_config": {"quant_method": "awq", "bits": 4})",
                 {"quantization_config", "\"awq\""});
  expect_refusal("LlamaForCausalLM", R"("torch_dtype": "float8_e4m3fn")", {"float8_e4m3fn"});
  expect_refusal("LlamaForCausalLM", R"("hidden_act": "relu")", {"hidden_act", "\"relu\""});
  expect_refusal("LlamaForCausalLM", R"("hidden_size": "64")",
                 {"\"hidden_size\"", "expected an integer, found a string"});
  expect_refusal("LlamaForCausalLM", R"("hidden_size": -64)", {"model width is -64"});
  expect_refusal("LlamaForCausalLM", R"("hidden_size": 9007199254740992)", {"model width"});
  expect_refusal("LlamaForCausalLM", R"("num_key_value_heads": 3)",
                 {"8 heads", "3 key/value heads"});
  expect_refusal("LlamaForCausalLM", R"("num_attention_heads": 0)", {"number of heads is 0"});
  expect_refusal("LlamaForCausalLM", R"("head_dim": 7)", {"rope width is 7"});
  expect_refusal("LlamaForCausalLM", R"("rope_theta": 0)", {"rope theta is 0"});
  expect_refusal("LlamaForCausalLM", R"("rms_norm_eps": 1e300)", {"norm epsilon is inf"});
  expect_refusal("MistralForCausalLM", R"("sliding_window": -1)", {"sliding window is -1"});
  for (const char* text : {"[]", "3", "{}", R"({"architectures": []})", R"({"architectures": [1]})",
                           R"({"model_type": "bert"})", R"({"model_type": "llama"})"}) {
    SCOPED_TRACE(text);
    expect_error([&] { read_config(parse_json(text, "c"), "config.json"); }, {"config.json: "});
  }
}

TEST(ReadGenerationConfig, Fields) {
  const auto read = [](const std::string& text) {
    return read_generation_config(parse_json(text, "g"), "generation_config.json");
  };
  EXPECT_EQ(read(R"({"eos_token_id": 7})").end_tokens, (std::vector<Token>{7}));
  EXPECT_EQ(read(R"({"eos_token_id": [7, 8]})").end_tokens, (std::vector<Token>{7, 8}));
  EXPECT_TRUE(read(R"({"eos_token_id": null})").end_tokens.empty());
  const GenerationDefaults defaults = read(R"({"temperature": 0.7, "top_p": 0.8, "top_k": 20,
      "min_p": 0.1, "repetition_penalty": 1.05, "do_sample": false})");
  EXPECT_EQ(defaults.temperature, 0.7);
  EXPECT_EQ(defaults.top_p, 0.8);
  EXPECT_EQ(defaults.top_k, 20);
  EXPECT_EQ(defaults.min_p, 0.1);
  EXPECT_EQ(defaults.repetition_penalty, 1.05);
  EXPECT_EQ(defaults.sample, false);
  EXPECT_FALSE(read("{}").temperature);
  expect_error([&] { read(R"({"eos_token_id": "x"})"); }, {"eos_token_id", "\"x\""});
  expect_error([&] { read(R"({"eos_token_id": [-1]})"); }, {"eos_token_id", "-1"});
  expect_error([&] { read(R"({"temperature": "hot"})"); }, {"temperature", "found a string"});
}

}  // namespace
}  // namespace spate
