// Checkpoints as models see them: names, shapes, values and configs of GGUF files and Hugging Face
// folders, and what is said about broken ones.
#include "load/checkpoint.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/files.h"
#include "load/gguf.h"
#include "load/tensor_names.h"
#include "tests/load/support.h"

namespace spate {
namespace {

using load_test::contains;
using load_test::expect_error;
using load_test::expect_golden_values;
using load_test::kDefaultModel;
using load_test::kFolder;
using load_test::kModels;
using load_test::TemporaryFolder;

const HostTensor found(const Checkpoint& checkpoint, std::string_view name) {
  const auto tensor = checkpoint.find(name, {});
  EXPECT_TRUE(tensor) << name;
  return tensor.value_or(HostTensor{&kF32, {0}, {}, nullptr});
}

void expect_tiny_llama(const Checkpoint& checkpoint) {
  const Config& config = checkpoint.config();
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.layers, 2);
  EXPECT_EQ(config.width, 16);
  EXPECT_EQ(config.heads, 4);
  EXPECT_EQ(config.kv_heads, 2);
  EXPECT_EQ(config.head_width, 4);
  EXPECT_EQ(config.rope_width, 4);
  EXPECT_EQ(config.inner_width, 24);
  EXPECT_EQ(config.vocabulary, 10);
  EXPECT_EQ(config.max_positions, 128);
  EXPECT_EQ(config.norm_eps, 1e-5F);
  EXPECT_EQ(config.rope_theta, 50000.0);
  EXPECT_EQ(config.rope_factors, (std::vector<float>{1, 8}));
  EXPECT_TRUE(config.rope_neighbours);
  EXPECT_FALSE(config.tied_embeddings);
  EXPECT_FALSE(config.qkv_bias || config.output_bias || config.mlp_bias || config.qk_norm);
  EXPECT_EQ(checkpoint.generation().end_tokens, (std::vector<Token>{2, 3}));

  const auto tensors = checkpoint.tensors();
  EXPECT_EQ(tensors.size(), 3U + 2 * 9);
  int64_t bytes = 0;
  for (const TensorInfo& tensor : tensors) {
    SCOPED_TRACE(tensor.name);
    EXPECT_TRUE(config_expects_tensor(config, tensor.name));
    expect_golden_values(found(checkpoint, tensor.name));
    bytes += tensor.bytes;
  }
  EXPECT_EQ(checkpoint.stored_bytes(), bytes);
  const HostTensor query = found(checkpoint, "model.layers.1.self_attn.q_proj.weight");
  EXPECT_EQ(query.shape, (Shape{16, 16}));
  EXPECT_EQ(query.format, &kF16);
  EXPECT_EQ(found(checkpoint, "model.layers.0.mlp.down_proj.weight").shape, (Shape{16, 24}));
}

TEST(Checkpoint, TinyGguf) {
  const auto checkpoint = open_checkpoint(kFolder + "tiny.gguf");
  expect_tiny_llama(*checkpoint);
  EXPECT_EQ(checkpoint->describe(), "GGUF v3, 21 tensors, 0.0 MB");
  ASSERT_NE(checkpoint->gguf(), nullptr);
  EXPECT_EQ(checkpoint->gguf()->integer("llama.block_count"), 2);
  EXPECT_FALSE(checkpoint->has("rope_freqs.weight"));
  EXPECT_FALSE(checkpoint->find("model.layers.2.input_layernorm.weight", {}));
}

// What the config makes us expect is what the files hold, in the same shapes.
void expect_all_tensors(const Checkpoint& checkpoint) {
  std::map<std::string, Shape> stored;
  for (const TensorInfo& tensor : checkpoint.tensors()) stored[tensor.name] = tensor.shape;
  const std::vector<ExpectedTensor> expected = expected_tensors(checkpoint.config());
  EXPECT_EQ(expected.size(), stored.size());
  for (const ExpectedTensor& tensor : expected) {
    EXPECT_TRUE(config_expects_tensor(checkpoint.config(), tensor.name)) << tensor.name;
    ASSERT_EQ(stored.count(tensor.name), 1U) << tensor.name;
    EXPECT_EQ(stored.at(tensor.name), tensor.shape) << tensor.name;
  }
}

TEST(Checkpoint, GgufWithExperts) {
  const auto checkpoint = open_checkpoint(kFolder + "experts.gguf");
  const Config& config = checkpoint->config();
  EXPECT_EQ(config.architecture, "qwen2moe");
  EXPECT_TRUE(config.qkv_bias);
  const Experts& experts = config.experts;
  EXPECT_EQ(experts.count, 4);
  EXPECT_EQ(experts.chosen, 2);
  EXPECT_EQ(experts.inner_width, 16);
  EXPECT_EQ(experts.shared_width, 32);
  EXPECT_TRUE(experts.shared_gate);
  EXPECT_FALSE(experts.routing.normalize);
  EXPECT_EQ(experts.routing.scale, 1.0F);
  EXPECT_EQ(experts.in_layer, std::vector<bool>{true});
  expect_all_tensors(*checkpoint);
  // Experts lie one after the other in the file's tensor.
  for (int64_t expert = 0; expert < 4; ++expert) {
    const auto values = load_test::decoded(
        found(*checkpoint, cat("model.layers.0.mlp.experts.", expert, ".down_proj.weight")));
    ASSERT_EQ(values.size(), 16U * 16);
    for (size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i], load_test::golden_value(expert * 256 + static_cast<int64_t>(i)));
    }
  }
}

