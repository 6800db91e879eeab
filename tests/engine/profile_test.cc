// Profiles and traces of an engine: every op is counted, and the picture holds every step.
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "engine/model_files.h"
#include "engine/step_trace.h"
#include "tests/support/devices.h"
#include "tests/support/generate.h"
#include "tests/support/trace.h"

namespace spate {
namespace {

constexpr int64_t kLayers = 3, kQueryWidth = 32, kKeyWidth = 16;  // of the model below

Request request_of(uint64_t id, std::vector<Token> prompt, int64_t max_tokens) {
  Request request{.id = id, .key = id, .prompt = std::move(prompt)};
  request.params.temperature = 0;
  request.params.max_tokens = max_tokens;
  request.params.ignore_eos = true;
  return request;
}

const OpProfile& line_of(const EngineStats& stats, std::string_view op) {
  static const OpProfile none;
  for (const OpProfile& line : stats.profile) {
    if (line.name == op) return line;
  }
  ADD_FAILURE() << "no op " << op;
  return none;
}

class ProfileTest : public testing::TestWithParam<TestDevice> {
 protected:
  void SetUp() override {
    if (const std::string reason = reason_to_skip(GetParam()); !reason.empty()) {
      GTEST_SKIP() << reason;
    }
    options.backend = GetParam().options();
    options.backend.threads = 1;
    options.kv_cache_tokens = 1000;
    path = std::filesystem::temp_directory_path() / cat("spate-profile-", ::getpid(), ".json");
  }
  void TearDown() override { std::filesystem::remove(path); }

  EngineStats run(std::vector<Request> requests) {
    EngineStats stats;
    generate(open_model_files(SPATE_SOURCE_DIR "/tests/golden/models/llama"), options,
             std::move(requests), &stats);
    return stats;
  }

