#include "apps/bench/text.h"

#include <algorithm>
#include <cmath>

#include "apps/figures.h"
#include "apps/profile_text.h"

namespace spate {
namespace {

double share(double part, double whole) { return whole > 0 ? part / whole : 0; }
double share(int64_t part, int64_t whole) {
  return share(static_cast<double>(part), static_cast<double>(whole));
}

std::string right(const std::string& text, size_t width) {
  return text.size() >= width ? text : std::string(width - text.size(), ' ') + text;
}

std::string left(std::string text, size_t width) {
  text.resize(std::max(text.size(), width), ' ');
  return text;
}

double mean_tokens(const EngineStats& stats) {
  return share(stats.prompt_tokens + stats.output_tokens, stats.steps);
}

}  // namespace

std::string bench_case_text(const BenchResult& result) {
  const EngineStats& stats = typical_run(result.runs).stats;
  const size_t runs = result.runs.size();
  std::string text = result.what.name;
  text += runs > 1 ? cat("   median of ", runs, " runs (least to most)\n") : "\n";
  for (const BenchMetric& metric : bench_metrics()) {
    const Spread spread = spread_of(result.runs, metric);
    text +=
        "  " + left(std::string(metric.title), 20) + right(fixed(spread.median, metric.digits), 10);
    if (runs > 1) {
      text += "   (" + fixed(spread.least, metric.digits) + " to " +
              fixed(spread.most, metric.digits) + ")";
    }
    text += '\n';
  }
  const auto slots = static_cast<double>(stats.scheduler.kv_slots);
  text += "  " + left("steps", 20) + right(with_commas(stats.steps), 10) + "   rows mean " +
          fixed(share(stats.rows, stats.steps), 1) +
          cat(" p10 ", rows_percentile(stats, 0.1), " p50 ", rows_percentile(stats, 0.5), " p99 ",
              rows_percentile(stats, 0.99)) +
          "   tokens mean " + fixed(mean_tokens(stats), 1) + "   kv peak " +
          percent_text(static_cast<double>(stats.kv_peak), slots, 1) + " preempted " +
          with_commas(stats.scheduler.evictions) + "\n";
  if (stats.device_idle_seconds > 0) {
    text += "  " + left("device idle", 20) +
            right(percent_text(stats.device_idle_seconds, stats.busy_seconds, 2), 10) +
            "   between steps and inside of them\n";
  }
  return text + profile_text(stats);
}

std::string bench_table_text(const std::vector<BenchResult>& all) {
  constexpr size_t kShown = 5;  // rates; the others stand in the blocks
  constexpr size_t kName = 34, kColumn = 15;
  std::string text = left("", kName);
  for (size_t i = 0; i < kShown; ++i) {
    text += right(std::string(bench_metrics()[i].title), kColumn);
  }
  text += '\n';
  for (const BenchResult& result : all) {
    text += left(result.what.name, kName);
    for (size_t i = 0; i < kShown; ++i) {
      const BenchMetric& metric = bench_metrics()[i];
      text += right(fixed(spread_of(result.runs, metric).median, metric.digits), kColumn);
    }
    text += '\n';
  }
  return text;
}

Json bench_case_json(const BenchResult& result) {
  const BenchRun& typical = typical_run(result.runs);
  const EngineStats& stats = typical.stats;
  JsonObject metrics;
  for (const BenchMetric& metric : bench_metrics()) {
    const Spread spread = spread_of(result.runs, metric);
    JsonArray runs;
    for (const BenchRun& run : result.runs) {
      runs.push_back(exact(metric.value(run)));
    }
    metrics.emplace_back(metric.key, JsonObject{{"median", exact(spread.median)},
                                                {"least", exact(spread.least)},
                                                {"most", exact(spread.most)},
                                                {"runs", std::move(runs)}});
  }
  return JsonObject{
      {"name", result.what.name},
      {"rows", static_cast<int64_t>(result.what.requests.size())},
      {"prompt_tokens", typical.prompt_tokens},
      {"output_tokens", typical.output_tokens},
      {"runs", static_cast<int64_t>(result.runs.size())},
      {"metrics", std::move(metrics)},
      {"batch", JsonObject{{"steps", stats.steps},
                           {"mean_rows", exact(share(stats.rows, stats.steps))},
                           {"p10_rows", rows_percentile(stats, 0.1)},
                           {"p50_rows", rows_percentile(stats, 0.5)},
                           {"p99_rows", rows_percentile(stats, 0.99)},
                           {"mean_tokens_per_step", exact(mean_tokens(stats))}}},
      {"device_idle_seconds", exact(stats.device_idle_seconds)},
      {"kv", JsonObject{{"slots", stats.scheduler.kv_slots},
                        {"peak_slots", stats.kv_peak},
                        {"mean_slots", exact(stats.kv_mean)},
                        {"evictions", stats.scheduler.evictions},
                        {"recomputed_tokens", stats.scheduler.recomputed}}},
      {"device_rates", rates_json(stats)},
      {"profile", profile_json(stats)},
  };
}

}  // namespace spate
