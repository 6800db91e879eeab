// Requests as their callers see them: refusals, ends, cancels, samples, prompt scores.
#include "tests/sched/fake_device.h"

namespace spate {
namespace {

SchedulerOptions small() {
  return {.kv_slots = 400, .max_rows = 8, .max_step_tokens = 64, .max_length = 200};
}

Finish refusal_of(Request request, SchedulerOptions options = small()) {
  const auto id = request.id;
  const int64_t samples = std::max<int64_t>(request.params.n, 1);
  Harness harness(options);
  harness.scheduler.add(std::move(request));
  harness.drain();
  EXPECT_EQ(harness.steps, 0);
  EXPECT_EQ(static_cast<int64_t>(harness.finished.size()), samples);
  return harness.at(id).finish.value_or(Finish{});
}

TEST(Requests, RefusalsSayWhatWasFoundAndWhatFits) {
  Request empty = plain_request(1, 0, 5);
  EXPECT_EQ(refusal_of(empty).code, "empty_prompt");

  Finish refused = refusal_of(plain_request(1, 200, 5));
  EXPECT_EQ(refused.reason, FinishReason::error);
  EXPECT_EQ(refused.code, "prompt_too_long");
  EXPECT_NE(refused.text.find("200"), std::string::npos) << refused.text;
  EXPECT_NE(refused.text.find("199"), std::string::npos) << refused.text;

  SchedulerOptions options = small();
  options.kv_slots = 100;
  refused = refusal_of(plain_request(1, 60, 50), options);
  EXPECT_EQ(refused.code, "out_of_kv");
  for (const char* number : {"60", "50", "109", "100"}) {
    EXPECT_NE(refused.text.find(number), std::string::npos) << refused.text;
  }
  EXPECT_EQ(refusal_of(plain_request(1, 60, 0), options).code, "out_of_kv");

  Request samples = plain_request(1, 300, 5);
  samples.params.n = 3;  // an error each
  EXPECT_EQ(refusal_of(samples).code, "prompt_too_long");
  for (const int64_t n : {0, -1}) {
    Request none = plain_request(1, 5, 5);
    none.params.n = n;
    EXPECT_EQ(refusal_of(none).code, "invalid_param");
  }
}

TEST(Requests, LiveIdsAreUniqueAndFinishedOnesFree) {
  Harness harness(small());
  harness.scheduler.add(plain_request(1, 5, 10));
  harness.scheduler.add(plain_request(1, 6, 10));
  const std::vector<Event> events = harness.scheduler.take_events();
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].finish->code, "duplicate_id");
  harness.drain();
  EXPECT_EQ(harness.at(1).tokens.size(), 10U);
  harness.out.clear();
  harness.scheduler.add(plain_request(1, 6, 4));
  harness.drain();
  EXPECT_EQ(harness.at(1).tokens.size(), 4U);
}

FinishReason reason_of(const Request& request) {
  Harness harness(small());
  harness.scheduler.add(request);
  harness.drain();
  const Output expected = generate_alone(request, 0, harness.options.max_length);
  EXPECT_EQ(harness.at(request.id).tokens, expected.tokens);
  return harness.at(request.id).finish->reason;
}

TEST(Requests, EveryWayToEnd) {
  EXPECT_EQ(reason_of(plain_request(1, 5, 12)), FinishReason::length);
  EXPECT_EQ(reason_of(plain_request(1, 5, 1)), FinishReason::length);
  EXPECT_EQ(reason_of(plain_request(1, 5, 0)), FinishReason::context_length);
  EXPECT_EQ(reason_of(plain_request(1, 5, 500)), FinishReason::context_length);
  EXPECT_EQ(reason_of(plain_request(1, 199, 0)), FinishReason::context_length);
  EXPECT_EQ(reason_of(plain_request(1, 199, 1)), FinishReason::length);
  EXPECT_EQ(reason_of(plain_request(1, 190, 10)), FinishReason::length);

  Request request = plain_request(2, 5, 190);
  request.params.ignore_eos = false;
  EXPECT_EQ(reason_of(request), FinishReason::stop);
  request.params.min_tokens = 30;
  EXPECT_EQ(reason_of(request), FinishReason::stop);
  request.params.ignore_eos = true;
  request.params.stop_tokens = {1, 2, 3};
  EXPECT_EQ(reason_of(request), FinishReason::stop);
  request.params.stop_tokens.clear();
  request.params.loop_stop = {.min_pattern = 1, .max_pattern = 8, .min_count = 4};
  EXPECT_EQ(reason_of(request), FinishReason::repetition);
}