// The file with another number behind a key.
std::string with_number(std::string file, const std::string& key, char value) {
  const size_t at = file.find(key);
  EXPECT_NE(at, std::string::npos) << key;
  file[at + key.size() + 4] = value;  // behind the type
  return file;
}

TEST(Checkpoint, GgufExpertsMustFit) {
  const TemporaryFolder folder;
  const std::string file = read_file(kFolder + "experts.gguf");
  const auto refuses = [&](const std::string& key, char value,
                           std::initializer_list<std::string_view> parts) {
    folder.write("x.gguf", with_number(file, key, value));
    expect_error([&] { open_checkpoint(folder.file("x.gguf")); }, parts);
  };
  refuses("qwen2moe.expert_used_count", 5,
          {"x.gguf", "qwen2moe.expert_used_count", "is 5", "1 to 4"});
  refuses("qwen2moe.expert_used_count", 0, {"qwen2moe.expert_used_count", "is 0"});
  refuses("qwen2moe.expert_count", 3,
          {"x.gguf", "ffn_", "_exps.weight", "[4, 16, 16]", "3 experts"});
  refuses("qwen2moe.expert_count", 0, {"x.gguf", "_exps.weight", "0 experts"});
  refuses("qwen2moe.expert_feed_forward_length", 24,
          {"qwen2moe.expert_feed_forward_length", "is 24", "multiple of 16"});
}

TEST(Checkpoint, SplitGgufFromAnyPart) {
  for (const char* part : {"tiny-00001-of-00002.gguf", "tiny-00002-of-00002.gguf"}) {
    const auto checkpoint = open_checkpoint(kFolder + part);
    expect_tiny_llama(*checkpoint);
    EXPECT_TRUE(contains(checkpoint->describe(), "in 2 parts"));
  }
}

TEST(Checkpoint, SplitGgufMustBeComplete) {
  const TemporaryFolder folder;
  const std::string first = "tiny-00001-of-00002.gguf";
  const std::string second = "tiny-00002-of-00002.gguf";
  folder.write(first, read_file(kFolder + first));
  expect_error([&] { open_checkpoint(folder.file(first)); }, {second, "is missing"});
  folder.write(second, read_file(kFolder + first));
  expect_error([&] { open_checkpoint(folder.file(first)); },
               {"says it is part 1 of 2", "part 2 of 2"});
  folder.write("renamed.gguf", read_file(kFolder + first));
  expect_error([&] { open_checkpoint(folder.file("renamed.gguf")); }, {"says it is part 1 of 2"});
}

TEST(Checkpoint, ConfigsTellNamesAndShapes) {
  for (const char* name : {"llama", "llama-tied-wide-heads", "qwen2", "qwen3-sharded", "mixtral",
                           "qwen2-moe", "qwen3-moe", "qwen3-moe-every-second", "deepseek"}) {
    SCOPED_TRACE(name);
    expect_all_tensors(*open_checkpoint(cat(SPATE_SOURCE_DIR "/tests/golden/models/", name)));
  }
}