  EngineOptions options;
  std::filesystem::path path;
};

TEST_P(ProfileTest, CountsTheWorkOfEveryOp) {
  options.profile = DeviceRates{.read_bytes = 1e9, .matrix_ops = 1e9, .packed_ops = 1e9};
  options.ahead = false;
  const EngineStats stats = run({request_of(1, {5, 6, 7}, 10)});
  ASSERT_EQ(stats.steps, 10);
  const OpProfile& attention = line_of(stats, "attention");
  EXPECT_EQ(attention.calls, 10 * kLayers);
  // Three prompt tokens in one step, then one token a step with 4 to 12 keys.
  constexpr int64_t kPairs = 6 + 72, kKeys = 3 + 72, kTokens = 12;
  EXPECT_EQ(attention.flops, 4 * kPairs * kQueryWidth * kLayers);
  const auto activation = static_cast<int64_t>(size_of(GetParam().activation));
  EXPECT_EQ(attention.bytes,
            (2 * kTokens * kQueryWidth * activation + 2 * kKeys * kKeyWidth * 2) * kLayers);
  ASSERT_FALSE(attention.kernels.empty());
  int64_t chosen = 0;
  for (const OpProfile::Kernel& kernel : attention.kernels) chosen += kernel.calls;
  EXPECT_EQ(chosen, attention.calls);
  double seconds = 0;
  for (const OpProfile& line : stats.profile) {
    EXPECT_GT(line.seconds, 0) << line.name;
    EXPECT_GT(line.floor_seconds, 0) << line.name;
    seconds += line.seconds;
  }
  EXPECT_LT(seconds, stats.busy_seconds);
  EXPECT_GT(line_of(stats, "linear").flops, 0);
  EXPECT_EQ(line_of(stats, "draw").calls, 10);
}

TEST_P(ProfileTest, TraceHoldsEveryStep) {
  for (const bool profile : {false, true}) {
    for (const bool ahead : {false, true}) {
      Trace trace(path);
      options.trace = &trace;
      options.ahead = ahead;
      options.profile = profile ? std::optional(DeviceRates{}) : std::nullopt;
      const EngineStats stats =
          run({request_of(1, {5, 6, 7}, 30), request_of(2, {1, 2}, 20), request_of(3, {9}, 9)});
      trace.close();
      EXPECT_EQ(trace.problem(), "");

      const auto events = test::read_trace(path);
      const auto steps = test::events_of(events, "device steps", "begin");
      const auto ends = test::events_of(events, "device steps", "end");
      ASSERT_EQ(static_cast<int64_t>(steps.size()), stats.steps);
      ASSERT_EQ(ends.size(), steps.size());
      const auto given = test::events_of(events, "host engine", "begin");
      const auto taken = test::events_of(events, "host engine", "commit");
      ASSERT_EQ(given.size(), steps.size());
      ASSERT_EQ(taken.size(), steps.size());
      int64_t rows = 0;
      for (size_t i = 0; i < steps.size(); ++i) {
        EXPECT_EQ(steps[i].argument("step"), static_cast<int64_t>(i) + 1);
        rows += steps[i].argument("rows");
        EXPECT_GT(steps[i].argument("kv_used"), 0);
        // The device is not before the host, nor the host before the device.
        EXPECT_GE(steps[i].begin, given[i].begin - 0.01);
        EXPECT_LE(steps[i].end, ends[i].begin + 0.01);
        EXPECT_LE(ends[i].end, taken[i].begin + 0.01);
        if (i > 0) {
          EXPECT_LE(ends[i - 1].end, steps[i].begin + 0.01);
        }
      }
      EXPECT_EQ(rows, stats.rows);
      for (const char* lane : {"host engine", "host main", "device steps"}) {
        test::expect_nested(events, lane);
      }
      EXPECT_EQ(test::events_of(events, "device steps", "attention").size(),
                profile ? steps.size() * kLayers : 0);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, ProfileTest, test_devices(),
                         [](const auto& info) { return info.param.name; });

TEST(DeviceClock, StaysBetweenWhatTheHostSaw) {
  DeviceClock clock;
  EXPECT_DOUBLE_EQ(clock.place(0, 10, 12), 10);  // as early as can be
  EXPECT_DOUBLE_EQ(clock.place(0.5, 10.1, 12), 10.5);
  EXPECT_DOUBLE_EQ(clock.place(0.1, 20, 21), 20);  // not before it was given
  EXPECT_DOUBLE_EQ(clock.place(5, 20, 22), 22);    // not after it was seen
  EXPECT_DOUBLE_EQ(clock.place(1, 20, 24), 23);
  EXPECT_DOUBLE_EQ(clock.place(1, 20, 21), 23);  // never back
}

TEST(OpProfile, SubtractsCallsAndKernels) {
  OpRun op{.name = "attention", .kernels = {}, .bytes = 100, .flops = 10};
  op.kernels.add("prefill");
  std::vector<OpProfile> profile;
  const DeviceRates rates{.read_bytes = 100, .matrix_ops = 1000, .packed_ops = 10};
  add_op(profile, op, 2, rates);
  const std::vector<OpProfile> before = profile;
  op.kernels = {};
  op.kernels.add("decode");
  op.packed = true;
  op.flops = 40;
  add_op(profile, op, 6, rates);
  add_op(profile, {.name = "draw", .kernels = {}}, 1, rates);
  EXPECT_DOUBLE_EQ(profile[0].floor_seconds, 1 + 4);  // by bytes, then by operations
  subtract_ops(profile, before);
  ASSERT_EQ(profile.size(), 2U);
  EXPECT_EQ(profile[0].calls, 1);
  EXPECT_DOUBLE_EQ(profile[0].seconds, 6);
  ASSERT_EQ(profile[0].kernels.size(), 1U);
  EXPECT_EQ(profile[0].kernels[0].name, "decode");
}

TEST(RowExtent, CountsKeysAndPairs) {
  for (const int64_t window : {0, 1, 3, 8, 100}) {
    for (const int64_t begin : {0, 1, 5, 40}) {
      for (const int64_t count : {1, 2, 7}) {
        int64_t pairs = 0, first = begin + count;
        for (int64_t token = begin; token < begin + count; ++token) {
          for (int64_t key = 0; key <= token; ++key) {
            if (window > 0 && key <= token - window) continue;
            ++pairs;
            first = std::min(first, key);
          }
        }
        const RowExtent extent{begin, count};
        EXPECT_EQ(extent.pairs(window), pairs) << window << " " << begin << " " << count;
        EXPECT_EQ(extent.keys(window), begin + count - first) << window << " " << begin;
      }
    }
  }
}

}  // namespace
}  // namespace spate
