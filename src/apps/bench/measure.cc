#include "apps/bench/measure.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <thread>

#include "apps/bench/lengths.h"
#include "apps/engine_flags.h"
#include "base/check.h"
#include "base/clock.h"

namespace spate {
namespace {

double rate(double amount, double seconds) { return seconds > 0 ? amount / seconds : 0; }
double rate(int64_t amount, double seconds) { return rate(static_cast<double>(amount), seconds); }

// In the order of use: what was asked first, how it came about below.
constexpr BenchMetric kMetrics[] = {
    {"total_tokens_per_second", "total tok/s", 1,
     [](const BenchRun& run) { return rate(run.prompt_tokens + run.output_tokens, run.seconds); }},
    {"prompt_tokens_per_second", "prompt tok/s", 1,
     [](const BenchRun& run) { return rate(run.prompt_tokens, run.seconds); }},
    {"output_tokens_per_second", "output tok/s", 1,
     [](const BenchRun& run) { return rate(run.output_tokens, run.seconds); }},
    {"prefill_tokens_per_second", "prefill tok/s", 1,
     [](const BenchRun& run) {
       return rate(run.stats.prefill.prompt_tokens, run.stats.prefill.seconds);
     }},
    {"decode_tokens_per_second", "decode tok/s", 1,
     [](const BenchRun& run) {
       return rate(run.stats.decode.output_tokens, run.stats.decode.seconds);
     }},
    {"steady_prompt_tokens_per_second", "steady prompt tok/s", 1,
     [](const BenchRun& run) { return run.phases.steady_prompt.per_second(); }},
    {"steady_output_tokens_per_second", "steady output tok/s", 1,
     [](const BenchRun& run) { return run.phases.steady_output.per_second(); }},
    {"full_decode_step_ms", "full decode step ms", 3,
     [](const BenchRun& run) { return 1000 * run.phases.full_decode_step_seconds; }},
    {"seconds", "seconds", 2, [](const BenchRun& run) { return run.seconds; }},
    {"ramp_seconds", "ramp s", 2, [](const BenchRun& run) { return run.phases.ramp_seconds; }},
    {"steady_seconds", "steady s", 2,
     [](const BenchRun& run) { return run.phases.steady_seconds; }},
    {"tail_seconds", "tail s", 2, [](const BenchRun& run) { return run.phases.tail_seconds; }},
};

void subtract(StepSlice& from, const StepSlice& slice) {
  from.seconds -= slice.seconds;
  from.steps -= slice.steps;
  from.rows -= slice.rows;
  from.prompt_tokens -= slice.prompt_tokens;
  from.output_tokens -= slice.output_tokens;
}

void fail_on_error(const Event& event) {
  if (event.finish && event.finish->reason == FinishReason::error) {
    throw Error(cat("bench: row ", event.request, " cannot run: ", event.finish->text),
                ExitCode::usage);
  }
}

// Touches the memory and wakes the threads. Answers the first slice of time after it.
size_t warm_up(Engine& engine, int64_t vocabulary) {
  constexpr int64_t kOutput = 2;
  Request request{.prompt = random_prompt(0, 0, kWarmUpTokens - kOutput, vocabulary)};
  request.params.temperature = 0;
  request.params.max_tokens = kOutput;
  request.params.ignore_eos = true;
  engine.submit(std::move(request));
  for (bool finished = false; !finished;) {
    for (const Event& event : engine.next_events()) {
      fail_on_error(event);
      finished = finished || event.finish.has_value();
    }
  }
  const EngineStats stats = engine.stats();
  std::this_thread::sleep_for(std::chrono::duration<double>(1.5 * stats.slice_seconds));
  return stats.slices.size();
}

int64_t sum_over(const std::vector<Request>& requests, int64_t (*part)(const Request&)) {
  int64_t sum = 0;
  for (const Request& request : requests) {
    sum += part(request);
  }
  return sum;
}

int64_t output_of(const Request& request) { return request.params.max_tokens * request.params.n; }
int64_t prompt_of(const Request& request) { return static_cast<int64_t>(request.prompt.size()); }

}  // namespace

int64_t BenchCase::prompt_tokens() const { return sum_over(requests, prompt_of); }
int64_t BenchCase::output_tokens() const { return sum_over(requests, output_of); }

int64_t BenchCase::longest() const {
  int64_t longest = 0;
  for (const Request& request : requests) {
    longest = std::max(longest, prompt_of(request) + request.params.max_tokens);
  }
  return longest;
}

EngineStats stats_between(const EngineStats& before, const EngineStats& after, size_t first_slice) {
  EngineStats stats = after;
  SchedulerStats& scheduler = stats.scheduler;
  scheduler.evictions -= before.scheduler.evictions;
  scheduler.recomputed -= before.scheduler.recomputed;
  scheduler.prompt_tokens -= before.scheduler.prompt_tokens;
  scheduler.cached_tokens -= before.scheduler.cached_tokens;
  stats.busy_seconds -= before.busy_seconds;
  stats.idle_seconds -= before.idle_seconds;
  stats.device_idle_seconds -= before.device_idle_seconds;
  stats.steps -= before.steps;
  stats.prompt_tokens -= before.prompt_tokens;
  stats.output_tokens -= before.output_tokens;
  stats.rows -= before.rows;
  subtract(stats.prefill, before.prefill);
  subtract(stats.decode, before.decode);
  stats.kv_mean = rate(after.kv_mean * after.busy_seconds - before.kv_mean * before.busy_seconds,
                       stats.busy_seconds);
  for (size_t rows = 0; rows < before.steps_by_rows.size(); ++rows) {
    stats.steps_by_rows[rows] -= before.steps_by_rows[rows];
  }
  first_slice = std::min(first_slice, stats.slices.size());
  stats.slices.erase(stats.slices.begin(), stats.slices.begin() + static_cast<long>(first_slice));
  subtract_ops(stats.profile, before.profile);
  return stats;
}

BenchRun run_bench_case(const ModelFiles& files, EngineOptions options, const BenchCase& one,
                        std::string& device) {
  Engine engine = before_running([&] { return Engine(files, options); });
  device = engine.device();
  const size_t first_slice = warm_up(engine, files.checkpoint->config().vocabulary);
  const EngineStats before = engine.stats();

  BenchRun run;
  const Stopwatch watch;
  for (const Request& request : one.requests) {
    engine.submit(request);
  }
  engine.close();
  while (!engine.finished()) {
    for (const Event& event : engine.next_events()) {
      fail_on_error(event);
      run.output_tokens += static_cast<int64_t>(event.tokens.size());
    }
  }
  run.seconds = watch.seconds();
  run.prompt_tokens = one.prompt_tokens();
  run.stats = stats_between(before, engine.stats(), first_slice);
  run.phases = find_phases(run.stats);
  return run;
}

std::span<const BenchMetric> bench_metrics() { return kMetrics; }

Spread spread_of(const std::vector<BenchRun>& runs, const BenchMetric& metric) {
  std::vector<double> values;
  for (const BenchRun& run : runs) {
    values.push_back(metric.value(run));
  }
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
  return {median, values.front(), values.back()};
}

const BenchRun& typical_run(const std::vector<BenchRun>& runs) {
  std::vector<const BenchRun*> by_time;
  for (const BenchRun& run : runs) {
    by_time.push_back(&run);
  }
  std::sort(by_time.begin(), by_time.end(),
            [](const BenchRun* a, const BenchRun* b) { return a->seconds < b->seconds; });
  return *by_time[(by_time.size() - 1) / 2];
}

}  // namespace spate
