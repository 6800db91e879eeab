// Memory of a GPU: an engine takes the share that it is told to, stays within it while it runs, and
// refuses what does not fit before it loads anything.
#include <gtest/gtest.h>

#include <fstream>

#include "backend/cuda/devices.h"
#include "base/clock.h"
#include "engine/model_files.h"
#include "tests/support/devices.h"
#include "tests/support/generate.h"

namespace spate {
namespace {

using test::has_gpu;
using test::reason_without_gpu;

// Random weights of a model with a small vocabulary and large keys and values.
ModelFiles random_model(int64_t width, int64_t layers) {
  const std::string path = testing::TempDir() + cat("gpu_memory_", width, "_", layers, ".json");
  std::ofstream(path) << cat(
      R"({"architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "bfloat16",)",
      R"("vocab_size": 4096, "hidden_size": )", width, R"(, "intermediate_size": )", 3 * width,
      R"(, "num_hidden_layers": )", layers,
      R"(, "num_attention_heads": 8, "num_key_value_heads": 8, "head_dim": 128,)",
      R"("max_position_embeddings": 16384, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,)",
      R"("hidden_act": "silu", "tie_word_embeddings": true})");
  return open_model_files(path, RandomWeights{1});
}

double used_share() {
  const size_t total = list_cuda_devices().devices.at(0).total_bytes;
  return 1 -
         static_cast<double>(examine_cuda_device(0, false).free_bytes) / static_cast<double>(total);
}

EngineOptions on_gpu(std::optional<double> share) {
  EngineOptions options;
  options.backend.device = "0";
  options.memory_utilization = share;
  return options;
}

// Prompts and outputs of many lengths, so that steps of many shapes are run and recorded.
void use(Engine& engine) {
  for (uint64_t id = 0; id < 300; ++id) {
    Request request{.id = id, .key = id};
    request.prompt.assign(1 + id % 97 * 7, static_cast<Token>(id));
    request.params.max_tokens = static_cast<int64_t>(1 + id % 40);
    request.params.ignore_eos = true;
    request.params.temperature = id % 3 == 0 ? 0 : 1;
    request.params.top_p = id % 2 == 0 ? 0.9 : 1;
    if (id % 10 == 0) request.params.logprobs = 5;
    engine.submit(std::move(request));
  }
  engine.close();
  while (!engine.finished()) engine.next_events();
}

TEST(GpuMemory, TheShareAskedForIsInUse) {
  if (!has_gpu()) GTEST_SKIP() << reason_without_gpu();
  for (const std::optional<double> share : {std::optional<double>(), std::optional(0.5)}) {
    Engine engine(random_model(1024, 8), on_gpu(share));
    const double wanted = share.value_or(0.92);
    const double before = used_share();
    EXPECT_NEAR(before, wanted, 0.01);
    use(engine);
    const double after = used_share();
    EXPECT_GE(after, before);
    EXPECT_LE(after, wanted) << "kernels and recordings took more than was left for them";
    std::printf("share %.2f: %.4f of the memory is in use after the start, %.4f after a run\n",
                wanted, before, after);
  }
}

TEST(GpuMemory, WhatDoesNotFitIsRefusedBeforeLoading) {
  if (!has_gpu()) GTEST_SKIP() << reason_without_gpu();
  const auto error_of = [](const ModelFiles& files, const EngineOptions& options) {
    const Stopwatch watch;
    try {
      Engine engine(files, options);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::memory);
      EXPECT_LT(watch.seconds(), 2);
      return std::string(error.what());
    }
    return std::string();
  };
  const double before = used_share();
  const std::string large = error_of(random_model(16384, 200), on_gpu({}));
  EXPECT_NE(large.find("does not fit: the budget is "), std::string::npos) << large;
  EXPECT_NE(large.find("weights need "), std::string::npos) << large;
  const std::string scarce = error_of(random_model(1024, 8), on_gpu(0.001));
  EXPECT_NE(scarce.find("--memory-utilization 0."), std::string::npos) << scarce;
  EngineOptions options = on_gpu({});
  options.kv_cache_tokens = int64_t{1} << 40;
  const std::string cache = error_of(random_model(1024, 8), options);
  EXPECT_NE(cache.find(" tokens fit"), std::string::npos) << cache;
  EXPECT_NEAR(used_share(), before, 0.01);
}

}  // namespace
}  // namespace spate
