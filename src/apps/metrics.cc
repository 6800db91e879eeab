#include "apps/metrics.h"

#include <charconv>
#include <cmath>
#include <span>
#include <utility>
#include <vector>

#include "base/check.h"

namespace spate {
namespace {

using Labels = std::vector<std::pair<std::string, std::string>>;

std::string number_text(double value) {
  if (std::isnan(value)) {
    return "NaN";
  }
  if (std::isinf(value)) {
    return value > 0 ? "+Inf" : "-Inf";
  }
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\n') {
      out += "\\n";
    } else {
      out.append(c == '\\' || c == '"' ? 1 : 0, '\\').append(1, c);
    }
  }
  return out;
}

class Page {
 public:
  explicit Page(const std::string& model) : model_(model) {}

  void gauge(std::string_view name, std::string_view help, double value) {
    head(name, "gauge", help);
    sample(name, {}, value);
  }
  void counter(std::string_view name, std::string_view help, int64_t value) {
    head(name, "counter", help);
    sample(name, {}, static_cast<double>(value));
  }
  // One line for each value of the label.
  void counters(std::string_view name, std::string_view help, const std::string& label,
                const std::vector<std::pair<std::string, int64_t>>& values) {
    head(name, "counter", help);
    for (const auto& [value, count] : values) {
      sample(name, {{label, value}}, static_cast<double>(count));
    }
  }
  void histogram(std::string_view name, std::string_view help, const Histogram& histogram,
                 std::span<const double> bounds) {
    head(name, "histogram", help);
    const std::string bucket = cat(name, "_bucket");
    for (const double bound : bounds) {
      sample(bucket, {{"le", number_text(bound)}},
             static_cast<double>(histogram.count_up_to(bound)));
    }
    sample(bucket, {{"le", "+Inf"}}, static_cast<double>(histogram.count()));
    sample(cat(name, "_sum"), {}, histogram.sum());
    sample(cat(name, "_count"), {}, static_cast<double>(histogram.count()));
  }

  std::string take() { return std::move(text_); }

 private:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    text_ += cat("# HELP spate:", name, " ", help, "\n# TYPE spate:", name, " ", type, "\n");
  }
  void sample(std::string_view name, const Labels& labels, double value) {
    text_ += cat("spate:", name, "{model_name=\"", escaped(model_), "\"");
    for (const auto& [label, of] : labels) {
      text_ += cat(",", label, "=\"", escaped(of), "\"");
    }
    text_ += cat("} ", number_text(value), "\n");
  }

  const std::string& model_;
  std::string text_;
};

// Upper ends of buckets, in seconds. Rows of a batch wait for each other, up to hours.
constexpr double kWaits[] = {0.01, 0.05, 0.1, 0.25, 0.5, 1,    2.5,  5,    10,   20,
                             40,   80,   160, 320,  640, 1280, 2560, 5120, 10240};
constexpr double kTokenTimes[] = {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075,
                                  0.1,   0.15,   0.2,   0.3,  0.4,   0.5,  0.75,
                                  1,     2.5,    5,     10,   20,    40,   80};

std::vector<std::pair<std::string, int64_t>> pairs(const std::map<std::string, int64_t>& counts) {
  return {counts.begin(), counts.end()};
}

}  // namespace

std::string metrics_text(const MetricsSnapshot& snapshot) {
  const ProgressCounts& counts = snapshot.counts;
  const TallyNumbers& tally = snapshot.tally;
  const SchedulerStats& scheduler = snapshot.engine.scheduler;
  Page page(snapshot.model);
  page.gauge("num_requests_running", "Rows that the engine works on.",
             static_cast<double>(counts.running));
  page.gauge("num_requests_waiting", "Rows that wait in the engine.",
             static_cast<double>(counts.waiting));
  page.gauge("kv_cache_usage_perc", "Share of the KV cache in use, 0 to 1.", counts.kv_share);
  page.counter("prompt_tokens_total", "Prompt tokens computed.", counts.prompt_tokens);
  page.counter("generation_tokens_total", "Tokens generated.", counts.output_tokens);
  page.counter("num_preemptions_total", "Rows put back for want of KV cache.", counts.evictions);
  page.counter("prefix_cache_queries_total", "Prompt tokens looked for in the cache.",
               scheduler.prompt_tokens);
  page.counter("prefix_cache_hits_total", "Of these, tokens that were there.",
               scheduler.cached_tokens);
  page.counters("request_success_total", "Answers, by why they ended.", "finished_reason",
                pairs(tally.finishes));

  page.histogram("time_to_first_token_seconds", "From the engine's door to the first token.",
                 tally.first_token, kWaits);
  page.histogram("e2e_request_latency_seconds", "From the engine's door to the end of the row.",
                 tally.whole_row, kWaits);
  page.histogram("request_queue_time_seconds", "From the engine's door to the first step.",
                 tally.queue, kWaits);
  page.histogram("request_time_per_output_token_seconds",
                 "From the first token to the last, by the tokens after the first.",
                 tally.per_token, kTokenTimes);

  page.gauge("rows", "Rows of the job; NaN while not known.",
             counts.rows_total < 0 ? std::nan("") : static_cast<double>(counts.rows_total));
  page.counters("rows_done_total", "Rows with an outcome.", "outcome",
                {{"ok", tally.ok}, {"failed", tally.failed}, {"skipped", tally.skipped}});
  page.counters("row_errors_total", "Failed rows, by code.", "code", pairs(tally.errors));
  page.counter("row_retries_total", "More tries of rows that had failed.", tally.retries);
  page.counter("steps_total", "Steps of the engine.", snapshot.engine.steps);
  page.gauge("engine_busy_seconds", "Time inside steps.", snapshot.engine.busy_seconds);
  page.gauge("engine_idle_seconds", "Time in which the engine had no row.",
             snapshot.engine.idle_seconds);
  page.counter("output_bytes_total", "Bytes written to the output and the errors.",
               snapshot.output_bytes);
  page.gauge("run_seconds", "Time since the run began.", snapshot.seconds);
  page.gauge("eta_seconds", "Time left, by the tokens that are left; NaN while unknown.",
             snapshot.eta_seconds);
  return page.take();
}

}  // namespace spate