TEST(Requests, AnEndTokenCountsOnlyAfterMinTokens) {
  // Every token is a stop token, so that the sampler cannot avoid one: the device's own rule is
  // switched off by asking the scheduler alone.
  Scheduler scheduler(small(), {kEnd});
  Request request = plain_request(1, 5, 50);
  request.params.ignore_eos = false;
  request.params.min_tokens = 3;
  scheduler.add(request);
  int tokens = 0;
  for (bool finished = false; !finished; ++tokens) {
    const Batch batch = scheduler.next();
    const std::vector<RowResult> results{{.sampled = {.token = kEnd}}};
    finished = scheduler.commit(batch, results).at(0).finish.has_value();
  }
  EXPECT_EQ(tokens, 4);
}

TEST(Requests, CancelEndsEverySampleOnce) {
  Harness harness(small());
  Request request = plain_request(1, 40, 100);
  request.params.n = 3;
  harness.scheduler.add(request);
  harness.scheduler.add(plain_request(2, 10, 30));
  harness.scheduler.cancel(77);  // unknown: nothing
  for (int i = 0; i < 5; ++i) harness.step();
  harness.scheduler.cancel(1);
  harness.scheduler.cancel(1);
  harness.drain();
  for (int sample = 0; sample < 3; ++sample) {
    EXPECT_EQ(harness.at(1, sample).finish->reason, FinishReason::cancelled);
  }
  EXPECT_EQ(harness.at(2).finish->reason, FinishReason::length);

  // Before its first step, and while a step runs.
  harness.scheduler.add(plain_request(3, 10, 30));
  harness.scheduler.cancel(3);
  harness.scheduler.add(plain_request(4, 10, 30));
  harness.before_commit = [&] { harness.scheduler.cancel(4); };
  harness.drain();
  EXPECT_EQ(harness.at(3).finish->reason, FinishReason::cancelled);
  EXPECT_EQ(harness.at(4).finish->reason, FinishReason::cancelled);
  EXPECT_TRUE(harness.at(4).tokens.empty());
}

TEST(Requests, SamplesShareThePromptAndDiffer) {
  Harness harness(small());
  Request request = plain_request(1, 49, 20);
  request.params.n = 4;
  harness.scheduler.add(request);
  harness.drain();
  EXPECT_EQ(harness.at(1, 0).cached, 0);
  for (int sample = 1; sample < 4; ++sample) {
    EXPECT_EQ(harness.at(1, sample).cached, 48) << "all but the token that must be run";
    EXPECT_NE(harness.at(1, sample).tokens, harness.at(1, 0).tokens);
  }
  const SchedulerStats stats = harness.scheduler.stats();
  EXPECT_EQ(stats.prompt_tokens, 4 * 49);
  EXPECT_EQ(stats.cached_tokens, 3 * 48);
}

TEST(Requests, PromptScoresComeOnceAndNeedEveryToken) {
  Harness harness(small());
  Request request = plain_request(1, 100, 5);  // two chunks
  harness.scheduler.add(request);
  harness.drain();
  request.id = 2;
  request.params.prompt_logprobs = 1;
  request.params.n = 2;
  harness.scheduler.add(request);
  harness.drain();
  EXPECT_EQ(harness.at(2, 0).scores, generate_alone(request, 0, 200).scores);
  EXPECT_EQ(harness.at(2, 0).scores.size(), 99U);
  EXPECT_EQ(harness.at(2, 0).cached, 0) << "cached tokens have no logits";
  EXPECT_EQ(harness.at(2, 1).cached, 96);
  EXPECT_TRUE(harness.at(2, 1).scores.empty());
  EXPECT_EQ(harness.at(2, 0).tokens, generate_alone(request, 0, 200).tokens);
}

}  // namespace
}  // namespace spate
