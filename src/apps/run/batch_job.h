// The batch job itself: a reader thread takes rows from the input, some threads prepare them, the
// engine runs them, and the calling thread turns its events into lines of the output.
//
//   RowSource -> rows -> prepare -> Admission -> Engine -> events -> RowOutput
//
// Rows pass the door in the order of the input and leave as they finish. What is in memory is
// bounded by the admission window, in rows and in bytes, whatever the size of the input. Every row
// that the job takes gets one outcome, or is counted as dropped when the job ends early and runs
// when it goes on. Rows that have their outcome from an earlier run do not pass the door.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "apps/log_file.h"
#include "apps/metrics_server.h"
#include "apps/progress.h"
#include "apps/rows/source.h"
#include "apps/run/admission.h"
#include "apps/run/live_rows.h"
#include "apps/run/row_output.h"
#include "apps/run/status.h"
#include "apps/run/watchdog.h"
#include "apps/signals.h"
#include "base/clock.h"
#include "base/queue.h"
#include "engine/engine.h"

namespace spate {

// When failed rows end a run: "N" rows, or "P%" of the rows so far (looked at from 100 rows on).
struct ErrorLimit {
  std::optional<int64_t> rows;
  std::optional<double> percent;

  bool exceeded(int64_t failed, int64_t done) const;
};

struct JobOptions {
  SourceOptions source;
  int64_t window = 1024;                      // rows inside at once
  int64_t window_bytes = int64_t{256} << 20;  // of their prompts, and what the engine keeps of each
  int preparers = 1;                          // threads
  ErrorLimit error_limit;
  int64_t max_retries = 0;     // more tries of a row that failed and may succeed, within the run
  double request_timeout = 0;  // seconds that the engine may spend on a row; 0: any
  std::optional<std::chrono::system_clock::time_point> deadline;
  double grace = 10;  // seconds that running rows get when a signal or the deadline stops the run
  double watchdog = 600;  // seconds without a step of the engine; 0: any
  bool row_stats = false;
  bool verbose = false;  // a note for every failed row
  AnswerFormat answers;
  Trace* trace = nullptr;  // null: none
};

enum class EndedBy { input, signal, errors, deadline, watchdog, lost_input };

struct JobEnd {
  int64_t rows_taken = 0;  // from the input, those of earlier runs included
  EndedBy by = EndedBy::input;
  std::string reason;  // for people; empty when the input ended
  int signal = 0;      // that stopped it, or 0
  double seconds = 0;

  bool complete() const { return by == EndedBy::input; }
};

class BatchJob {
 public:
  BatchJob(Engine& engine, const RowPreparer& preparer, const JobFiles& files, RowOutput& output,
           Tally& tally, Notices& notices, JobOptions options);
  ~BatchJob();

  // Runs to the end of the input, or until something of EndedBy stops it. Throws what ended it
  // otherwise: a failed engine, a full disk. `rows_total`: rows that must run, for the display.
  JobEnd run(StopSignals& signals, ProgressDisplay& display, LogFile& log, MetricsFeed& metrics,
             int64_t rows_total);

 private:
  struct Work {
    int64_t turn = 0;  // among the rows that pass the door, from 0
    SourceRow row;
    int64_t attempts = 0;  // in earlier runs
  };

  void read_rows();
  void wait_for_order();
  void prepare_rows();
  void enter(Work work);
  void handle(Event event);
  void finish(const LiveRowPointer& row);
  void reject(int64_t place, const InputRow& row, const RowError& error, int64_t attempts);
  void submit(const LiveRowPointer& row);
  void cancel(const LiveRow& row);

  void look_around(StopSignals& signals);
  void stop(EndedBy by, const std::string& reason);
  void close_doors();
  void fail_with(std::exception_ptr failure);
  void time_out_rows();
  void drain();
  void expire_rows();
  bool finished() const;
  void tell(const std::string& text);
  void tell_notices();
  RunStatus status() const;
  ProgressCounts counts() const;
  MetricsSnapshot snapshot() const;

  Engine& engine_;
  const RowPreparer& preparer_;
  const JobFiles& files_;
  RowOutput& output_;
  Tally& tally_;
  Notices& notices_;
  JobOptions options_;

  BoundedQueue<Work> rows_;
  Admission admission_;
  LiveRows live_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> taken_{0};
  std::atomic<int> preparing_{0};  // threads that may still submit
  std::atomic<uint64_t> next_request_{1};
  Stopwatch clock_;

  std::mutex mutex_;  // guards the one below
  std::exception_ptr failure_;

  // Of the calling thread.
  JobEnd end_;
  std::optional<Stopwatch> since_stop_;
  bool give_up_ = false;  // no more waiting for rows that run
  Watchdog watchdog_;
  int64_t rows_total_ = -1;
  ProgressDisplay* display_ = nullptr;
  LogFile* log_ = nullptr;
  MetricsFeed* metrics_ = nullptr;
  std::vector<std::thread> threads_;
};

}  // namespace spate
