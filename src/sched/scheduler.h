// Decides which tokens run next. Host only: no device, no clock, no thread of its own, so every
// policy is tested in milliseconds. Owner: the engine thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "sched/batch.h"
#include "sched/request.h"

namespace spate {

enum class Batching {
  mix,       // decode rows and prefill chunks in one step, under the token budget
  pingpong,  // prefill until no slot or row is free, then decode until the batch has shrunk
  timely,    // prefill whenever something waits and fits, decode otherwise
};

// In which order requests start; waiting.h says why.
enum class Order {
  fifo,           // as they came
  longest_first,  // longest sequence first
  prefix,         // those that begin alike together
  automatic,      // long outputs first, and within a class of lengths those that begin alike
};

struct SchedulerOptions {
  int64_t kv_slots = 0;    // token slots of the pool
  int64_t max_rows = 256;  // sequences running at once
  // So many rows keep a device busy: more run at once only as far as there is output for them until
  // the longest row ends, if rows start by length (level_rows() in admission.cc). 0: max_rows run.
  int64_t level_rows = 0;
  int64_t max_step_tokens = 2048;
  // Steps of many decode rows take chunks up to a multiple of so many tokens.
  int64_t step_multiple = 1;
  int64_t max_length = 0;  // longest sequence, prompt and output
  Batching batching = Batching::mix;
  Order order = Order::fifo;
  int64_t order_horizon = 8192;  // requests within which the order is kept; see waiting.h
  bool share_prefixes = true;
  // Where the model keeps states: slots for those of rows, and for snapshots besides. A row has one
  // as long as it runs. 0: the model keeps none.
  int64_t row_states = 0, snapshots = 0;
};

struct SchedulerStats {
  int64_t running = 0, waiting = 0;
  int64_t kv_used = 0, kv_slots = 0;  // slots that rows have; shared ones counted once
  int64_t kv_cached = 0;              // slots of prefixes that no row uses, given up when needed
  int64_t evictions = 0, recomputed = 0;         // rows, tokens
  int64_t prompt_tokens = 0, cached_tokens = 0;  // of admitted requests
  int64_t free_runs = 0, largest_free = 0;
  int64_t snapshots = 0;  // states that are kept for later rows
};

class Scheduler {
 public:
  Scheduler(const SchedulerOptions& options, std::vector<Token> end_tokens);
  ~Scheduler();

  // A new request. One that can never run (empty, longer than max_length or than the pool) finishes
  // with an error event from the next commit() or refused().
  void add(Request request);
  void cancel(uint64_t request);

  bool idle() const;  // nothing runs and nothing waits
  // Chooses rows and reserves their slots. Empty when nothing can run now. May be called once more
  // before the batch it returned is committed: rows are then taken to have drawn one token each and
  // to go on, and one that did not runs for nothing once. Batches run in order on one device, so a
  // slot that a commit frees can be given away at once.
  Batch next();
  // Takes the results of the oldest batch that is not committed: appends tokens, finishes, frees.
  std::vector<Event> commit(const Batch& batch, std::span<const RowResult> results);
  // Events that no step has to end for: requests that were refused or cancelled, and those that the
  // last next() started, which come before anything that the step gives them.
  std::vector<Event> take_events();

  SchedulerStats stats() const;
  void check_invariants() const;  // for tests: throws when slots, lists or counts are wrong

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spate
