// Random requests under every schedule, order, pool and limit must each give what a single row
// gives, whatever is shared, evicted, chunked or cancelled around them.

#include "tests/sched/fake_device.h"

namespace spate {
namespace {

struct Random {
  uint64_t key, at = 0;
  uint64_t operator()(uint64_t below) { return philox(key, at++).word[0] % below; }
};

// Prompts of a few families that begin alike, all ways to end, some with several samples.
Request random_request(uint64_t id, Random& random, int64_t max_length) {
  Request request{.id = id, .key = mix_keys(17, id)};
  const uint64_t family = random(6);
  const auto common = static_cast<size_t>(random(60));
  const auto own = static_cast<size_t>(1 + random(40));
  request.prompt = random_tokens(family, common);
  for (const Token token : random_tokens(random(3) == 0 ? 77 : 1000 + id, own)) {
    request.prompt.push_back(token);
  }
  if (static_cast<int64_t>(request.prompt.size()) >= max_length) {
    request.prompt.resize(static_cast<size_t>(max_length / 2));
  }
  Params& params = request.params;
  params.seed = random(3);
  params.n = random(5) == 0 ? static_cast<int64_t>(2 + random(3)) : 1;
  params.max_tokens = static_cast<int64_t>(random(8) == 0 ? 0 : 1 + random(60));
  params.min_tokens = static_cast<int64_t>(random(4) == 0 ? random(20) : 0);
  params.ignore_eos = random(3) == 0;
  if (random(3) == 0) params.stop_tokens = {static_cast<Token>(random(40)), 3};
  if (random(4) == 0) params.loop_stop = {.min_pattern = 2, .max_pattern = 6, .min_count = 3};
  if (random(6) == 0) params.prompt_logprobs = 2;
  return request;
}

// In every other era rows end at once, though they might go on; in the next they all go on, which
// the scheduler does not expect: evictions.
void mislead(Request& request) {
  Params& params = request.params;
  if (request.id / 25 % 2 == 0) {
    params.min_tokens = 0;
    params.stop_tokens.clear();
    for (Token token = 0; token < kVocabulary; token += 2) params.stop_tokens.push_back(token);
  } else {
    params.ignore_eos = true;
    params.stop_tokens = {0};
    params.max_tokens = params.min_tokens = 60;
  }
}

struct Case {
  std::string name;
  SchedulerOptions options;
  bool misled = false, ahead = false;
};

std::vector<Case> cases() {
  const SchedulerOptions roomy{
      .kv_slots = 4000, .max_rows = 24, .max_step_tokens = 128, .max_length = 160};
  std::vector<Case> out;
  for (const Batching batching : {Batching::mix, Batching::pingpong, Batching::timely}) {
    for (const bool share : {true, false}) {
      for (const int64_t slots : {4000, 400, 159}) {
        for (const int64_t tokens : {128, 7}) {
          Case one{"", roomy};
          one.misled = slots == 400;
          one.options.batching = batching;
          one.options.share_prefixes = share;
          one.options.kv_slots = slots;
          one.options.max_step_tokens = tokens;
          const Order orders[] = {Order::fifo, Order::automatic, Order::longest_first,
                                  Order::prefix, Order::automatic};
          const size_t number = out.size() / 4;
          one.options.order = orders[number % std::size(orders)];
          one.options.level_rows = number % 3 == 0 ? 6 : 0;
          one.options.step_multiple = number / 2 % 2 == 1 ? 8 : 1;
          one.options.order_horizon = number % 3 == 0 ? 20 : 8192;
          const char* const names[] = {"mix", "pingpong", "timely"};
          one.name = cat(names[static_cast<int>(batching)], share ? "_shared_" : "_alone_", slots,
                         "_slots_", tokens, "_tokens");
          out.push_back(one);
          one.ahead = true;
          one.name += "_ahead";
          out.push_back(one);
          // The model keeps states; few snapshots, or one for nearly everything.
          one.options.row_states = 20;
          one.options.snapshots = number / 2 % 2 == 0 ? 3 : 40;
          one.name += cat("_states_", one.options.snapshots, "_snapshots");
          out.push_back(one);
          one.ahead = false;
          one.options.snapshots = number / 2 % 2 == 0 ? 9 : 1;
          one.name = cat(one.name.substr(0, one.name.find("_ahead")), "_states_",
                         one.options.snapshots, "_snapshots");
          out.push_back(one);
        }
      }
    }
  }
  return out;
}

class RandomWork : public testing::TestWithParam<Case> {};

TEST_P(RandomWork, GivesWhatEachRowGivesAlone) {
  const SchedulerOptions& options = GetParam().options;
  Harness harness(options, GetParam().ahead);
  Random random{.key = 5};
  std::map<uint64_t, Request> requests;
  std::set<uint64_t> cancelled;
  const uint64_t requests_in_all = GetParam().misled ? 300 : 150;
  uint64_t next_id = 0;
  const auto add = [&](Request request) {
    if (GetParam().misled) mislead(request);
    requests[request.id] = request;
    harness.scheduler.add(std::move(request));
  };
  // Some cancels come between steps, some while a step runs.
  const auto cancel_some = [&] {
    if (next_id == 0 || random(40) != 0) return;
    const uint64_t id = random(next_id);
    harness.scheduler.cancel(id);
    cancelled.insert(id);
  };
  harness.before_commit = cancel_some;
  size_t seen = 0;
  while (next_id < requests_in_all || !harness.scheduler.idle()) {
    for (uint64_t burst = random(4); burst > 1 && next_id < requests_in_all; --burst) {
      add(random_request(next_id, random, options.max_length));
      ++next_id;
    }
    cancel_some();
    harness.step();
    ASSERT_LT(harness.steps, 100000);
    // A chat goes on: the answer and a new question follow the old prompt.
    for (; seen < harness.finished.size(); ++seen) {
      const auto [id, sample] = harness.finished[seen];
      const Request& before = requests.at(id);
      std::vector<Token> prompt = before.prompt;
      const Output& answer = harness.at(id, sample);
      prompt.insert(prompt.end(), answer.tokens.begin(), answer.tokens.end());
      for (const Token token : random_tokens(300 + id, 9)) prompt.push_back(token);
      const bool fits = static_cast<int64_t>(prompt.size()) + 10 < options.max_length;
      if (random(3) != 0 || !fits || next_id >= requests_in_all) continue;
      Request follow = random_request(next_id, random, options.max_length);
      follow.prompt = std::move(prompt);
      add(std::move(follow));
      ++next_id;
    }
    if (testing::Test::HasFailure()) FAIL() << "after step " << harness.steps;
  }
  harness.drain();

  int64_t compared = 0;
  for (const auto& [id, request] : requests) {
    for (int sample = 0; sample < request.params.n; ++sample) {
      const Output& found = harness.at(id, sample);
      const Output expected = generate_alone(request, sample, options.max_length);
      ASSERT_TRUE(found.finish.has_value());
      if (found.finish->reason == FinishReason::cancelled) {
        EXPECT_EQ(cancelled.count(id), 1U);
        ASSERT_LE(found.tokens.size(), expected.tokens.size());
        EXPECT_TRUE(std::equal(found.tokens.begin(), found.tokens.end(), expected.tokens.begin()));
        continue;
      }
      ++compared;
      EXPECT_EQ(found.tokens, expected.tokens) << "request " << id << ", sample " << sample;
      EXPECT_EQ(found.finish->reason, expected.finish->reason);
      EXPECT_EQ(found.scores, expected.scores);
      EXPECT_LT(found.cached, static_cast<int64_t>(request.prompt.size()));
    }
  }
  EXPECT_GT(compared, 100);
  const SchedulerStats stats = harness.scheduler.stats();
  EXPECT_EQ(stats.cached_tokens > 0, options.share_prefixes);
  EXPECT_EQ(stats.kv_cached > 0, options.share_prefixes);
  EXPECT_LE(stats.snapshots, options.share_prefixes ? options.snapshots : 0);
  if (GetParam().misled && options.max_step_tokens > 7) {
    EXPECT_GT(stats.evictions, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, RandomWork, testing::ValuesIn(cases()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace spate
