// Sharing, growth and eviction.
#include "tests/sched/fake_device.h"

namespace spate {
namespace {

SchedulerOptions roomy() {
  return {.kv_slots = 4000, .max_rows = 8, .max_step_tokens = 64, .max_length = 600};
}

Request same_prompt(uint64_t id, size_t prompt, int64_t max_tokens) {
  Request request = plain_request(id, prompt, max_tokens);
  request.prompt = random_tokens(4242, prompt);
  return request;
}

TEST(Cache, TheSecondOfTwoEqualPromptsWaitsAndShares) {
  Harness harness(roomy());
  harness.scheduler.add(same_prompt(1, 100, 5));
  harness.scheduler.add(same_prompt(2, 100, 5));
  harness.scheduler.add(plain_request(3, 20, 5));
  harness.step();
  EXPECT_EQ(harness.rows.size(), 1U) << "the first takes the whole step";
  harness.step();  // the first's last 36 tokens, and the third: it need not wait
  ASSERT_EQ(harness.rows.size(), 2U);
  EXPECT_EQ(harness.rows[1].request, 3U);
  harness.step();
  ASSERT_EQ(harness.rows.size(), 3U);
  EXPECT_EQ(harness.rows[2].request, 2U);
  EXPECT_EQ(harness.rows[2].begin, 96);
  EXPECT_EQ(harness.rows[2].count, 4);
  harness.drain();
  EXPECT_EQ(harness.at(1).cached, 0);
  EXPECT_EQ(harness.at(2).cached, 96);
}

TEST(Cache, SharedSlotsAreCountedOnce) {
  Harness harness(roomy());
  for (uint64_t id = 0; id < 8; ++id) harness.scheduler.add(same_prompt(id, 320, 40));
  while (harness.step() && harness.scheduler.stats().running < 8) {
  }
  EXPECT_LT(harness.scheduler.stats().kv_used, 320 + 8 * 64);
  harness.drain();
  EXPECT_GE(harness.scheduler.stats().kv_cached, 320);
}

TEST(Cache, AWaitingRowComputesItselfWhenTheFirstIsCancelled) {
  Harness harness(roomy());
  harness.scheduler.add(same_prompt(1, 200, 5));
  harness.scheduler.add(same_prompt(2, 200, 5));
  harness.step();
  harness.scheduler.cancel(1);
  harness.drain();
  EXPECT_EQ(harness.at(2).cached, 64) << "what the first had computed stays";
  EXPECT_EQ(harness.at(2).tokens, generate_alone(same_prompt(2, 200, 5), 0, 600).tokens);
}

TEST(Cache, AGrowingChatFindsItsHistory) {
  Harness harness(roomy());
  std::vector<Token> history = random_tokens(1, 40);
  int64_t prompt_stored = 0;  // of the turn before: where the blocks of its answer begin
  for (uint64_t turn = 0; turn < 5; ++turn) {
    Request request = plain_request(turn, 1, 30);
    request.prompt = history;
    harness.scheduler.add(request);
    harness.drain();
    if (turn > 0) {
      // All but the last token of the last answer was run, and whole blocks of it are kept.
      const auto known = static_cast<int64_t>(history.size()) - 12 - 1;
      EXPECT_EQ(harness.at(turn).cached, prompt_stored + (known - prompt_stored) / 16 * 16);
    }
    const Output& answer = harness.at(turn);
    // What a prompt adds is stored up to its last one to four tokens, if that is a block at least.
    const auto end = (static_cast<int64_t>(history.size()) - 1) / 4 * 4;
    prompt_stored = end - answer.cached < 16 ? answer.cached : end;
    history.insert(history.end(), answer.tokens.begin(), answer.tokens.end());
    const std::vector<Token> question = random_tokens(100 + turn, 12);
    history.insert(history.end(), question.begin(), question.end());
  }
}

// The last token is computed by each, and what is shared ends behind a multiple of four.
TEST(Cache, SamplesShareTheirPromptToItsEnd) {
  for (const auto& [prompt, shared] : {std::pair{48, 44}, {49, 48}, {60, 56}, {16, 0}, {17, 16}}) {
    Harness harness(roomy());
    Request request = same_prompt(1, static_cast<size_t>(prompt), 5);
    request.params.n = 4;
    harness.scheduler.add(request);
    harness.drain();
    EXPECT_EQ(harness.scheduler.stats().cached_tokens, 3 * shared) << prompt;
    // So do others with that prompt, and those that part earlier have whole blocks.
    harness.scheduler.add(same_prompt(2, static_cast<size_t>(prompt), 5));
    Request other = same_prompt(3, static_cast<size_t>(prompt) + 40, 5);
    other.prompt[static_cast<size_t>(shared - shared / 4)] += 1;
    harness.scheduler.add(other);
    harness.drain();
    EXPECT_EQ(harness.at(2).cached, shared) << prompt;
    EXPECT_EQ(harness.at(3).cached, (shared - shared / 4) / 16 * 16) << prompt;
  }
}

TEST(Cache, NothingIsSharedWhenSwitchedOff) {
  SchedulerOptions options = roomy();
  options.share_prefixes = false;
  Harness harness(options);
  harness.scheduler.add(same_prompt(1, 20, 5));
  harness.scheduler.add(same_prompt(2, 20, 5));
  harness.step();
  EXPECT_EQ(harness.rows.size(), 2U);
  harness.drain();
  EXPECT_EQ(harness.at(2).cached, 0);
  EXPECT_EQ(harness.scheduler.stats().kv_cached, 0);
  EXPECT_EQ(harness.scheduler.stats().largest_free, 4000);
}

TEST(Cache, UnusedPrefixesGoBeforeAnyRowSuffers) {
  SchedulerOptions options = roomy();
  options.kv_slots = 400;
  options.max_length = 300;
  Harness harness(options);
  harness.scheduler.add(plain_request(1, 100, 10));
  harness.drain();
  harness.scheduler.add(plain_request(2, 100, 10));
  harness.drain();
  EXPECT_EQ(harness.scheduler.stats().kv_cached, 2 * 96);
  harness.scheduler.add(plain_request(3, 250, 40));  // needs more than the 208 free slots
  harness.drain();
  EXPECT_EQ(harness.scheduler.stats().evictions, 0);
  // The prompt used last is still there, at least its beginning; the older went first.
  Request again = plain_request(4, 1, 5);
  again.prompt = random_tokens(500 + 2, 100);
  harness.scheduler.add(again);
  harness.drain();
  EXPECT_GE(harness.at(4).cached, 16);
}

// Teaches the scheduler that rows end at once, so that it lets too many in.
void mislead(Harness& harness) {
  for (uint64_t id = 100; id < 180; ++id) {
    Request request = plain_request(id, 4, 60);
    for (Token token = 0; token < kVocabulary; ++token) request.params.stop_tokens.push_back(token);
    harness.scheduler.add(request);
  }
  harness.drain();
}

TEST(Cache, TheYoungestIsEvictedAndComesBackFirst) {
  SchedulerOptions options = roomy();
  options.kv_slots = 220;
  options.max_length = 200;
  options.share_prefixes = false;  // recomputed tokens are then easy to count
  Harness harness(options);
  mislead(harness);
  for (uint64_t id = 1; id <= 4; ++id) harness.scheduler.add(unforeseen_request(id, 40, 60));
  harness.scheduler.add(plain_request(5, 200, 0));  // refused, no matter
  std::vector<uint64_t> running;
  while (harness.scheduler.stats().evictions == 0) {
    ASSERT_TRUE(harness.step());
    running.clear();
    for (const Harness::RowNote& row : harness.rows) running.push_back(row.request);
  }
  EXPECT_EQ(running, (std::vector<uint64_t>{1, 2, 3})) << "the fourth had to go";
  harness.scheduler.add(plain_request(6, 10, 3));
  harness.drain();
  EXPECT_GT(harness.scheduler.stats().recomputed, 40);
  for (uint64_t id = 1; id <= 4; ++id) {
    EXPECT_EQ(harness.at(id).tokens, generate_alone(unforeseen_request(id, 40, 60), 0, 200).tokens);
  }
  const auto place = [&](uint64_t id) {
    return std::find(harness.finished.begin(), harness.finished.end(), std::pair(id, 0));
  };
  EXPECT_LT(place(1), place(4));
  EXPECT_LT(place(2), place(4));
}

TEST(Cache, AnEvictedRowFindsWhatNobodyTook) {
  SchedulerOptions options = roomy();
  options.kv_slots = 220;
  options.max_length = 200;
  Harness harness(options);
  mislead(harness);
  harness.scheduler.add(unforeseen_request(1, 60, 60));
  harness.scheduler.add(unforeseen_request(2, 90, 60));
  harness.drain();
  const SchedulerStats stats = harness.scheduler.stats();
  EXPECT_EQ(stats.evictions, 1);
  EXPECT_GT(stats.recomputed, 0);
  EXPECT_LT(stats.recomputed, 60) << "of more than 120";
}

TEST(Cache, APoolJustLargeEnoughIsEnough) {
  for (const Batching batching : {Batching::mix, Batching::pingpong, Batching::timely}) {
    for (const bool share : {true, false}) {
      SchedulerOptions options = roomy();
      options.kv_slots = 119;  // the longest sequence, less the last token
      options.max_length = 600;
      options.batching = batching;
      options.share_prefixes = share;
      Harness harness(options);
      mislead(harness);
      for (uint64_t id = 1; id <= 6; ++id) harness.scheduler.add(plain_request(id, 60, 60));
      harness.scheduler.add(plain_request(7, 60, 61));  // one more than fits
      harness.drain(5000);
      for (uint64_t id = 1; id <= 6; ++id) EXPECT_EQ(harness.at(id).tokens.size(), 60U);
      EXPECT_EQ(harness.at(7).finish->code, "out_of_kv");
    }
  }
}

TEST(Cache, ReservedSlotsMakeOneSegmentARow) {
  SchedulerOptions options = roomy();
  options.share_prefixes = false;
  Harness harness(options);
  for (uint64_t id = 0; id < 30; ++id) harness.scheduler.add(plain_request(id, 50, 60));
  harness.drain();
  EXPECT_EQ(harness.most_segments, 1U);
}

}  // namespace
}  // namespace spate