TEST(Checkpoint, DefaultModelIsFullyNamed) {
  if (!file_exists(kDefaultModel)) GTEST_SKIP() << "no default model: run make model";
  const auto checkpoint = open_checkpoint(kDefaultModel);
  const auto tensors = checkpoint->tensors();
  EXPECT_EQ(tensors.size(), 272U);
  const Config& config = checkpoint->config();
  expect_all_tensors(*checkpoint);
  EXPECT_EQ(config.architecture, "llama");
  EXPECT_EQ(config.layers, 30);
  EXPECT_EQ(config.width, 576);
  EXPECT_EQ(config.heads, 9);
  EXPECT_EQ(config.kv_heads, 3);
  EXPECT_EQ(config.head_width, 64);
  EXPECT_EQ(config.inner_width, 1536);
  EXPECT_EQ(config.vocabulary, 49152);
  EXPECT_EQ(config.rope_theta, 100000.0);
  EXPECT_TRUE(config.tied_embeddings);
  EXPECT_TRUE(config.rope_neighbours);
  EXPECT_EQ(checkpoint->generation().end_tokens, (std::vector<Token>{2}));
  EXPECT_EQ(found(*checkpoint, "model.embed_tokens.weight").format, &kQ8_0);
  EXPECT_EQ(found(*checkpoint, "model.layers.29.mlp.down_proj.weight").shape, (Shape{576, 1536}));
}

TEST(Checkpoint, UnknownArchitectureListsTheKnown) {
  const std::string path = kModels + "ggml-vocab-gpt-2.gguf";
  if (!file_exists(path)) GTEST_SKIP() << path << " is not there: run make test-data";
  expect_error([&] { open_checkpoint(path); },
               {path, "\"gpt2\"", "those that can be run are llama, qwen2, qwen3"});
}

void expect_tiny_qwen3(const Checkpoint& checkpoint) {
  const Config& config = checkpoint.config();
  EXPECT_EQ(config.architecture, "qwen3");
  EXPECT_EQ(config.head_width, 8);
  EXPECT_TRUE(config.qk_norm);
  EXPECT_FALSE(config.qkv_bias || config.rope_neighbours || config.tied_embeddings);
  EXPECT_EQ(config.dtype, "bf16");
  EXPECT_EQ(checkpoint.generation().end_tokens, (std::vector<Token>{5, 6}));
  EXPECT_EQ(checkpoint.generation().temperature, 0.6);
  EXPECT_EQ(checkpoint.generation().top_k, 20);
  EXPECT_EQ(checkpoint.generation().sample, true);
  const auto tensors = checkpoint.tensors();
  EXPECT_EQ(tensors.size(), 3U + 2 * 11);
  std::set<const Format*> formats;
  for (const TensorInfo& tensor : tensors) {
    SCOPED_TRACE(tensor.name);
    EXPECT_TRUE(config_expects_tensor(config, tensor.name));
    expect_golden_values(found(checkpoint, tensor.name));
    formats.insert(tensor.format);
  }
  EXPECT_EQ(formats, (std::set<const Format*>{&kF32, &kF16, &kBf16}));
  EXPECT_EQ(found(checkpoint, "model.layers.0.self_attn.k_proj.weight").shape, (Shape{16, 16}));
  EXPECT_EQ(checkpoint.gguf(), nullptr);
}

TEST(Checkpoint, HuggingFaceFolder) {
  const auto checkpoint = open_checkpoint(kFolder + "tiny");
  expect_tiny_qwen3(*checkpoint);
  EXPECT_TRUE(contains(checkpoint->describe(), "safetensors in 1 file, 25 tensors"));
}

TEST(Checkpoint, HuggingFaceFolderInShards) {
  const auto checkpoint = open_checkpoint(kFolder + "sharded");
  expect_tiny_qwen3(*checkpoint);
  EXPECT_TRUE(contains(checkpoint->describe(), "safetensors in 2 files"));
}

TEST(Checkpoint, ShardsMustBeCompleteAndHonest) {
  const TemporaryFolder folder;
  folder.copy(kFolder + "sharded");
  const std::string index = "model.safetensors.index.json";
  const std::string first = "model-00001-of-00002.safetensors";
  const std::string text = read_file(folder.file(index));

  std::filesystem::remove(folder.file(first));
  expect_error([&] { open_checkpoint(folder.path()); }, {index, first, "not in the folder"});
  folder.copy(kFolder + "sharded");

  folder.write(index, R"({"weight_map": {"absent.weight": ")" + first + "\"}}");
  expect_error([&] { open_checkpoint(folder.path()); }, {index, "absent.weight", "it has not"});
  folder.write(index, R"({"weight_map": {"a.weight": "../secret.safetensors"}})");
  expect_error([&] { open_checkpoint(folder.path()); }, {"weight_map.a.weight", "same folder"});
  folder.write(index, R"({"weight_map": []})");
  expect_error([&] { open_checkpoint(folder.path()); }, {index, "weight_map"});
  folder.write(index, R"({"weight_map": {}})");
  expect_error([&] { open_checkpoint(folder.path()); }, {index, "empty"});
  folder.write(index, "{");
  expect_error([&] { open_checkpoint(folder.path()); }, {index, "offset"});
  folder.write("model-00002-of-00002.safetensors", read_file(folder.file(first)));
  folder.write(index, text);
  expect_error([&] { open_checkpoint(folder.path()); }, {"two tensors named"});
}

