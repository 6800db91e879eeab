// Rows that begin alike, on a GPU that reads their shared keys once: they draw what each draws
// alone, up to near ties.
#include <gtest/gtest.h>

#include <fstream>

#include "base/random.h"
#include "engine/model_files.h"
#include "tests/support/devices.h"
#include "tests/support/generate.h"
#include "tests/support/near_ties.h"

namespace spate {
namespace {

// Heads of the width that tensor cores take.
ModelFiles small_model() {
  const std::string path = testing::TempDir() + "/shared_keys_config.json";
  std::ofstream(path) << R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama",
      "vocab_size": 500, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3,
      "num_attention_heads": 8, "num_key_value_heads": 2, "head_dim": 64,
      "max_position_embeddings": 1024, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
      "tie_word_embeddings": false, "torch_dtype": "bfloat16"})";
  return open_model_files(path, RandomWeights{3});
}

std::vector<Token> random_tokens(uint64_t key, size_t count) {
  std::vector<Token> tokens;
  for (size_t i = 0; i < count; ++i) {
    tokens.push_back(static_cast<Token>(philox(key, i).word[0] % 500));
  }
  return tokens;
}

// Two families of prompts that share 150 tokens, of which one goes on alike up to 400, and samples
// of one prompt. All greedy.
std::vector<Request> requests() {
  const std::vector<Token> system = random_tokens(1, 150), longer = random_tokens(2, 250);
  std::vector<Request> out;
  for (uint64_t id = 0; id < 60; ++id) {
    Request request{.id = id, .key = id, .prompt = system};
    const auto append = [&](const std::vector<Token>& tokens) {
      request.prompt.insert(request.prompt.end(), tokens.begin(), tokens.end());
    };
    if (id % 2 == 0) append(longer);
    append(random_tokens(100 + id, 1 + id));
    request.params.temperature = 0;
    request.params.max_tokens = static_cast<int64_t>(10 + id % 7 * 5);
    request.params.ignore_eos = true;
    request.params.logprobs = 2;
    request.params.n = id == 10 ? 20 : 1;
    out.push_back(std::move(request));
  }
  return out;
}

TEST(SharedKeysOnAGpu, RowsDrawWhatTheyDrawAlone) {
  if (!test::has_gpu()) GTEST_SKIP() << "no GPU";
  const ModelFiles files = small_model();
  EngineOptions alone;
  alone.backend = {.device = "0", .activation = DType::bf16, .deterministic = true};
  alone.kv_cache_tokens = 60000;
  alone.share_prefixes = false;
  const auto expected = generate(files, alone, requests());
  for (const bool recorded : {true, false}) {
    for (const bool ahead : {true, false}) {
      SCOPED_TRACE(cat("recorded ", recorded, ", ahead ", ahead));
      EngineOptions options = alone;
      options.backend.deterministic = false;
      options.share_prefixes = true;
      options.graphs = recorded;
      options.ahead = ahead;
      const auto found = generate(files, options, requests());
      ASSERT_EQ(found.size(), expected.size());
      size_t common = 0, all = 0;
      for (const auto& [key, want] : expected) {
        SCOPED_TRACE(cat("request ", key.first, ", sample ", key.second));
        common += expect_parting_at_a_tie(found.at(key), want, 0.1);
        all += want.tokens.size();
      }
      EXPECT_GT(common, all / 2) << "of " << all;
    }
  }
}

}  // namespace
}  // namespace spate
