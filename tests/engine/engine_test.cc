// The engine as its callers see it: finish reasons, errors, cancel, order of events, plans.
#include <gtest/gtest.h>

#include "engine/model_files.h"
#include "engine/plan.h"
#include "tests/support/devices.h"
#include "tests/support/generate.h"

namespace spate {
namespace {

ModelFiles tiny() { return open_model_files(SPATE_SOURCE_DIR "/tests/golden/models/llama"); }

EngineOptions small() {
  EngineOptions options;
  options.backend.device = "cpu";
  options.kv_cache_tokens = 128;
  options.backend.threads = 1;
  return options;
}

Request request_of(uint64_t id, std::vector<Token> prompt, int64_t max_tokens) {
  Request request{.id = id, .key = id, .prompt = std::move(prompt)};
  request.params.temperature = 0;
  request.params.max_tokens = max_tokens;
  request.params.ignore_eos = true;
  return request;
}

std::string error_of(const EngineOptions& options) {
  try {
    Engine engine(tiny(), options);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Engine, FinishReasons) {
  std::vector<Request> requests;
  requests.push_back(request_of(1, {5, 6, 7}, 4));
  requests.push_back(request_of(2, {5, 6, 7}, 0));  // as many as the context holds
  requests.push_back(request_of(3, {}, 4));
  requests.push_back(request_of(4, std::vector<Token>(500, 9), 4));
  const auto out = generate(tiny(), small(), requests);
  EXPECT_EQ(out.at({1, 0}).finish->reason, FinishReason::length);
  EXPECT_EQ(out.at({1, 0}).tokens.size(), 4U);
  EXPECT_EQ(out.at({2, 0}).finish->reason, FinishReason::context_length);
  EXPECT_EQ(out.at({2, 0}).tokens.size(), 125U);
  EXPECT_EQ(out.at({3, 0}).finish->code, "empty_prompt");
  EXPECT_EQ(out.at({4, 0}).finish->code, "prompt_too_long");
  EXPECT_NE(out.at({4, 0}).finish->text.find("500"), std::string::npos);
}

TEST(Engine, EndTokenAndStopTokenEndTheRow) {
  const auto free_run = generate(tiny(), small(), {request_of(1, {5, 6, 7}, 20)});
  const std::vector<Token> tokens = free_run.at({1, 0}).tokens;
  Request request = request_of(1, {5, 6, 7}, 20);
  request.params.stop_tokens = {tokens[3]};
  const auto stopped = generate(tiny(), small(), {request});
  const Generated& found = stopped.at({1, 0});
  EXPECT_EQ(found.finish->reason, FinishReason::stop);
  EXPECT_EQ(found.tokens.back(), tokens[3]);
  EXPECT_LE(found.tokens.size(), 4U);
  // With min_tokens the stop token is not drawn before so many are out.
  request.params.min_tokens = 10;
  const auto late = generate(tiny(), small(), {request});
  EXPECT_GE(late.at({1, 0}).tokens.size(), 10U);
  for (size_t i = 0; i < 10; ++i) EXPECT_NE(late.at({1, 0}).tokens[i], tokens[3]);
}

// The cache holds one of these rows at a time, so the last one still waits when the cancel comes.
TEST(Engine, CancelEndsARowAndOthersGoOn) {
  constexpr uint64_t kRows = 40;
  Engine engine(tiny(), small());
  for (uint64_t id = 1; id <= kRows; ++id) engine.submit(request_of(id, {5, 6, 7}, 100));
  engine.cancel(kRows);
  engine.close();
  std::map<uint64_t, FinishReason> finished;
  while (!engine.finished()) {
    for (const Event& event : engine.next_events()) {
      if (event.finish) finished[event.request] = event.finish->reason;
    }
  }
  ASSERT_EQ(finished.size(), kRows);
  for (const auto& [id, reason] : finished) {
    EXPECT_EQ(reason, id == kRows ? FinishReason::cancelled : FinishReason::length) << id;
  }
}

TEST(Engine, CanBeDroppedWhileItRuns) {
  Engine engine(tiny(), small());
  for (uint64_t id = 0; id < 50; ++id) engine.submit(request_of(id, {1, 2, 3}, 100));
  engine.next_events();
}

TEST(Engine, EmptyCloseFinishes) {
  Engine engine(tiny(), small());
  engine.close();
  while (!engine.finished()) engine.next_events();
}

TEST(Engine, PlansThatDoNotFitSayWhatDoes) {
  EngineOptions options = small();
  options.kv_cache_tokens = int64_t{1} << 40;
  EXPECT_NE(error_of(options).find("tokens fit"), std::string::npos) << error_of(options);
  options = small();
  options.max_model_len = 100000;
  EXPECT_NE(error_of(options).find("256 positions"), std::string::npos) << error_of(options);
  options = small();
  options.memory_utilization = 1e-9;
  options.kv_cache_tokens = 0;
  EXPECT_NE(error_of(options).find("does not fit"), std::string::npos) << error_of(options);
}

// States of rows and snapshots are planned before anything is loaded.
TEST(Engine, StatesArePlanned) {
  const ModelFiles files =
      open_model_files(SPATE_SOURCE_DIR "/tests/golden/models/bailing-moe-linear2");
  const auto backend = open_cpu_backend({.threads = 1});
  EngineOptions options = small();
  options.max_num_seqs = 40;
  MemoryPlan plan = plan_memory(*files.checkpoint, *backend, options);
  EXPECT_EQ(plan.bytes_per_state, 4 * 6 * 16 * 16 * 4) << "4 layers, 6 heads";
  EXPECT_EQ(plan.row_states, 40);
  EXPECT_EQ(plan.snapshots, 10);
  EXPECT_EQ(plan.state_bytes, 50 * plan.bytes_per_state);
  options.share_prefixes = false;
  EXPECT_EQ(plan_memory(*files.checkpoint, *backend, options).snapshots, 0);
  options.state_type = DType::bf16;
  EXPECT_EQ(plan_memory(*files.checkpoint, *backend, options).state_bytes,
            40 * plan.bytes_per_state / 2);

  // What does not fit is refused with what would; where the number is open it is what fits.
  options = small();
  options.kv_cache_tokens = 0;
  options.max_num_seqs = int64_t{1} << 40;
  const auto refusal = [&]() -> std::string {
    try {
      plan_memory(*files.checkpoint, *backend, options);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_NE(refusal().find("does not fit"), std::string::npos) << refusal();
  options.max_num_seqs = 0;
  const auto utilization = [&](int64_t left) {
    return static_cast<double>(plan.weights + plan.workspace + left) /
           static_cast<double>(backend->memory().free);
  };
  options.memory_utilization = utilization(8 << 20);
  plan = plan_memory(*files.checkpoint, *backend, options);
  EXPECT_EQ(plan.row_states, plan.max_rows);
  EXPECT_LE(plan.state_bytes, plan.budget - plan.weights - plan.workspace);
  EXPECT_GT(plan.kv_tokens, 0);
  options.max_num_seqs = 64;
  options.memory_utilization = utilization(1 << 20);
  EXPECT_NE(refusal().find("states of 64 rows"), std::string::npos) << refusal();
}

TEST(Engine, ACacheOfEightBitsSaysWhatItNeeds) {
  EngineOptions options = small();
  options.kv_type = DType::e4m3;
  options.backend.device = "cpu";
  EXPECT_NE(error_of(options).find("needs a GPU"), std::string::npos) << error_of(options);
  if (!test::has_gpu()) return;
  options.backend.device = "0";
  try {
    Engine engine(open_model_files(SPATE_SOURCE_DIR "/tests/golden/models/deepseek2"), options);
    ADD_FAILURE() << "a cache of latents in eight bits";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("latents"), std::string::npos) << error.what();
  }
}

TEST(Engine, RandomWeightsNeedOnlyAConfig) {
  const std::string config = SPATE_SOURCE_DIR "/tests/golden/models/qwen3/config.json";
  const auto run = [&](uint64_t seed) {
    return generate(open_model_files(config, RandomWeights{seed}), small(),
                    {request_of(1, {5, 6, 7}, 12)})
        .at({1, 0})
        .tokens;
  };
  EXPECT_EQ(run(1), run(1));
  EXPECT_NE(run(1), run(2));
}

TEST(Engine, StatsAddUp) {
  EngineStats stats;
  EngineOptions options = small();
  generate(tiny(), options, {request_of(1, {5, 6, 7}, 10), request_of(2, {1, 2}, 4)}, &stats);
  EXPECT_EQ(stats.output_tokens, 14);
  EXPECT_EQ(stats.prompt_tokens, 5);
  int64_t steps = 0, drawn = 0;
  for (int64_t count : stats.steps_by_rows) steps += count;
  for (const StepSlice& slice : stats.slices) drawn += slice.output_tokens;
  EXPECT_EQ(steps, stats.steps);
  EXPECT_EQ(drawn, 14);
  EXPECT_EQ(stats.scheduler.running, 0);
  EXPECT_TRUE(stats.profile.empty());
}

}  // namespace
}  // namespace spate
