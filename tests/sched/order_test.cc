// In which order requests start, and what it is good for: a short tail, and beginnings that are
// computed once.
#include <cmath>

#include "tests/sched/fake_device.h"

namespace spate {
namespace {

constexpr Order kOrders[] = {Order::fifo, Order::longest_first, Order::prefix, Order::automatic};

// Rows start one by one.
SchedulerOptions one_at_a_time(Order order) {
  return {
      .kv_slots = 4000, .max_rows = 1, .max_step_tokens = 512, .max_length = 2000, .order = order};
}

// A common beginning of 80 tokens, then some of its own.
Request in_family(uint64_t id, uint64_t family, size_t own, int64_t max_tokens) {
  Request request = plain_request(id, own, max_tokens);
  const std::vector<Token> common = random_tokens(family, 80);
  request.prompt.insert(request.prompt.begin(), common.begin(), common.end());
  return request;
}

TEST(Order, AsTheyCame) {
  Harness harness(one_at_a_time(Order::fifo));
  for (uint64_t id = 1; id <= 6; ++id) {
    harness.scheduler.add(plain_request(id, 10 * (7 - id), static_cast<int64_t>(3 + id)));
  }
  harness.drain();
  EXPECT_EQ(harness.started, (std::vector<uint64_t>{1, 2, 3, 4, 5, 6}));
}

TEST(Order, LongestFirstAmongThoseThatWait) {
  Harness harness(one_at_a_time(Order::longest_first));
  harness.scheduler.add(plain_request(1, 10, 5));
  harness.scheduler.add(plain_request(2, 50, 6));
  harness.scheduler.add(plain_request(3, 10, 80));
  harness.scheduler.add(plain_request(4, 90, 5));
  harness.step();  // 3 has begun
  harness.scheduler.add(plain_request(5, 10, 300));
  harness.drain();
  EXPECT_EQ(harness.started, (std::vector<uint64_t>{3, 5, 2, 1, 4}));
}

TEST(Order, ByPrompt) {
  Harness harness(one_at_a_time(Order::prefix));
  const auto add = [&](uint64_t id, std::vector<Token> prompt) {
    Request request = plain_request(id, 1, static_cast<int64_t>(3 + id));
    request.prompt = std::move(prompt);
    harness.scheduler.add(std::move(request));
  };
  add(1, {5, 1, 9});
  add(2, {3, 2});
  add(3, {5, 1});
  add(4, {3, 1, 1, 1});
  add(5, {3, 2});
  harness.drain();
  EXPECT_EQ(harness.started, (std::vector<uint64_t>{4, 2, 5, 3, 1}));
}

// Families with the longest row first, and in each its long rows first; short prompts are families
// of their own.
TEST(Order, AutomaticGoesThroughFamiliesByTheirLongest) {
  Harness harness(one_at_a_time(Order::automatic));
  harness.scheduler.add(in_family(1, 71, 9, 8));
  harness.scheduler.add(in_family(2, 72, 9, 200));
  harness.scheduler.add(plain_request(3, 12, 90));
  harness.scheduler.add(in_family(4, 71, 9, 400));
  harness.scheduler.add(in_family(5, 72, 9, 3));
  harness.scheduler.add(plain_request(6, 12, 9));
  harness.scheduler.add(in_family(7, 71, 9, 40));
  harness.scheduler.add(plain_request(8, 12, 300));
  harness.drain();
  EXPECT_EQ(harness.started, (std::vector<uint64_t>{4, 7, 1, 8, 2, 5, 3, 6}));
}

TEST(Order, ALimitThatNobodyReachesCountsForLittle) {
  SchedulerOptions options = one_at_a_time(Order::longest_first);
  Harness harness(options);
  for (uint64_t id = 100; id < 200; ++id) {  // rows that end at once, whatever they may
    Request request = plain_request(id, 4, 900);
    for (Token token = 0; token < kVocabulary; ++token) request.params.stop_tokens.push_back(token);
    harness.scheduler.add(request);
  }
  harness.drain();
  harness.started.clear();
  Request may = plain_request(1, 4, 1000);
  may.params.stop_tokens = {1};
  harness.scheduler.add(may);
  harness.scheduler.add(plain_request(2, 4, 200));  // will
  Request must = plain_request(3, 4, 1000);
  must.params.stop_tokens = {1};
  must.params.min_tokens = 300;
  harness.scheduler.add(must);
  harness.drain();
  EXPECT_EQ(harness.started, (std::vector<uint64_t>{3, 2, 1}));
}

TEST(Order, SamplesOfARequestStayTogether) {
  for (const Order order : kOrders) {
    Harness harness(one_at_a_time(order));
    for (uint64_t id = 0; id < 9; ++id) {
      Request request = in_family(id, id % 2, 20, static_cast<int64_t>(4 + id % 3 * 20));
      if (id % 4 == 3) request.prompt = in_family(id - 2, 1, 20, 4).prompt;  // twins
      request.params.n = 3;
      harness.scheduler.add(std::move(request));
    }
    harness.drain();
    ASSERT_EQ(harness.finished.size(), 27U);
    for (size_t i = 0; i < harness.finished.size(); ++i) {
      EXPECT_EQ(harness.finished[i].first, harness.finished[i / 3 * 3].first);
      EXPECT_EQ(harness.finished[i].second, static_cast<int>(i % 3));
    }
  }
}

// Long rows keep coming; the short one that sorts last starts all the same.
TEST(Order, NobodyStarves) {
  for (const Order order : kOrders) {
    SchedulerOptions options = one_at_a_time(order);
    options.order_horizon = 16;
    Harness harness(options);
    uint64_t added = 0;
    for (; added < 40; ++added) {
      Request request = plain_request(added, 5, added % 10 == 3 ? 2 : 9);
      request.prompt[0] = added % 10 == 3 ? kVocabulary - 1 : 0;
      harness.scheduler.add(std::move(request));
    }
    while (harness.finished.size() < 400) {
      harness.step();
      for (; added < harness.finished.size() + 40; ++added) {
        Request request = plain_request(added, 5, 9);
        request.prompt[0] = 0;
        harness.scheduler.add(std::move(request));
      }
    }
    for (size_t place = 0; place < 400; ++place) {
      const uint64_t id = harness.started[place];
      EXPECT_LT(place, id + 16);
      EXPECT_EQ(place / 16, id / 16) << "a block before the next";
    }
  }
}

TEST(Order, StartedComesOnceAndFirst) {
  Harness harness(one_at_a_time(Order::automatic));  // checks events itself
  harness.scheduler.add(plain_request(1, 700, 4));
  harness.scheduler.add(plain_request(2, 10, 4));
  harness.scheduler.cancel(2);
  harness.scheduler.add(Request{.id = 3});  // refused
  harness.step();
  EXPECT_EQ(harness.started, (std::vector<uint64_t>{1})) << "with its first chunk";
  harness.drain();
  EXPECT_EQ(harness.started, (std::vector<uint64_t>{1}));
}

// What a whole run took, in counts: no device, no clock.
struct Work {
  int64_t steps = 0, under_half = 0, prompt_tokens = 0;
  double hit_share = 0;
};

Work run(const SchedulerOptions& options, const std::vector<Request>& requests) {
  Scheduler scheduler(options, {kEnd});
  for (const Request& request : requests) scheduler.add(request);
  std::vector<size_t> rows;
  Work work;
  for (Batch batch = scheduler.next(); !batch.rows.empty(); batch = scheduler.next()) {
    rows.push_back(batch.rows.size());
    for (const Row& row : batch.rows) {
      work.prompt_tokens += row.begin < row.sequence->prompt_length ? row.count : 0;
    }
    scheduler.commit(batch, std::vector<RowResult>(batch.rows.size()));
    scheduler.take_events();
  }
  EXPECT_TRUE(scheduler.idle());
  const size_t most = *std::max_element(rows.begin(), rows.end());
  work.steps = static_cast<int64_t>(rows.size());
  work.under_half = std::count_if(rows.begin(), rows.end(), [&](size_t n) { return 2 * n < most; });
  work.hit_share = static_cast<double>(scheduler.stats().cached_tokens) /
                   static_cast<double>(scheduler.stats().prompt_tokens);
  return work;
}

// Log-normal: half of the rows get at most `median` tokens, some twenty times as many.
int64_t long_tailed(uint64_t at, double median) {
  const double u = open_uniform(philox(31, at).word[0]), v = open_uniform(philox(32, at).word[0]);
  const double normal = std::sqrt(-2 * std::log(u)) * std::cos(6.283185307179586 * v);
  return std::clamp<int64_t>(std::llround(median * std::exp(normal)), 1, std::llround(20 * median));
}

void print(const char* name, const Work& work) {
  std::cout << name << ": " << work.steps << " steps, " << work.under_half
            << " with fewer than half of the most rows; " << work.prompt_tokens
            << " prompt tokens computed, " << 100 * work.hit_share << " % found\n";
}

TEST(Order, ALongTailedFileEndsWithAFullBatch) {
  SchedulerOptions options{
      .kv_slots = 40000, .max_rows = 64, .max_step_tokens = 512, .max_length = 8192};
  std::vector<Request> requests;
  for (uint64_t id = 0; id < 2000; ++id) {
    requests.push_back(plain_request(id, 20 + id % 40, long_tailed(id, 32)));
    if (id % 4 == 0) requests.back() = in_family(id, id % 40, 20, long_tailed(id, 32));
  }
  const Work fifo = run(options, requests);
  options.order = Order::automatic;
  const Work automatic = run(options, requests);
  print("fifo", fifo);
  print("automatic", automatic);
  EXPECT_LT(automatic.under_half * 5, fifo.under_half);
  EXPECT_LT(automatic.steps * 10, fifo.steps * 9);
}

// Rows that would fit in all at once leave the longest of them alone at the end. With as many as
// share the output evenly, every step but the last ones is like all others, and hardly one more is
// needed.
TEST(Order, StepsAreLevelAsFarAsLongRowsGo) {
  SchedulerOptions options{.kv_slots = 90000,
                           .max_rows = 512,
                           .max_step_tokens = 1024,
                           .max_length = 8192,
                           .order = Order::automatic};
  std::vector<Request> requests;
  for (uint64_t id = 0; id < 2000; ++id) {
    requests.push_back(plain_request(id, 20 + id % 40, long_tailed(id, 32)));
  }
  const Work all = run(options, requests);
  options.level_rows = 32;
  const Work level = run(options, requests);
  print("all at once", all);
  print("level", level);
  EXPECT_GT(all.under_half * 2, all.steps);
  EXPECT_LT(level.under_half * 20, level.steps);
  EXPECT_LT(level.steps * 10, all.steps * 11);
  options.order = Order::fifo;  // long rows may start last
  const Work fifo = run(options, requests);
  options.level_rows = 0;
  EXPECT_EQ(fifo.steps, run(options, requests).steps);
}

// 60 beginnings of 300 tokens, 20 questions each, shuffled; the cache holds a few of them.
TEST(Order, ASmallCacheComputesABeginningOnce) {
  SchedulerOptions options{
      .kv_slots = 6000, .max_rows = 16, .max_step_tokens = 512, .max_length = 2000};
  std::vector<Request> requests;
  for (uint64_t id = 0; id < 1200; ++id) {
    Request request = plain_request(id, 10 + id % 20, long_tailed(id, 16));
    const std::vector<Token> common = random_tokens(philox(33, id).word[0] % 60, 300);
    request.prompt.insert(request.prompt.begin(), common.begin(), common.end());
    requests.push_back(std::move(request));
  }
  const Work fifo = run(options, requests);
  for (const Order order : {Order::prefix, Order::automatic}) {
    options.order = order;
    const Work ordered = run(options, requests);
    print(order == Order::prefix ? "prefix" : "automatic", ordered);
    EXPECT_GT(ordered.hit_share, 0.85);
    EXPECT_LT(ordered.prompt_tokens * 4, fifo.prompt_tokens);
    EXPECT_LE(ordered.under_half, fifo.under_half);
  }
  print("fifo", fifo);
  EXPECT_LT(fifo.hit_share, 0.5);
}

}  // namespace
}  // namespace spate
