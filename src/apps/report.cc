#include "apps/report.h"

#include <algorithm>
#include <cmath>

#include "apps/figures.h"
#include "apps/profile_text.h"

namespace spate {
namespace {

constexpr double kTailShare = 0.05;

double ratio(double part, double whole) { return whole > 0 ? part / whole : 0; }
double ratio(int64_t part, int64_t whole) {
  return ratio(static_cast<double>(part), static_cast<double>(whole));
}

// The numbers that both forms print.
struct Numbers {
  double total_seconds, rows_rate, prompt_rate, output_rate, total_rate;
  double mean_rows, mean_tokens;
  double kv_peak_share, kv_mean_share, recomputed_share, hit_share;
  double tail_seconds;
  Phases phases;
};

Numbers compute(const RunFacts& facts) {
  const EngineStats& engine = facts.engine;
  const TallyNumbers& tally = facts.tally;
  const auto slots = static_cast<double>(engine.scheduler.kv_slots);
  Numbers numbers;
  numbers.total_seconds = facts.times.load + facts.times.run + facts.times.flush;
  numbers.rows_rate = ratio(static_cast<double>(tally.ok), facts.times.run);
  numbers.prompt_rate = ratio(static_cast<double>(tally.prompt_tokens), facts.times.run);
  numbers.output_rate = ratio(static_cast<double>(tally.output_tokens), facts.times.run);
  numbers.total_rate = numbers.prompt_rate + numbers.output_rate;
  numbers.mean_rows = ratio(engine.rows, engine.steps);
  numbers.mean_tokens = ratio(engine.prompt_tokens + engine.output_tokens, engine.steps);
  numbers.kv_peak_share = ratio(static_cast<double>(engine.kv_peak), slots);
  numbers.kv_mean_share = ratio(engine.kv_mean, slots);
  numbers.recomputed_share =
      ratio(engine.scheduler.recomputed, engine.prompt_tokens + engine.output_tokens);
  numbers.hit_share = ratio(engine.scheduler.cached_tokens, engine.scheduler.prompt_tokens);
  numbers.tail_seconds = tail_seconds(tally, kTailShare);
  numbers.phases = find_phases(engine);
  return numbers;
}

Json percentiles_json(const Histogram& histogram) {
  return JsonObject{{"p50", exact(histogram.percentile(0.5))},
                    {"p90", exact(histogram.percentile(0.9))},
                    {"p99", exact(histogram.percentile(0.99))}};
}

std::string seconds_text(double seconds) {
  if (!std::isfinite(seconds)) {
    return "-";
  }
  return seconds < 1 ? fixed(seconds * 1000, 0) + " ms" : fixed(seconds, 1) + " s";
}

std::string latency_text(std::string_view name, const Histogram& histogram) {
  return cat(name, " p50 ", seconds_text(histogram.percentile(0.5)), " p99 ",
             seconds_text(histogram.percentile(0.99)));
}

// The lines about what the engine did.
std::string work_text(const RunFacts& facts) {
  const Numbers numbers = compute(facts);
  const TallyNumbers& tally = facts.tally;
  const EngineStats& engine = facts.engine;
  std::string text;
  const auto line = [&text](const char* name, const std::string& rest) {
    text += report_line(name, rest);
  };
  line("tokens", "in " + with_commas(tally.prompt_tokens) + " (cached " +
                     with_commas(tally.cached_tokens) + ")  out " +
                     with_commas(tally.output_tokens));
  line("time", "total " + fixed(numbers.total_seconds, 1) + " s = load " +
                   fixed(facts.times.load, 1) + " + run " + fixed(facts.times.run, 1) +
                   " + flush " + fixed(facts.times.flush, 1) + " ; input wait " +
                   fixed(facts.times.input_wait, 1) + "  output wait " +
                   fixed(facts.times.output_wait, 1));
  line("throughput", fixed(numbers.rows_rate, 2) + " rows/s   in " +
                         with_commas(numbers.prompt_rate) + "  out " +
                         with_commas(numbers.output_rate) + "  total " +
                         with_commas(numbers.total_rate) + " tok/s");
  line("batch", "mean rows " + fixed(numbers.mean_rows, 1) +
                    cat("  p10 ", rows_percentile(engine, 0.1), " p50 ",
                        rows_percentile(engine, 0.5), " p99 ", rows_percentile(engine, 0.99)) +
                    "   mean tokens/step " + fixed(numbers.mean_tokens, 1));
  line("kv", "peak " + fixed(100 * numbers.kv_peak_share, 1) + " %  mean " +
                 fixed(100 * numbers.kv_mean_share, 1) + " %  preempted " +
                 with_commas(engine.scheduler.evictions) + " rows (recomputed " +
                 with_commas(engine.scheduler.recomputed) + " tokens, " +
                 fixed(100 * numbers.recomputed_share, 2) + " %)");
  line("prefix", "hit " + fixed(100 * numbers.hit_share, 1) + " %");
  if (numbers.tail_seconds > 0) {
    line("tail", "last 5 % of rows took " + fixed(numbers.tail_seconds, 1) + " s (" +
                     fixed(100 * ratio(numbers.tail_seconds, facts.times.run), 1) +
                     " %)  time under half batch " + fixed(numbers.phases.under_half_seconds, 1) +
                     " s  cost " + fixed(numbers.phases.tail_cost_seconds, 1) + " s");
  }
  if (tally.ok > 0) {
    line("latency", latency_text("queue", tally.queue) + " | " +
                        latency_text("ttft", tally.first_token) + " | " +
                        latency_text("e2e", tally.whole_row) + " | " +
                        latency_text("tpot", tally.per_token));
  }
  return text;
}

}  // namespace

double tail_seconds(const TallyNumbers& tally, double share) {
  constexpr size_t kFewest = 20;
  const auto& times = tally.finish_times;  // rows are counted as they finish, so they ascend
  if (times.size() < kFewest) {
    return 0;
  }
  const auto before =
      static_cast<size_t>(std::floor(static_cast<double>(times.size()) * (1 - share)));
  return times.back() - times[std::max<size_t>(before, 1) - 1];
}

Json report_json(const RunFacts& facts) {
  const Numbers numbers = compute(facts);
  const TallyNumbers& tally = facts.tally;
  const EngineStats& engine = facts.engine;
  const Phases& phases = numbers.phases;
  return JsonObject{
      {"event", "report"},
      {"version", SPATE_VERSION},
      {"model", facts.model},
      {"device", facts.device},
      {"input", facts.input},
      {"output", facts.output},
      {"complete", facts.complete},
      {"stopped_by", facts.stopped_by.empty() ? Json() : Json(facts.stopped_by)},
      {"rows", JsonObject{{"read", facts.rows_read},
                          {"ok", tally.ok},
                          {"failed", tally.failed},
                          {"skipped", tally.skipped},
                          {"dropped", tally.dropped},
                          {"answered_before", tally.answered_before},
                          {"failed_before", tally.failed_before},
                          {"retries", tally.retries},
                          {"truncated_prompts", tally.truncated}}},
      {"errors", counts_json(tally.errors)},
      {"finish", counts_json(tally.finishes)},
      {"tokens", JsonObject{{"prompt", tally.prompt_tokens},
                            {"cached", tally.cached_tokens},
                            {"output", tally.output_tokens},
                            {"computed_prompt", engine.prompt_tokens},
                            {"computed_output", engine.output_tokens}}},
      {"seconds", JsonObject{{"total", exact(numbers.total_seconds)},
                             {"load", exact(facts.times.load)},
                             {"run", exact(facts.times.run)},
                             {"flush", exact(facts.times.flush)},
                             {"input_wait", exact(facts.times.input_wait)},
                             {"output_wait", exact(facts.times.output_wait)}}},
      {"throughput", JsonObject{{"rows_per_second", exact(numbers.rows_rate)},
                                {"prompt_tokens_per_second", exact(numbers.prompt_rate)},
                                {"output_tokens_per_second", exact(numbers.output_rate)},
                                {"total_tokens_per_second", exact(numbers.total_rate)}}},
      {"batch", JsonObject{{"steps", engine.steps},
                           {"mean_rows", exact(numbers.mean_rows)},
                           {"p10_rows", rows_percentile(engine, 0.1)},
                           {"p50_rows", rows_percentile(engine, 0.5)},
                           {"p99_rows", rows_percentile(engine, 0.99)},
                           {"mean_tokens_per_step", exact(numbers.mean_tokens)}}},
      {"kv", JsonObject{{"slots", engine.scheduler.kv_slots},
                        {"peak_share", exact(numbers.kv_peak_share)},
                        {"mean_share", exact(numbers.kv_mean_share)},
                        {"evictions", engine.scheduler.evictions},
                        {"recomputed_tokens", engine.scheduler.recomputed},
                        {"recomputed_share", exact(numbers.recomputed_share, 1e6)}}},
      {"prefix_hit_share", exact(numbers.hit_share)},
      {"output_file", JsonObject{{"bytes", facts.writes.bytes},
                                 {"lines", facts.writes.lines},
                                 {"syncs", facts.writes.syncs},
                                 {"write_seconds", exact(facts.writes.write_seconds)},
                                 {"sync_seconds", exact(facts.writes.sync_seconds)}}},
      {"engine", JsonObject{{"busy_seconds", exact(engine.busy_seconds)},
                            {"idle_seconds", exact(engine.idle_seconds)},
                            {"device_idle_seconds", exact(engine.device_idle_seconds)}}},
      {"device_rates", rates_json(engine)},
      {"profile", profile_json(engine)},
      {"tail", JsonObject{{"last_rows_share", kTailShare},
                          {"last_rows_seconds", exact(numbers.tail_seconds)},
                          {"under_half_batch_seconds", exact(phases.under_half_seconds)},
                          {"cost_seconds", exact(phases.tail_cost_seconds)},
                          {"ramp_seconds", exact(phases.ramp_seconds)},
                          {"steady_seconds", exact(phases.steady_seconds)},
                          {"tail_seconds", exact(phases.tail_seconds)}}},
      {"latency_seconds", JsonObject{{"queue", percentiles_json(tally.queue)},
                                     {"first_token", percentiles_json(tally.first_token)},
                                     {"whole_row", percentiles_json(tally.whole_row)},
                                     {"per_output_token", percentiles_json(tally.per_token)}}},
      {"memory_bytes", JsonObject{{"weights", facts.plan.weights},
                                  {"workspace", facts.plan.workspace},
                                  {"kv", facts.plan.kv_bytes}}},
  };
}

std::string report_text(const RunFacts& facts) {
  const TallyNumbers& tally = facts.tally;
  std::string text;
  const auto line = [&text](const char* name, const std::string& rest) {
    text += report_line(name, rest);
  };
  line("rows", with_commas(facts.rows_read) + "  ok " + with_commas(tally.ok) + "  failed " +
                   with_commas(tally.failed) + count_if_any("skipped", tally.skipped) +
                   count_if_any("not finished", tally.dropped) +
                   count_if_any("done before", tally.answered_before + tally.failed_before) +
                   count_if_any("failed before", tally.failed_before) +
                   count_if_any("retries", tally.retries) +
                   count_if_any("prompts cut", tally.truncated));
  if (!tally.finishes.empty()) {
    line("finish", counts_text(tally.finishes));
  }
  if (!tally.errors.empty()) {
    line("errors", counts_text(tally.errors));
  }
  if (facts.engine.steps > 0) {
    text += work_text(facts) + profile_text(facts.engine);
  }
  if (!facts.complete) {
    line("stopped", "by " + facts.stopped_by + "; finished rows are on file");
  }
  return text;
}

}  // namespace spate
