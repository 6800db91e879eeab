// How well the pool is used: many requests of chat-like lengths, more than fit, unlike each other.
// Prints figures; the bounds are what a policy must not fall below.
#include <cmath>

#include "tests/sched/fake_device.h"

namespace spate {
namespace {

double normal(uint64_t key, uint64_t at) {
  const Philox4 words = philox(key, at);
  return std::sqrt(-2 * std::log(open_uniform(words.word[0]))) *
         std::cos(6.2831853 * open_uniform(words.word[1]));
}

int64_t length_like(double log_mean, double log_deviation, uint64_t key, uint64_t at) {
  const double length = std::exp(log_mean + log_deviation * normal(key, at));
  return std::clamp<int64_t>(static_cast<int64_t>(length), 1, 2000);
}

struct Figures {
  double rows = 0;      // a step, while requests wait
  double full = 0;      // share of the pool that holds tokens, while requests wait
  double segments = 0;  // a row
  SchedulerStats stats;
};

// Rows end by themselves, far below max_tokens; or, when `exact`, max_tokens says how long they
// get.
Figures run(int64_t slots, uint64_t requests, bool share, bool exact) {
  Scheduler scheduler({.kv_slots = slots,
                       .max_rows = 1024,
                       .max_step_tokens = 2048,
                       .max_length = 4096,
                       .share_prefixes = share},
                      {kEnd});
  std::vector<int64_t> answers;
  for (uint64_t id = 0; id < requests; ++id) {
    answers.push_back(std::min<int64_t>(length_like(4.9, 0.9, 2, id), 1024));
    const auto prompt = static_cast<size_t>(length_like(4.8, 1, 1, id));
    Request request = plain_request(id, prompt, exact ? answers.back() : 1024);
    request.params.ignore_eos = exact;
    scheduler.add(std::move(request));
  }
  Figures out;
  double steps = 0, row_steps = 0;
  for (;;) {
    const Batch batch = scheduler.next();
    if (batch.rows.empty()) break;
    std::vector<RowResult> results(batch.rows.size());
    double tokens = 0;
    for (size_t i = 0; i < results.size(); ++i) {
      const Sequence& sequence = *batch.rows[i].sequence;
      const bool last = sequence.generated() + 1 >= answers[sequence.request];
      results[i].sampled.token = last && !exact ? kEnd : 1;
      tokens += static_cast<double>(sequence.computed);
      out.segments += static_cast<double>(sequence.segments.size());
    }
    row_steps += static_cast<double>(batch.rows.size());
    if (scheduler.stats().waiting > 0) {
      ++steps;
      out.rows += static_cast<double>(batch.rows.size());
      out.full += tokens / static_cast<double>(slots);
    }
    scheduler.commit(batch, results);
  }
  out.rows /= steps;
  out.full /= steps;
  out.segments /= row_steps;
  out.stats = scheduler.stats();
  return out;
}

void report(const char* what, const Figures& figures) {
  std::cout << what << ": " << figures.rows << " rows, " << 100 * figures.full
            << " % of the slots hold tokens, " << figures.stats.evictions << " evictions, "
            << figures.stats.recomputed << " tokens again, " << figures.segments
            << " segments a row\n";
}

TEST(Occupancy, ThePoolIsFullAndHardlyAnyoneIsEvicted) {
  for (const bool share : {true, false}) {
    const Figures figures = run(25000, 2000, share, false);
    report(share ? "ends unknown, sharing" : "ends unknown, no sharing", figures);
    EXPECT_GT(figures.full, 0.85);
    EXPECT_LT(figures.stats.evictions, 40);
    EXPECT_LT(figures.segments, 15);
  }
  const Figures exact = run(25000, 2000, false, true);
  report("ends known", exact);
  EXPECT_GT(exact.full, 0.85);
  EXPECT_LT(exact.stats.evictions, 40);
  const Figures small = run(5000, 400, true, false);
  report("a small pool", small);
  EXPECT_GT(small.full, 0.6);
  EXPECT_LT(small.stats.recomputed, small.stats.prompt_tokens / 5);
}

}  // namespace
}  // namespace spate
