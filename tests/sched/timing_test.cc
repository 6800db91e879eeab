// What planning costs the host. Prints figures; the bounds only catch a wrong order of growth.
#include <chrono>

#include "sched/shared_keys.h"
#include "tests/sched/fake_device.h"

namespace spate {
namespace {

using Clock = std::chrono::steady_clock;

struct Cost {
  double plan = 0, commit = 0;  // microseconds a step, medians
};

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values.empty() ? 0 : values[values.size() / 2];
}

// Steps without a device: every drawn token is the same.
Cost measure(Scheduler& scheduler, int steps) {
  std::vector<double> plans, commits;
  for (int i = 0; i < steps; ++i) {
    const auto begin = Clock::now();
    const Batch batch = scheduler.next();
    const auto planned = Clock::now();
    if (batch.rows.empty()) break;
    const std::vector<RowResult> results(batch.rows.size());
    const auto ran = Clock::now();
    scheduler.commit(batch, results);
    const auto end = Clock::now();
    plans.push_back(std::chrono::duration<double, std::micro>(planned - begin).count());
    commits.push_back(std::chrono::duration<double, std::micro>(end - ran).count());
  }
  return {median(plans), median(commits)};
}

void fill(Scheduler& scheduler, uint64_t from, uint64_t count, size_t prompt, int64_t max_tokens) {
  for (uint64_t id = from; id < from + count; ++id) {
    scheduler.add(plain_request(id, prompt, max_tokens));
  }
}

TEST(Timing, PlansTakeFarLessThanAStep) {
  SchedulerOptions options{
      .kv_slots = 1000000, .max_rows = 512, .max_step_tokens = 2048, .max_length = 4096};
  {
    Scheduler scheduler(options, {kEnd});
    fill(scheduler, 0, 512, 300, 2000);
    while (scheduler.stats().waiting > 0) measure(scheduler, 1);
    const Cost cost = measure(scheduler, 400);
    std::cout << "512 rows decode: plan " << cost.plan << " us, commit " << cost.commit << " us\n";
    EXPECT_LT(cost.plan, 5000);
  }
  {
    // Samples of eight prompts, which stand side by side and share keys.
    options.max_rows = 2048;
    options.kv_slots = 8000000;
    Scheduler scheduler(options, {kEnd});
    for (uint64_t id = 0; id < 8; ++id) {
      Request request = plain_request(id, 800, 2000);
      request.params.n = 256;
      scheduler.add(std::move(request));
    }
    while (scheduler.stats().waiting > 0) measure(scheduler, 1);
    const Cost cost = measure(scheduler, 200);
    const Batch batch = scheduler.next();
    std::vector<double> finds;
    size_t parts = 0;
    for (int i = 0; i < 50; ++i) {
      const auto begin = Clock::now();
      parts = find_shared_parts(batch.rows, {.heads = 32, .kv_heads = 8, .key_bytes = 2048})
                  .parts.size();
      finds.push_back(std::chrono::duration<double, std::micro>(Clock::now() - begin).count());
    }
    scheduler.commit(batch, std::vector<RowResult>(batch.rows.size()));
    std::cout << batch.rows.size() << " rows decode, samples of 8 prompts: plan " << cost.plan
              << " us, commit " << cost.commit << " us, " << parts << " shared parts "
              << median(finds) << " us\n";
    EXPECT_EQ(parts, 8U);
    EXPECT_LT(cost.plan + median(finds), 10000);
    options.max_rows = 512;
  }
  for (const Order order : {Order::fifo, Order::automatic}) {
    // The pool is full: each step asks again whether the first that waits fits, and with an order
    // by lengths, who may have its slots meanwhile.
    options.kv_slots = 250000;
    options.order = order;
    Scheduler scheduler(options, {kEnd});
    fill(scheduler, 0, 10512, 300, 400);
    for (int i = 0; i < 60; ++i) measure(scheduler, 1);
    const SchedulerStats stats = scheduler.stats();
    const Cost cost = measure(scheduler, 200);
    std::cout << stats.running << " rows decode, " << stats.waiting << " wait: plan " << cost.plan
              << " us, commit " << cost.commit << " us\n";
    EXPECT_LT(cost.plan, 5000);
  }
  options.order = Order::fifo;
  {
    // A common beginning: waiting rows are looked up again until it is there.
    options.kv_slots = 1000000;
    Scheduler scheduler(options, {kEnd});
    for (uint64_t id = 0; id < 10000; ++id) {
      Request request = plain_request(id, 100, 200);
      const std::vector<Token> common = random_tokens(1, 6000);
      request.prompt.insert(request.prompt.begin(), common.begin(),
                            common.begin() + (id == 0 ? 3000 : 2900));
      scheduler.add(std::move(request));
    }
    measure(scheduler, 1);  // the first prompt fills the step
    const Cost aside = measure(scheduler, 1);
    const Cost enter = measure(scheduler, 30);
    std::cout << "10000 begin with 2900 tokens that one row computes: plan " << aside.plan
              << " us; then rows enter: plan " << enter.plan << " us\n";
    EXPECT_LT(aside.plan, 20000);
  }
}

// The worst that can come to the waiting list: one beginning for all, and every row longer than
// those before it.
TEST(Timing, WaitingInOrderTakesMicrosecondsARow) {
  for (const Order order : {Order::fifo, Order::longest_first, Order::prefix, Order::automatic}) {
    Scheduler scheduler({.kv_slots = 1000000,
                         .max_rows = 64,
                         .max_step_tokens = 512,
                         .max_length = 10000,
                         .order = order},
                        {kEnd});
    const std::vector<Token> common = random_tokens(1, 1000);
    std::vector<Request> requests;
    for (uint64_t id = 0; id < 8192; ++id) {
      requests.push_back(plain_request(id, 24, static_cast<int64_t>(1 + id)));
      auto& prompt = requests.back().prompt;
      prompt.insert(prompt.begin(), common.begin(), common.end());
    }
    const auto begin = Clock::now();
    for (Request& request : requests) scheduler.add(std::move(request));
    const double each =
        std::chrono::duration<double, std::micro>(Clock::now() - begin).count() / 8192;
    std::cout << "order " << static_cast<int>(order) << ": " << each << " us a row\n";
    EXPECT_LT(each, 2000);
  }
}

}  // namespace
}  // namespace spate
