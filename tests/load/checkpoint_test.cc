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

TEST(Checkpoint, ConfigsTellNamesAndShapes) {
  for (const char* name : {"llama", "llama-tied-wide-heads", "qwen2", "qwen3-sharded"}) {
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
  expect_error([&] { open_checkpoint(path); }, {path, "\"gpt2\"", "known are llama, qwen2, qwen3"});
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
       {"blk.0.ffn_gate_inp.weight", "blk.x.attn_q.weight", "blk.attn_q.weight",
        "blk.01.attn_q.weight", "blk.-1.attn_q.weight", "blk.", "weight", "",
        "blk.99999999999999999999.attn_q.weight", "attn_q.weight", "blk.0.attn_q.scale"}) {
    EXPECT_EQ(translate_gguf_name(unknown), unknown);
  }
}

}  // namespace
}  // namespace spate
