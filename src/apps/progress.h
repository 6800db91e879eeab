// Live progress on stderr: one line that redraws itself on a terminal, the same line every few
// seconds in a log, or JSON objects for programs.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "apps/cli.h"
#include "base/clock.h"
#include "base/json.h"

namespace spate {

enum class ProgressMode { automatic, bar, plain, json, none, silent };  // silent: not even notes
enum class ColorMode { automatic, always, never };

Choices<ProgressMode> progress_modes();
Choices<ColorMode> color_modes();

// What is counted; the meter adds what follows from the counts over time.
struct ProgressCounts {
  int64_t rows_total = -1;  // -1: not known, the input is a pipe
  int64_t rows_done = 0;    // with an outcome: answered, failed or skipped
  int64_t failed = 0;
  int64_t running = 0, waiting = 0;                        // in the engine
  int64_t prompt_tokens = 0, output_tokens = 0;            // computed and drawn so far
  int64_t done_prompt_tokens = 0, done_output_tokens = 0;  // of answered rows
  int64_t answered = 0;
  double kv_share = 0;    // of the cache's slots in use
  double hit_share = 0;   // prompt tokens found in the cache
  int64_t evictions = 0;  // rows put back for want of cache
};

struct ProgressRates {
  double prompt_rate = 0, output_rate = 0;  // tokens a second over the last kWindowSeconds
  double eta_seconds = 0;                   // NaN while unknown
};

// Rates over a sliding window, and the time left from tokens: rows differ in length, so the tokens
// that the rows left will take are estimated by the mean of the rows answered so far.
class ProgressMeter {
 public:
  ProgressRates update(double seconds, const ProgressCounts& counts);

 private:
  static constexpr double kWindowSeconds = 15;
  struct Point {
    double seconds;
    int64_t prompt_tokens, output_tokens;
  };
  std::deque<Point> points_;
};

std::string progress_text(const ProgressCounts& counts, const ProgressRates& rates);
Json progress_json(double seconds, const ProgressCounts& counts, const ProgressRates& rates);

// Owner: the thread that runs the job; no other may write to stderr while a bar is shown.
class ProgressDisplay {
 public:
  // interval 0: half a second for a bar, ten for the others.
  ProgressDisplay(ProgressMode mode, ColorMode color, double interval);
  ~ProgressDisplay() { finish(); }
  ProgressDisplay(const ProgressDisplay&) = delete;
  ProgressDisplay& operator=(const ProgressDisplay&) = delete;

  bool due() const;  // time for the next show()
  void show(const ProgressCounts& counts);
  void note(const std::string& text);   // a line of its own, above the bar
  void stage(const std::string& text);  // what happens before rows run: "loading"
  void finish();                        // takes the bar away

 private:
  void clear();

  ProgressMode mode_;
  bool color_;
  double interval_;
  bool shown_ = false;  // a bar is on the screen
  bool first_ = true;
  Stopwatch clock_, since_show_;
  ProgressMeter meter_;
};

bool use_color(ColorMode mode);  // NO_COLOR, TERM=dumb and pipes say no

}  // namespace spate
