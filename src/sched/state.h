// The scheduler's lists. Its parts, each in a file of its own:
//   scheduler.cc  requests come, are refused or cancelled; figures
//   waiting.cc    the order in which they start
//   planning.cc   the rows of a step, by batching
//   admission.cc  from the waiting list to the running list
//   eviction.cc   slots for rows that grow
//   commit.cc     results, ends
//
// Forward progress. Sequences are aged by their first admission. The oldest sequence that has been
// admitted always runs and always gets what it needs, so it finishes, and then the next is oldest:
//  - Slots: add() refuses what is longer than the pool. A row that finds no slot takes unused
//    prefixes, then spare slots of others, then evicts the youngest row. The oldest is youngest
//    only when it runs alone; then every slot that is not its own is free or unused, and what it
//    holds is at most its length. So it is never evicted.
//  - States, where the model keeps them: no more rows run than there are slots for them. Snapshots
//    have slots of their own, and nobody waits for one.
//  - Tokens: at most max_step_tokens rows run, decode rows take one token each and chunks are cut
//    oldest first, so each step that runs its kind of row gives the oldest at least one token. The
//    batchings that separate the kinds leave prefill when no chunk is left, and chunks are finite.
//  - Waiting: evicted sequences wait before all others, oldest first. One that waits for another
//    to compute a shared beginning waits for a running row, which owns the promise and drops it
//    when it leaves. When nothing runs, nothing is promised or used, so the first that waits fits.
#pragma once

#include <memory>
#include <unordered_map>
#include <vector>

#include "sched/forecast.h"
#include "sched/live.h"
#include "sched/scheduler.h"
#include "sched/slots.h"
#include "sched/waiting.h"

namespace spate {

struct LiveRequest {
  std::vector<std::unique_ptr<Live>> samples;  // null: finished
  size_t open = 0;
};

struct Scheduler::Impl {
  Impl(const SchedulerOptions& chosen, std::vector<Token> model_end_tokens);

  void add(Request request);
  void cancel(uint64_t request);
  Batch next();
  std::vector<Event> commit(const Batch& batch, std::span<const RowResult> results);
  SchedulerStats stats() const;
  void check_invariants() const;

  // scheduler.cc
  std::optional<Finish> refusal(const Request& request) const;
  int64_t longest(const Request& request) const;
  std::optional<std::string> misplaced(const std::vector<Embedded>& embedded, int64_t prompt) const;
  std::vector<Token> contents_of(const Request& request);
  double expected_output(const Live& live) const;
  void forget(const Live& live);

  // planning.cc
  void add_decodes(Batch& batch, int64_t& budget);
  void add_chunks(Batch& batch, int64_t& budget);
  void add_chunk(Batch& batch, Live& live, int64_t& budget);
  void place_states(Batch& batch);
  void note_planned(const Batch& batch);
  void round_down(Batch& batch);
  void plan_mix(Batch& batch, int64_t budget);
  void plan_timely(Batch& batch, int64_t budget);
  void plan_pingpong(Batch& batch, int64_t budget);

  // admission.cc
  void admit(Batch& batch, int64_t& budget);
  bool starts_by_length() const;
  int64_t level_rows() const;
  void fill_up(const Live& first, const PrefixMap::Match& match, int64_t most_rows, Batch& batch,
               int64_t& budget);
  bool foreseen(const Live& live, const PrefixMap::Match& match);
  bool find_slots(const Live& live, const PrefixMap::Match& match);
  void start(Live& live, const PrefixMap::Match& match);
  Occupancy::Row row_of(const Live& live, const PrefixMap::Match& match) const;
  Occupancy::Row forecast(const Live& live) const;

  // eviction.cc
  bool make_room(Live& live);
  bool trim_youngest(Runs runs);
  void evict_youngest();

  // commit.cc
  void commit_row(const Row& row, const RowResult& result, std::vector<Event>& events);
  Event take_token(Live& live, const Sampled& sampled);
  std::optional<FinishReason> ends(Live& live) const;
  void finish(Live& live, Event& event, FinishReason reason);

  const SchedulerOptions options;
  const std::vector<Token> end_tokens;
  const int64_t row_limit;  // rows that each get a token in a step

  std::unordered_map<uint64_t, LiveRequest> requests;
  WaitingList waiting;
  std::vector<Live*> running;  // oldest first
  Slots slots;
  OutputLengths lengths;
  std::unordered_map<std::string, Token> content_numbers;  // of embedded rows, by their keys
  std::vector<Event> outbox;                               // events that no step has to end for

  std::optional<Occupancy> occupancy;  // of the step that is planned, when admission asked for it
  std::vector<std::unique_ptr<Live>> leaving;  // ended, but a planned step still runs them
  int64_t in_flight = 0;                       // batches that are out
  bool admission_closed = false;               // after an eviction, until a row leaves
  bool decoding = false;                       // pingpong: in its decode phase
  size_t decoding_rows = 0;                    // rows when that phase began
  int held_back = 0;  // steps in a row that took less than half of their chunks
  uint64_t request_arrivals = 0, arrivals = 0, admissions = 0;
  SchedulerStats counted;  // the figures that only grow
};

}  // namespace spate
