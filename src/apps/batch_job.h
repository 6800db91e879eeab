// The batch job itself: a reader thread splits the input into lines, some threads prepare rows, the
// engine runs them, and the calling thread turns its events into lines of the output.
//
//   reader -> lines -> prepare -> Admission -> Engine -> events -> RowOutput
//
// Rows pass the door in the order of the input and leave as they finish. What is in memory is
// bounded by the admission window, in rows and in bytes, whatever the size of the input. Every row
// that passed the door gets one outcome, or is counted as dropped when the job ends early.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "apps/admission.h"
#include "apps/live_row.h"
#include "apps/log_file.h"
#include "apps/progress.h"
#include "apps/reader.h"
#include "apps/row_output.h"
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
  std::string input = "-";
  ParseOptions parse;
  int64_t offset = 0;                         // rows passed over
  int64_t limit = -1;                         // rows taken; -1: all
  int64_t window = 1024;                      // rows inside at once
  int64_t window_bytes = int64_t{256} << 20;  // of their prompts, and what the engine keeps of each
  int preparers = 1;                          // threads
  ErrorLimit error_limit;
  bool row_stats = false;
  bool verbose = false;  // a note for every failed row
  AnswerFormat answers;
};

struct JobEnd {
  int64_t rows_entered = 0;  // rows that were taken from the input
  bool complete = true;
  std::string stopped_by;  // when not complete
  int signal = 0;          // that stopped it, or 0
  double seconds = 0;
};

class BatchJob {
 public:
  BatchJob(Engine& engine, const RowPreparer& preparer, RowOutput& output, Tally& tally,
           Notices& notices, JobOptions options);
  ~BatchJob();

  // Runs to the end of the input, or until a signal or too many errors stop it. Throws what ended
  // it otherwise: a failed engine, a full disk.
  JobEnd run(const StopSignals& signals, ProgressDisplay& display, LogFile& log,
             int64_t rows_total);

 private:
  struct Work {
    int64_t place = 0;  // of the row among those taken, from 0
    Line line;
  };
  // Which row and which of its prompts an engine request belongs to.
  struct Running {
    std::shared_ptr<LiveRow> row;
    size_t prompt = 0;
  };

  void read_lines();
  void prepare_rows();
  void enter(Work work, JsonParser& parser);
  void handle(Event event);
  void finish(const std::shared_ptr<LiveRow>& row);
  void reject(int64_t place, const InputRow& row, const RowError& error);
  void stop_admitting(const std::string& reason);
  void fail_with(std::exception_ptr failure);
  void watch_signals(const StopSignals& signals);
  void drain();
  void tell_notices(ProgressDisplay& display, LogFile& log);
  ProgressCounts counts(int64_t rows_total) const;

  Engine& engine_;
  const RowPreparer& preparer_;
  RowOutput& output_;
  Tally& tally_;
  Notices& notices_;
  JobOptions options_;

  LineReader reader_;
  BoundedQueue<Work> lines_;
  Admission admission_;
  std::atomic<bool> stop_{false};
  std::atomic<int64_t> entered_{0};
  std::atomic<int> preparing_{0};  // threads that may still submit
  std::atomic<uint64_t> next_request_{1};
  Stopwatch clock_;

  mutable std::mutex mutex_;  // guards the three below
  std::unordered_map<uint64_t, Running> running_;
  std::exception_ptr failure_;
  std::string stopped_by_;

  std::optional<Stopwatch> since_signal_;
  bool give_up_ = false;  // no more waiting for rows that run
  std::vector<std::thread> threads_;
};

}  // namespace spate