TEST(Checkpoint, UntiedFolderNeedsItsHead) {
  const TemporaryFolder folder;
  folder.copy(kFolder + "tiny");
  std::string weights = read_file(folder.file("model.safetensors"));
  const size_t at = weights.find("\"lm_head.weight\"");
  ASSERT_NE(at, std::string::npos);
  weights.replace(at, 16, "\"ln_head.weight\"");
  folder.write("model.safetensors", weights);
  expect_error([&] { open_checkpoint(folder.path()); },
               {"no tensor \"lm_head.weight\"", "tie_word_embeddings"});
}

TEST(OpenCheckpoint, SaysWhatWasFoundAndWhatIsExpected) {
  const TemporaryFolder folder;
  expect_error([&] { open_checkpoint(""); }, {"empty"});
  expect_error([&] { open_checkpoint(folder.path()); }, {"a folder without config.json"});
  folder.write("weights.bin", "x");
  expect_error([&] { open_checkpoint(folder.file("weights.bin")); },
               {"a file of another kind", "expected a .gguf file"});
  expect_error([&] { open_checkpoint(folder.file("absent.gguf")); }, {"no such file or folder"});
  folder.write("empty.gguf", "");
  expect_error([&] { open_checkpoint(folder.file("empty.gguf")); }, {"not a GGUF file"});
  folder.write("config.json", read_file(kFolder + "tiny/config.json"));
  expect_error([&] { open_checkpoint(folder.path()); },
               {"neither model.safetensors nor model.safetensors.index.json"});
  expect_error([&] { open_checkpoint("Some-Org/Some-Model-1B"); },
               {"hf download Some-Org/Some-Model-1B --local-dir Some-Org/Some-Model-1B"});
  EXPECT_FALSE(
      contains(load_test::error_of([&] { open_checkpoint("/absent/model"); }), "hf download"));
}

TEST(TensorNames, Translation) {
  EXPECT_EQ(translate_gguf_name("token_embd.weight"), "model.embed_tokens.weight");
  EXPECT_EQ(translate_gguf_name("output.weight"), "lm_head.weight");
  EXPECT_EQ(translate_gguf_name("output_norm.weight"), "model.norm.weight");
  EXPECT_EQ(translate_gguf_name("blk.12.attn_k.bias"), "model.layers.12.self_attn.k_proj.bias");
  EXPECT_EQ(translate_gguf_name("blk.0.ffn_norm.weight"),
            "model.layers.0.post_attention_layernorm.weight");
  EXPECT_EQ(translate_gguf_name("blk.3.attn_q_norm.weight"),
            "model.layers.3.self_attn.q_norm.weight");
  for (const char* unknown :
       {"blk.0.ffn_gate_exp.weight", "blk.x.attn_q.weight", "blk.attn_q.weight",
        "blk.01.attn_q.weight", "blk.-1.attn_q.weight", "blk.", "weight", "",
        "blk.99999999999999999999.attn_q.weight", "attn_q.weight", "blk.0.attn_q.scale"}) {
    EXPECT_EQ(translate_gguf_name(unknown), unknown);
  }
}

