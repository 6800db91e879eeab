// Where the outcomes of rows go: answers to the output, failed rows to a file of their own that is
// made when the first one fails, or among the answers. A thread of its own writes, so that a slow
// disk does not hold up the callers until much is pending. Any thread may call anything.
//
// With --ordered, lines whose turn has not come go to OUT.part after a while, where a run that goes
// on finds them, and come back when it is their turn. So memory is bounded however long one row
// takes, and no finished row is lost by a kill.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "apps/answer.h"
#include "apps/journal/job_files.h"
#include "apps/run/ordered.h"
#include "apps/writer.h"
#include "base/clock.h"
#include "base/trace.h"

namespace spate {

class RowOutput {
 public:
  // `files` has begun, and outlives it. `trace`: null for none.
  explicit RowOutput(JobFiles& files, Trace* trace = nullptr);
  ~RowOutput();  // writes what is pending; errors are lost, so call close first
  RowOutput(const RowOutput&) = delete;
  RowOutput& operator=(const RowOutput&) = delete;

  // Each takes the outcome of the row at `place`, once for each place. All throw the Error that
  // ended the writing.
  void put_answer(int64_t place, const Hash128& key, const std::string& line);
  void put_error(int64_t place, const InputRow& row, const RowError& error, int64_t attempts);
  void put_nothing(int64_t place);
  void put_done(int64_t place, const Hash128& key);  // its outcome is on file from an earlier run

  // With --ordered: places from the first one without outcome to the last one with. Each takes 16
  // bytes, so that the reader should be held when they are very many.
  int64_t behind() const;

  // Returns when all is on disk. With --ordered, what waits for rows that did not finish stays in
  // OUT.part for the run that goes on; when there is none, for stdout, it is written all the same.
  void close();

  double waited_seconds() const;  // callers waited so long for the disk
  WriteCounts counts() const;

 private:
  void end_thread();
  void wait_for_room(std::unique_lock<std::mutex>& lock);
  void add(int64_t place, const std::string& line);
  void claim(const Hash128& key);

  void work();
  void write_round(std::unique_lock<std::mutex>& lock, bool last);
  void write_answers(std::unique_lock<std::mutex>& lock, bool last);
  void write_errors(const std::string& lines);
  std::string block_of(const std::vector<OrderedLines::Ready>& ready);
  void spill(std::unique_lock<std::mutex>& lock);
  void sync(std::unique_lock<std::mutex>& lock);
  void clear_part(std::unique_lock<std::mutex>& lock);
  bool has_pending() const;
  LineFile open_beside(const std::string& path, const char* flag);
  LineFile& part();

  JobFiles& files_;
  const bool ordered_;
  const SyncPolicy sync_;
  const std::string advice_;
  Trace* const trace_;

  // Of the writing thread.
  LineFile output_;
  std::optional<LineFile> errors_, part_;
  Stopwatch since_sync_, since_spill_;

  mutable std::mutex mutex_;         // guards all below
  std::condition_variable changed_;  // much is pending, room for more, or the end
  std::string pending_, pending_errors_;
  OrderedLines lines_;
  int64_t unclaimed_ = 0;  // lines in OUT.part whose rows have not come yet
  int64_t rows_since_sync_ = 0;
  bool closing_ = false;
  std::exception_ptr failure_;
  double waited_ = 0;
  WriteCounts counts_;
  std::thread thread_;
};

}  // namespace spate
