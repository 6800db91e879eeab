// The shape of steps: mix, pingpong, timely.
#include "tests/sched/fake_device.h"

namespace spate {
namespace {

SchedulerOptions roomy() {
  return {.kv_slots = 4000, .max_rows = 4, .max_step_tokens = 32, .max_length = 400};
}

std::vector<uint64_t> order_of_ends(const Harness& harness) {
  std::vector<uint64_t> ids;
  for (const auto& [request, sample] : harness.finished) ids.push_back(request);
  return ids;
}

TEST(Batching, NobodyOvertakesOneThatLacksSlots) {
  SchedulerOptions options = roomy();
  options.kv_slots = 150;
  options.max_length = 150;
  Harness harness(options);
  harness.scheduler.add(plain_request(1, 50, 40));
  harness.scheduler.add(plain_request(2, 100, 40));
  harness.scheduler.add(plain_request(3, 5, 5));
  harness.drain();
  EXPECT_EQ(order_of_ends(harness), (std::vector<uint64_t>{1, 3, 2}))
      << "3 enters with 2, after 1, and is short";
  for (int64_t i = 0; i < 2; ++i) EXPECT_TRUE(harness.out.at({3, 0}).finish);
}

TEST(Batching, MixPutsDecodesFirstAndChunksIntoTheRest) {
  Harness harness(roomy());
  harness.scheduler.add(plain_request(1, 10, 50));
  harness.scheduler.add(plain_request(2, 12, 50));
  harness.step();
  EXPECT_EQ(harness.rows.size(), 2U);
  harness.scheduler.add(plain_request(3, 70, 50));
  harness.step();
  ASSERT_EQ(harness.rows.size(), 3U);
  EXPECT_TRUE(harness.rows[0].decodes() && harness.rows[1].decodes());
  EXPECT_EQ(harness.rows[2].count, 30) << "the whole budget is used";
  harness.step();
  EXPECT_EQ(harness.rows[2].begin, 30);
  EXPECT_EQ(harness.rows[2].count, 30);
  harness.step();
  EXPECT_EQ(harness.rows[2].count, 10);
  harness.step();
  EXPECT_EQ(harness.last.tokens(), 3);
  harness.drain();
}

TEST(Batching, ChunksFillWholeTiles) {
  SchedulerOptions options = roomy();
  options.max_rows = 40;
  options.max_step_tokens = 64;
  options.step_multiple = 8;
  Harness harness(options);
  for (uint64_t id = 0; id < 3; ++id) harness.scheduler.add(plain_request(id, 4, 300));
  harness.step();
  harness.scheduler.add(plain_request(3, 18, 300));
  harness.step();
  EXPECT_EQ(harness.last.tokens(), 21) << "few rows decode: the prompt is not held up";
  for (uint64_t id = 4; id < 9; ++id) harness.scheduler.add(plain_request(id, 6, 300));
  harness.step();
  EXPECT_EQ(harness.last.tokens(), 32) << "4 decodes and 5 prompts of 6, less 2 tokens";
  EXPECT_EQ(harness.rows.back().count, 4);
  EXPECT_FALSE(harness.last.rows.back().wants_token);
  harness.step();
  EXPECT_EQ(harness.last.tokens(), 10) << "2 would be left of a tile, but one row has both";
  harness.drain();
}

TEST(Batching, APromptDoesNotWaitLongForOthersToFillATile) {
  SchedulerOptions options = roomy();
  options.max_rows = 32;
  options.kv_slots = 20000;
  options.max_step_tokens = 256;
  options.step_multiple = 32;
  Harness harness(options);
  for (uint64_t id = 0; id < 31; ++id) harness.scheduler.add(plain_request(id, 4, 300));
  harness.step();
  harness.scheduler.add(plain_request(31, 30, 300));
  for (int step = 0; step < 4; ++step) {
    harness.step();
    EXPECT_EQ(harness.last.tokens(), 32) << "31 decodes, and one token of the prompt";
  }
  harness.step();
  EXPECT_EQ(harness.last.tokens(), 31 + 26);
  EXPECT_TRUE(harness.last.rows.back().wants_token);
  harness.drain();
}

// They have slots that rows will only need when they are longer, and nobody waits longer for them.
TEST(Batching, ShortRowsFillUpWhatLongOnesWillNeed) {
  SchedulerOptions options = roomy();
  options.kv_slots = 300;
  options.max_rows = 8;
  options.order = Order::longest_first;
  const auto steps = [&](uint64_t short_rows) {
    Harness harness(options);
    harness.scheduler.add(plain_request(1, 10, 200));
    harness.scheduler.add(plain_request(2, 10, 190));
    for (uint64_t id = 3; id < 3 + short_rows; ++id) {
      harness.scheduler.add(plain_request(id, 5, 8));
    }
    int64_t until_second = 0;
    while (harness.step()) {
      if (harness.started.back() == 2) until_second = harness.steps;
    }
    EXPECT_EQ(order_of_ends(harness).back(), 2U);
    EXPECT_EQ(harness.scheduler.stats().evictions, 0);
    return std::pair(until_second, harness.steps);
  };
  const auto alone = steps(0);
  EXPECT_GT(alone.second, 250) << "both together do not fit until the first is nearly done";
  EXPECT_EQ(steps(6), alone);
  EXPECT_EQ(steps(20), alone);
}

TEST(Batching, RowsEnterAsOthersLeave) {
  Harness harness(roomy());
  for (uint64_t id = 0; id < 40; ++id) {
    harness.scheduler.add(plain_request(id, 4, static_cast<int64_t>(3 + id % 5)));
  }
  int64_t full = 0;
  while (harness.step()) full += harness.rows.size() == 4 ? 1 : 0;
  EXPECT_GE(full, harness.steps - 8) << "a row that leaves is replaced in the next step";
}

TEST(Batching, NoMoreRowsRunThanGetATokenEach) {
  SchedulerOptions options = roomy();
  options.max_step_tokens = 3;
  Harness harness(options);
  for (uint64_t id = 0; id < 5; ++id) harness.scheduler.add(plain_request(id, 9, 20));
  while (harness.step()) EXPECT_LE(harness.scheduler.stats().running, 3);
  options.max_step_tokens = 1;
  Harness one(options);
  one.scheduler.add(plain_request(1, 9, 20));
  one.scheduler.add(plain_request(2, 9, 20));
  one.drain();
  EXPECT_EQ(one.steps, 2 * 28);
}

TEST(Batching, PingpongPrefillsUntilFullThenDecodesUntilShrunk) {
  SchedulerOptions options = roomy();
  options.batching = Batching::pingpong;
  options.max_rows = 8;
  Harness harness(options);
  for (uint64_t id = 0; id < 16; ++id) {
    harness.scheduler.add(plain_request(id, 20, static_cast<int64_t>(10 + 4 * (id % 8))));
  }
  int64_t phases = 0;
  bool decoding = false;
  while (harness.step()) {
    const bool decodes = harness.rows[0].decodes();
    for (const Harness::RowNote& row : harness.rows) EXPECT_EQ(row.decodes(), decodes);
    if (decodes && !decoding) {
      ++phases;
      EXPECT_TRUE(harness.rows.size() == 8 || harness.scheduler.stats().waiting == 0);
    }
    decoding = decodes;
  }
  EXPECT_GE(phases, 3);
  EXPECT_LE(phases, 8);
  harness.drain();
}

TEST(Batching, TimelyPrefillsWheneverSomethingFits) {
  SchedulerOptions options = roomy();
  options.batching = Batching::timely;
  Harness harness(options);
  harness.scheduler.add(plain_request(1, 40, 30));
  harness.step();
  harness.step();
  EXPECT_EQ(harness.rows[0].begin, 32);
  harness.step();
  EXPECT_TRUE(harness.rows[0].decodes());
  harness.scheduler.add(plain_request(2, 20, 30));
  harness.step();
  ASSERT_EQ(harness.rows.size(), 1U);
  EXPECT_EQ(harness.rows[0].request, 2U);
  EXPECT_EQ(harness.rows[0].count, 20);
  harness.step();
  EXPECT_EQ(harness.rows.size(), 2U);
  EXPECT_TRUE(harness.rows[0].decodes() && harness.rows[1].decodes());
  harness.drain();
}

}  // namespace
}  // namespace spate