TEST(TensorNames, OfExperts) {
  EXPECT_EQ(translate_gguf_name("blk.2.ffn_gate_inp.weight"), "model.layers.2.mlp.gate.weight");
  EXPECT_EQ(translate_gguf_name("blk.2.ffn_up_exps.weight"),
            "model.layers.2.mlp.experts.*.up_proj.weight");
  EXPECT_EQ(translate_gguf_name("blk.2.ffn_down_shexp.weight"),
            "model.layers.2.mlp.shared_expert.down_proj.weight");
  EXPECT_EQ(expert_name("model.layers.2.mlp.experts.*.up_proj.weight", 12),
            "model.layers.2.mlp.experts.12.up_proj.weight");
  EXPECT_EQ(expert_name("model.norm.weight", 12), "model.norm.weight");
  EXPECT_EQ(translate_hugging_face_name("model.layers.7.block_sparse_moe.gate.weight"),
            "model.layers.7.mlp.gate.weight");
  EXPECT_EQ(translate_hugging_face_name("model.layers.7.block_sparse_moe.experts.15.w3.weight"),
            "model.layers.7.mlp.experts.15.up_proj.weight");
  EXPECT_EQ(translate_hugging_face_name("model.layers.7.mlp.shared_experts.up_proj.weight"),
            "model.layers.7.mlp.shared_expert.up_proj.weight");
  for (const char* same :
       {"model.layers.7.mlp.experts.3.up_proj.weight", "model.layers.7.self_attn.q_proj.bias",
        "model.layers.x.block_sparse_moe.gate.weight", "lm_head.weight", "",
        "model.layers.7.block_sparse_moe.experts.x.w1.weight", "model.layers.7."}) {
    EXPECT_EQ(translate_hugging_face_name(same), same);
  }
  const auto checkpoint = open_checkpoint(SPATE_SOURCE_DIR "/tests/golden/models/qwen2-moe");
  const Config& config = checkpoint->config();
  EXPECT_TRUE(config_expects_tensor(config, "model.layers.0.mlp.experts.5.up_proj.weight"));
  EXPECT_TRUE(config_expects_tensor(config, "model.layers.1.mlp.up_proj.weight"));
  for (const char* absent :
       {"model.layers.0.mlp.experts.6.up_proj.weight", "model.layers.0.mlp.up_proj.weight",
        "model.layers.1.mlp.experts.5.up_proj.weight", "model.layers.1.mlp.gate.weight",
        "model.layers.0.mlp.experts.*.up_proj.weight",
        "model.layers.1.mlp.shared_expert_gate.weight",
        "model.layers.0.mlp.experts.5.up_proj.bias"}) {
    EXPECT_FALSE(config_expects_tensor(config, absent)) << absent;
  }
}

TEST(Checkpoint, OneTensorForQueriesKeysAndValuesIsCut) {
  const std::string folder = std::string(SPATE_SOURCE_DIR) + "/tests/golden/models/bailing";
  const auto checkpoint = open_checkpoint(folder);
  EXPECT_FALSE(checkpoint->has("model.layers.0.self_attn.query_key_value.weight"));
  const auto k = checkpoint->find("model.layers.1.self_attn.k_proj.weight", Shape{32, 32});
  ASSERT_TRUE(k.has_value());
  EXPECT_EQ(k->shape, Shape({32, 32}));
  EXPECT_EQ(k->bytes.size(), 32U * 32 * 2);
  EXPECT_EQ(checkpoint->find("model.layers.1.self_attn.v_proj.bias", Shape{32})->shape, Shape{32});

  // A linear layer has as many keys as queries.
  const auto hybrid = open_checkpoint(folder + "-moe-linear2");
  EXPECT_TRUE(hybrid->find("model.layers.1.self_attn.k_proj.weight", Shape{96, 32}).has_value());
  EXPECT_TRUE(hybrid->find("model.layers.2.self_attn.k_proj.weight", Shape{32, 32}).has_value());
  for (const char* own : {"g_proj.weight", "g_norm.weight"}) {
    EXPECT_TRUE(hybrid->has(cat("model.layers.1.self_attn.", own)));
    EXPECT_TRUE(config_expects_tensor(hybrid->config(), cat("model.layers.1.self_attn.", own)));
    EXPECT_FALSE(config_expects_tensor(hybrid->config(), cat("model.layers.2.self_attn.", own)));
  }

  const TemporaryFolder other;
  std::string config = read_file(folder + "/config.json");
  const std::string heads = "\"num_key_value_heads\": 2";
  config.replace(config.find(heads), heads.size(), "\"num_key_value_heads\": 1");
  other.write("config.json", config);
  other.write("model.safetensors", read_file(folder + "/model.safetensors"));
  const std::string error = load_test::error_of([&] { open_checkpoint(other.path()); });
  EXPECT_TRUE(contains(error, "query_key_value")) << error;
  EXPECT_TRUE(contains(error, "expected 96 rows")) << error;
}

}  // namespace
}  // namespace spate
