#include "apps/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "apps/figures.h"
#include "apps/log_file.h"

namespace spate {
namespace {

size_t terminal_width() {
  winsize size{};
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) {
    return 80;
  }
  return size.ws_col;
}

void put(const std::string& text) {
  std::fputs(text.c_str(), stderr);
  std::fflush(stderr);
}

}  // namespace

Choices<ProgressMode> progress_modes() {
  return {{"auto", ProgressMode::automatic},
          {"bar", ProgressMode::bar},
          {"plain", ProgressMode::plain},
          {"json", ProgressMode::json},
          {"none", ProgressMode::none}};
}

Choices<ColorMode> color_modes() {
  return {
      {"auto", ColorMode::automatic}, {"always", ColorMode::always}, {"never", ColorMode::never}};
}

bool use_color(ColorMode mode) {
  if (mode != ColorMode::automatic) {
    return mode == ColorMode::always;
  }
  const char* refused = std::getenv("NO_COLOR");
  const char* terminal = std::getenv("TERM");
  return (refused == nullptr || *refused == '\0') && ::isatty(STDERR_FILENO) == 1 &&
         terminal != nullptr && std::string_view(terminal) != "dumb";
}

ProgressRates ProgressMeter::update(double seconds, const ProgressCounts& counts) {
  points_.push_back({seconds, counts.prompt_tokens, counts.output_tokens});
  while (points_.size() > 2 && points_[1].seconds <= seconds - kWindowSeconds) {
    points_.pop_front();
  }
  ProgressRates rates;
  const Point& start = points_.front();
  const double length = seconds - start.seconds;
  if (length > 0) {
    rates.prompt_rate = static_cast<double>(counts.prompt_tokens - start.prompt_tokens) / length;
    rates.output_rate = static_cast<double>(counts.output_tokens - start.output_tokens) / length;
  }
  const double rate = rates.prompt_rate + rates.output_rate;
  const int64_t rows_left = counts.rows_total - counts.rows_done;
  if (counts.rows_total >= 0 && rows_left == 0) {
    rates.eta_seconds = 0;
  } else if (counts.rows_total < 0 || counts.answered == 0 || rate <= 0) {
    rates.eta_seconds = std::nan("");
  } else {
    const auto answered = static_cast<double>(counts.answered);
    const double prompt = static_cast<double>(counts.done_prompt_tokens) / answered;
    const double output = static_cast<double>(counts.done_output_tokens) / answered;
    // Of a row that runs, half of the output is left on average. What it has so far tells little:
    // short rows finish first, so that those which run are longer than the mean.
    const int64_t running = std::min(counts.running, rows_left);
    const double left = (prompt + output) * static_cast<double>(rows_left - running) +
                        output / 2 * static_cast<double>(running);
    rates.eta_seconds = left / rate;
  }
  return rates;
}

std::string progress_text(const ProgressCounts& counts, const ProgressRates& rates) {
  std::string text = "run ";
  if (counts.rows_total >= 0) {
    const auto total = static_cast<double>(std::max<int64_t>(counts.rows_total, 1));
    text += percent_text(static_cast<double>(counts.rows_done), total) + " " +
            with_commas(counts.rows_done) + "/" + with_commas(counts.rows_total) + " rows";
  } else {
    text += with_commas(counts.rows_done) + " rows";
  }
  text += " | out " + with_commas(rates.output_rate) + " tok/s in " +
          with_commas(rates.prompt_rate) + " tok/s | rows " + with_commas(counts.running) +
          " wait " + with_commas(counts.waiting) + " kv " + percent_text(counts.kv_share, 1) +
          " | hit " + percent_text(counts.hit_share, 1) + " pre " + with_commas(counts.evictions) +
          " err " + with_commas(counts.failed);
  if (counts.rows_total >= 0) {
    text += " | eta " + duration_text(rates.eta_seconds);
  }
  return text;
}

Json progress_json(double seconds, const ProgressCounts& counts, const ProgressRates& rates) {
  return JsonObject{
      {"event", "progress"},
      {"seconds", exact(seconds, 1e3)},
      {"rows_done", counts.rows_done},
      {"rows_total", counts.rows_total < 0 ? Json() : Json(counts.rows_total)},
      {"rows_failed", counts.failed},
      {"rows_running", counts.running},
      {"rows_waiting", counts.waiting},
      {"prompt_tokens", counts.prompt_tokens},
      {"output_tokens", counts.output_tokens},
      {"prompt_tokens_per_second", exact(rates.prompt_rate, 100)},
      {"output_tokens_per_second", exact(rates.output_rate, 100)},
      {"kv_share", exact(counts.kv_share, 1e4)},
      {"prefix_hit_share", exact(counts.hit_share, 1e4)},
      {"evictions", counts.evictions},
      {"eta_seconds", exact(rates.eta_seconds, 10)},
  };
}

ProgressDisplay::ProgressDisplay(ProgressMode mode, ColorMode color, double interval)
    : mode_(mode), color_(use_color(color)), interval_(interval) {
  if (mode_ == ProgressMode::automatic) {
    mode_ = ::isatty(STDERR_FILENO) == 1 ? ProgressMode::bar : ProgressMode::plain;
  }
  if (interval_ <= 0) {
    interval_ = mode_ == ProgressMode::bar ? 0.5 : 10;
  }
}

bool ProgressDisplay::due() const {
  return mode_ != ProgressMode::none && mode_ != ProgressMode::silent &&
         (first_ || since_show_.seconds() >= interval_);
}

void ProgressDisplay::show(const ProgressCounts& counts) {
  const double seconds = clock_.seconds();
  const ProgressRates rates = meter_.update(seconds, counts);
  since_show_.restart();
  if (first_) {
    first_ = false;  // the first point of the meter: there is no rate to show yet
    return;
  }
  switch (mode_) {
    case ProgressMode::bar: {
      std::string line = progress_text(counts, rates);
      line.resize(std::min(line.size(), terminal_width() - 1));  // a wrapped bar cannot be redrawn
      const bool red = color_ && counts.failed > 0;
      put("\r\x1b[K" + (red ? "\x1b[31m" + line + "\x1b[0m" : line));
      shown_ = true;
      break;
    }
    case ProgressMode::plain: put(time_stamp() + " " + progress_text(counts, rates) + "\n"); break;
    case ProgressMode::json: put(progress_json(seconds, counts, rates).dump() + "\n"); break;
    default: break;
  }
}

void ProgressDisplay::note(const std::string& text) {
  if (mode_ == ProgressMode::silent) {
    return;
  }
  clear();
  if (mode_ == ProgressMode::json) {
    put(Json(JsonObject{{"event", "note"}, {"text", text}}).dump() + "\n");
  } else {
    put(text + "\n");
  }
}

void ProgressDisplay::stage(const std::string& text) {
  if (mode_ == ProgressMode::bar) {
    put("\r\x1b[K" + text);
    shown_ = true;
  } else if (mode_ == ProgressMode::json) {
    put(Json(JsonObject{{"event", "stage"}, {"stage", text}}).dump() + "\n");
  }
}

void ProgressDisplay::clear() {
  if (shown_) {
    put("\r\x1b[K");
    shown_ = false;
  }
}

void ProgressDisplay::finish() { clear(); }

}  // namespace spate
