// Counts of a run, kept while rows come and go, and read by the progress line and the report.
// Any thread may count.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "apps/histogram.h"

namespace spate {

// Moments of one answered row, in seconds since the run began.
struct RowTimes {
  double submitted = 0;  // through the engine's door
  double started = 0;    // its first step begins
  double first_token = 0;
  double finished = 0;
};

struct TallyNumbers {
  int64_t ok = 0, failed = 0, skipped = 0, dropped = 0;  // rows; dropped: not finished at the end
  int64_t answered_before = 0, failed_before = 0;        // rows with an outcome of earlier runs
  int64_t truncated = 0;                                 // prompts that were cut to fit
  int64_t retries = 0;                                   // more tries of rows that had failed
  std::map<std::string, int64_t> errors;                 // by code
  std::map<std::string, int64_t> finishes;               // samples by finish reason
  int64_t prompt_tokens = 0, cached_tokens = 0, output_tokens = 0;  // of answered rows
  Histogram queue, first_token, whole_row, per_token;               // seconds
  std::vector<double> finish_times;  // every finish_stride-th answered row
  int64_t finish_stride = 1;

  int64_t done() const { return ok + failed + skipped; }  // in this run
};

class Tally {
 public:
  void count_answer(const RowTimes& times, int64_t prompt_tokens, int64_t cached_tokens,
                    int64_t output_tokens, const std::vector<std::string>& finish_reasons) {
    const std::lock_guard lock(mutex_);
    numbers_.prompt_tokens += prompt_tokens;
    numbers_.cached_tokens += cached_tokens;
    numbers_.output_tokens += output_tokens;
    for (const std::string& reason : finish_reasons) {
      ++numbers_.finishes[reason];
    }
    numbers_.queue.add(times.started - times.submitted);
    numbers_.first_token.add(times.first_token - times.submitted);
    numbers_.whole_row.add(times.finished - times.submitted);
    const auto samples = static_cast<int64_t>(std::max<size_t>(finish_reasons.size(), 1));
    if (output_tokens > samples) {
      // Of the mean sample: its first token belongs to the time before.
      const double steps = static_cast<double>(output_tokens) / static_cast<double>(samples) - 1;
      numbers_.per_token.add((times.finished - times.first_token) / steps);
    }
    if (numbers_.ok % numbers_.finish_stride == 0) {
      note_finish(times.finished);
    }
    ++numbers_.ok;
  }

  void count_failure(const std::string& code) {
    const std::lock_guard lock(mutex_);
    ++numbers_.failed;
    ++numbers_.errors[code];
  }
  void count_before(int64_t answered, int64_t failed) {
    add(&TallyNumbers::answered_before, answered);
    add(&TallyNumbers::failed_before, failed);
  }
  void count_retry() { add(&TallyNumbers::retries, 1); }
  void count_skipped() { add(&TallyNumbers::skipped, 1); }
  void count_dropped(int64_t rows) { add(&TallyNumbers::dropped, rows); }
  void count_truncated(int64_t prompts) { add(&TallyNumbers::truncated, prompts); }

  TallyNumbers numbers() const {
    const std::lock_guard lock(mutex_);
    return numbers_;
  }
  // Of numbers(), what is asked for after every row: without a copy of the rest.
  struct Outcomes {
    int64_t failed = 0, done = 0, before = 0;
  };
  Outcomes outcomes() const {
    const std::lock_guard lock(mutex_);
    return {numbers_.failed, numbers_.done(), numbers_.answered_before + numbers_.failed_before};
  }

 private:
  void add(int64_t TallyNumbers::*field, int64_t count) {
    const std::lock_guard lock(mutex_);
    numbers_.*field += count;
  }

  // Keeps at most kMostTimes: when full, every other one goes and the stride doubles.
  void note_finish(double seconds) {
    constexpr size_t kMostTimes = 1 << 16;
    auto& times = numbers_.finish_times;
    times.push_back(seconds);
    if (times.size() >= kMostTimes) {
      for (size_t i = 0; i < times.size() / 2; ++i) {
        times[i] = times[2 * i];
      }
      times.resize(times.size() / 2);
      numbers_.finish_stride *= 2;
    }
  }

  mutable std::mutex mutex_;
  TallyNumbers numbers_;
};

}  // namespace spate
