// Random checkpoints: which tensors exist, that values follow from seed, name and index alone, and
// that they are distributed as promised.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/files.h"
#include "load/checkpoint.h"
#include "load/tensor_names.h"
#include "tests/load/support.h"

namespace spate {
namespace {

using load_test::decoded;
using load_test::kFolder;

TEST(RandomCheckpoint, HasExactlyWhatTheConfigNeeds) {
  const auto stored = open_checkpoint(kFolder + "tiny");
  const auto random = open_random_checkpoint(kFolder + "tiny/config.json", 1);
  for (const TensorInfo& tensor : stored->tensors())
    EXPECT_TRUE(random->has(tensor.name)) << tensor.name;
  for (const char* name :
       {"model.layers.2.input_layernorm.weight", "model.layers.0.self_attn.q_proj.bias",
        "model.layers.0.mlp.up_proj.bias", "lm_head.bias", "model.layers.0.self_attn.rotary.weight",
        "model.norm.bias", "", "model.layers.", "model.layers.0",
        "model.layers.00.mlp.up_proj.weight"}) {
    EXPECT_FALSE(random->has(name)) << name;
    EXPECT_FALSE(random->find(name, {4})) << name;
  }
  EXPECT_TRUE(random->tensors().empty());
  EXPECT_EQ(random->generation().end_tokens, (std::vector<Token>{5}));
}

// Of latent attention, with and without latents of queries, and with biases.
TEST(RandomCheckpoint, HasWhatLatentAttentionNeeds) {
  for (const char* model : {"deepseek2", "deepseek2-lite", "deepseek3", "deepseek3-experts"}) {
    SCOPED_TRACE(model);
    const std::string folder = cat(SPATE_SOURCE_DIR "/tests/golden/models/", model);
    const auto stored = open_checkpoint(folder);
    const auto random = open_random_checkpoint(folder, 1);
    const std::vector<ExpectedTensor> expected = expected_tensors(stored->config());
    EXPECT_EQ(expected.size(), stored->tensors().size());
    for (const ExpectedTensor& tensor : expected) {
      const auto found = stored->find(tensor.name, tensor.shape);
      ASSERT_TRUE(found) << tensor.name;
      EXPECT_EQ(found->shape, tensor.shape) << tensor.name;
      EXPECT_TRUE(random->has(tensor.name)) << tensor.name;
      int64_t placed = 0;
      for (const Shape& shape : tensor.placed) placed += shape.elements();
      EXPECT_EQ(placed, tensor.placed.empty() ? 0 : tensor.shape.elements()) << tensor.name;
    }
  }
}

TEST(RandomCheckpoint, ValuesFollowFromSeedNameAndIndex) {
  const auto one = open_random_checkpoint(kFolder + "tiny", 1);
  const auto again = open_random_checkpoint(kFolder + "tiny", 1);
  const auto other = open_random_checkpoint(kFolder + "tiny", 2);
  const Shape shape{1000, 1003};  // several pieces, the last one ragged
  const auto bytes = [&](const Checkpoint& from, const char* name, Shape wanted) {
    const HostTensor tensor = with_bytes(from.find(name, wanted).value());
    EXPECT_EQ(tensor.shape, wanted);
    EXPECT_EQ(tensor.format, &kBf16);
    return std::string(reinterpret_cast<const char*>(tensor.bytes.data()), tensor.bytes.size());
  };
  const std::string up = bytes(*one, "model.layers.0.mlp.up_proj.weight", shape);
  EXPECT_EQ(up.size(), 2U * 1000 * 1003);
  EXPECT_TRUE(up == bytes(*again, "model.layers.0.mlp.up_proj.weight", shape));
  EXPECT_FALSE(up == bytes(*other, "model.layers.0.mlp.up_proj.weight", shape));
  EXPECT_FALSE(up == bytes(*one, "model.layers.1.mlp.up_proj.weight", shape));
  // The shape says how many values there are, not what they are: a small tensor is made by one
  // thread, and is the beginning of the large one that several threads made.
  const std::string few = bytes(*one, "model.layers.0.mlp.up_proj.weight", {7, 3});
  EXPECT_TRUE(up.compare(0, few.size(), few) == 0);
}

TEST(RandomCheckpoint, Distribution) {
  const auto random = open_random_checkpoint(kFolder + "tiny", 3);
  const auto moments = [&](const char* name) {
    double sum = 0, squares = 0;
    const std::vector<float> values = decoded(random->find(name, {512, 512}).value());
    for (const double value : values) {
      sum += value;
      squares += value * value;
    }
    const double mean = sum / static_cast<double>(values.size());
    return std::pair(mean, std::sqrt(squares / static_cast<double>(values.size()) - mean * mean));
  };
  const auto [mean, deviation] = moments("model.layers.0.mlp.up_proj.weight");
  EXPECT_NEAR(mean, 0, 2e-4);
  EXPECT_NEAR(deviation, 0.02, 2e-4);
  EXPECT_NEAR(moments("model.layers.0.self_attn.q_norm.weight").first, 1, 1e-3);
  EXPECT_NEAR(moments("model.layers.0.input_layernorm.weight").first, 1, 1e-3);
}

// The values were worked out by a separate Python program.
TEST(RandomCheckpoint, FirstValuesNeverChange) {
  const auto random = open_random_checkpoint(kFolder + "tiny", 42);
  const HostTensor tensor = with_bytes(random->find("model.norm.weight", {6}).value());
  uint16_t bits[6];
  std::memcpy(bits, tensor.bytes.data(), sizeof bits);
  EXPECT_EQ(std::vector<uint16_t>(bits, bits + 6),
            (std::vector<uint16_t>{16253, 16261, 16259, 16257, 16257, 16254}));
}

TEST(RandomCheckpoint, FromTheMetadataOfAGgufFile) {
  const auto random = open_random_checkpoint(kFolder + "tiny.gguf", 1);
  EXPECT_EQ(random->config().layers, 2);
  EXPECT_TRUE(random->config().rope_neighbours);
  EXPECT_TRUE(random->has("lm_head.weight"));
  EXPECT_NE(random->gguf(), nullptr);
  load_test::expect_error([] { open_random_checkpoint("/absent/model.gguf", 1); },
                          {"no such file"});
  load_test::expect_error([] { open_random_checkpoint("/absent/config.json", 1); },
                          {"cannot open"});
}

}  // namespace
}  // namespace spate
