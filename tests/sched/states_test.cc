// Where a model keeps states: slots for them, and snapshots that shared beginnings go on from.

#include "tests/sched/fake_device.h"

namespace spate {
namespace {

SchedulerOptions with_states(int64_t rows, int64_t snapshots) {
  return {.kv_slots = 4000,
          .max_rows = 24,
          .max_step_tokens = 256,
          .max_length = 400,
          .row_states = rows,
          .snapshots = snapshots};
}

// The same `common` first tokens for all, then `own` ones.
Request family_request(uint64_t id, size_t common, size_t own, int64_t max_tokens) {
  Request request = plain_request(id, own, max_tokens);
  const std::vector<Token> tail = std::move(request.prompt);
  request.prompt = random_tokens(3, common);
  request.prompt.insert(request.prompt.end(), tail.begin(), tail.end());
  return request;
}

// Rows of the last step: begin and count.
using Parts = std::vector<std::pair<int64_t, int64_t>>;

Parts parts(const Harness& harness) {
  Parts out;
  for (const auto& row : harness.rows) out.emplace_back(row.begin, row.count);
  return out;
}

TEST(States, AsManyRowsAsSlots) {
  Harness harness(with_states(3, 2));
  for (uint64_t id = 0; id < 8; ++id) harness.scheduler.add(plain_request(id, 5, 9));
  harness.step();
  EXPECT_EQ(harness.rows.size(), 3U);
  harness.drain();
  for (uint64_t id = 0; id < 8; ++id) EXPECT_EQ(harness.at(id).tokens.size(), 9U);
}

TEST(States, AChunkEndsBeforeTheLastTokensOfThePrompt) {
  Harness harness(with_states(4, 2));
  harness.scheduler.add(plain_request(1, 50, 4));
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{0, 48}}));
  EXPECT_EQ(harness.last.rows[0].state_from, -1);
  EXPECT_GE(harness.last.rows[0].state_to, 4) << "a snapshot";
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{48, 2}}));
  EXPECT_GE(harness.last.rows[0].state_from, 4);
  EXPECT_LT(harness.last.rows[0].state_to, 4) << "its own";
  harness.drain();
}

// Their last token is always computed, and what is shared ends behind a multiple of four.
TEST(States, SamplesGoOnFromTheirPrompt) {
  Harness harness(with_states(6, 2));
  Request request = plain_request(1, 48, 5);
  request.params.n = 4;
  harness.scheduler.add(request);
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{0, 44}}));
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{44, 4}, {44, 4}, {44, 4}, {44, 4}}));
  harness.drain();
  EXPECT_EQ(harness.scheduler.stats().cached_tokens, 3 * 44);
  for (int sample = 0; sample < 4; ++sample) {
    EXPECT_EQ(harness.at(1, sample).tokens, generate_alone(request, sample, 400).tokens);
  }
}

// Those that wait say where they will leave what the first one computes.
TEST(States, AChunkEndsWhereOthersWillLeave) {
  Harness harness(with_states(6, 4));
  harness.scheduler.add(family_request(1, 100, 30, 3));
  harness.scheduler.add(family_request(2, 100, 40, 3));
  harness.scheduler.add(family_request(3, 70, 10, 3));
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{0, 64}}));
  harness.step();  // the second still waits
  EXPECT_EQ(parts(harness), (Parts{{64, 32}, {64, 16}}));
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{80, 1}, {96, 32}, {96, 40}}));
  harness.drain();
  EXPECT_EQ(harness.scheduler.stats().cached_tokens, 64 + 96);
}

// Keys and values are there and the state is not: what lies between is computed again for the state
// alone, and left as a snapshot for the next.
TEST(States, ALaterPromptLeavesASnapshotWhereItLeaves) {
  Harness harness(with_states(6, 4));
  harness.scheduler.add(family_request(1, 100, 30, 3));
  harness.drain();
  harness.scheduler.add(family_request(2, 100, 41, 3));
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{0, 96}}));
  EXPECT_EQ(harness.last.rows[0].sequence->stored, 96);
  harness.drain();
  EXPECT_EQ(harness.at(2).cached, 0);
  harness.scheduler.add(family_request(3, 100, 41, 3));
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{96, 44}}));
  harness.drain();
  EXPECT_EQ(harness.at(3).cached, 96);
}

TEST(States, TheLongestUnusedSnapshotIsGivenUp) {
  Harness harness(with_states(6, 2));
  const auto run = [&](uint64_t id, uint64_t prompt) {
    Request request = plain_request(id, 1, 3);
    request.prompt = random_tokens(prompt, 40);
    harness.scheduler.add(request);
    harness.drain();
    return harness.at(id).cached;
  };
  EXPECT_EQ(run(1, 91), 0);
  EXPECT_EQ(run(2, 92), 0);
  EXPECT_EQ(run(3, 91), 36);  // used again
  EXPECT_EQ(run(4, 93), 0);   // in the place of the second
  EXPECT_EQ(run(5, 91), 36);
  EXPECT_EQ(run(6, 93), 36);
  EXPECT_EQ(run(7, 92), 0) << "its keys and values alone are of no use";
  EXPECT_EQ(harness.scheduler.stats().snapshots, 2);
}

// Keys and values behind its snapshot are of no use: nothing else is kept of an evicted row.
TEST(States, AnEvictedRowGoesOnFromItsSnapshot) {
  SchedulerOptions options = with_states(4, 4);
  options.kv_slots = 220;
  options.max_length = 200;
  Harness harness(options);
  for (uint64_t id = 100; id < 180; ++id) {  // teaches the scheduler to let too many in
    Request request = plain_request(id, 4, 60);
    for (Token token = 0; token < kVocabulary; ++token) request.params.stop_tokens.push_back(token);
    harness.scheduler.add(request);
  }
  harness.drain();
  for (uint64_t id = 1; id <= 4; ++id) {
    harness.scheduler.add(unforeseen_request(id, 40, 60));
  }
  while (harness.scheduler.stats().evictions == 0) ASSERT_TRUE(harness.step());
  const int64_t lost = harness.rows.back().begin + 1 - 32;  // of about the same length
  harness.drain();
  const SchedulerStats stats = harness.scheduler.stats();
  EXPECT_GT(stats.recomputed, 0);
  EXPECT_LE(stats.recomputed, stats.evictions * (lost + 60));
  for (uint64_t id = 1; id <= 4; ++id) {
    EXPECT_EQ(harness.at(id).tokens, generate_alone(unforeseen_request(id, 40, 60), 0, 200).tokens);
  }
}

TEST(States, NothingIsSharedWithoutSnapshots) {
  SchedulerOptions options = with_states(4, 0);
  Harness harness(options);
  harness.scheduler.add(family_request(1, 100, 30, 3));
  harness.drain();
  harness.scheduler.add(family_request(2, 100, 30, 3));
  harness.step();
  EXPECT_EQ(parts(harness), (Parts{{0, 130}}));
  harness.drain();
  EXPECT_EQ(harness.scheduler.stats().cached_tokens, 0);
}

}  // namespace
}  // namespace spate
