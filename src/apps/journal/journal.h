// What earlier runs have finished, by row key. Const and used by many threads once it is read.
#pragma once

#include <cstdint>
#include <string_view>

#include "apps/journal/job_line.h"
#include "apps/journal/key_set.h"

namespace spate {

constexpr std::string_view kExpiredCode =
    "batch_expired";  // cut off by --deadline: always runs again

class Journal {
 public:
  enum class State { none, answered, failed, failed_retryable };
  struct Outcome {
    State state = State::none;
    bool expired = false;  // failed with batch_expired
    int64_t attempts = 0;  // of a failed row, over all runs
  };

  // An answer counts, whatever else there is; else the failure that was added last.
  void add_answer(const Hash128& key);
  void add_failure(const JobLine& line);
  void reserve(int64_t answers) { answered_.reserve(answers); }

  Outcome find(const Hash128& key) const;

  struct Totals {
    int64_t answered = 0;   // rows
    int64_t failed = 0;     // rows without an answer; of these:
    int64_t retryable = 0;  //   may succeed another time, expired ones not counted
    int64_t expired = 0;
    int64_t superseded = 0;  // lines of failures that no longer count
  };
  Totals totals() const;

 private:
  struct Failure {
    int32_t attempts = 0;
    bool retryable = false, expired = false;
  };

  KeySet answered_;
  KeyMap<Failure> failed_;
  int64_t failure_lines_ = 0;
};

}  // namespace spate
