// Which rows a step runs, by batching. Rows stand in the order in which they are packed: decode
// rows first, then chunks, oldest first.
#include <algorithm>

#include "base/check.h"
#include "sched/shared_keys.h"
#include "sched/state.h"

namespace spate {

Batch Scheduler::Impl::next() {
  check(in_flight < 2, "next() while two batches are out");
  Batch batch;
  occupancy.reset();
  switch (options.batching) {
    case Batching::mix: plan_mix(batch, options.max_step_tokens); break;
    case Batching::pingpong: plan_pingpong(batch, options.max_step_tokens); break;
    case Batching::timely: plan_timely(batch, options.max_step_tokens); break;
  }
  if (batch.rows.empty()) {
    check(requests.empty() || in_flight > 0, "there is work and none is planned");
    return batch;
  }
  if (slots.keep_states()) place_states(batch);
  note_planned(batch);
  ++in_flight;
  return batch;
}

// Where rows find their states and leave them. A row that passes the place of a snapshot stops
// there: what it would have computed beyond is left to the next step.
void Scheduler::Impl::place_states(Batch& batch) {
  for (Row& row : batch.rows) {
    const auto& live = static_cast<const Live&>(*row.sequence);
    row.state_from = live.state;
    row.state_to = live.own_state;
    const int64_t end = row.begin + row.count;
    const int64_t place = slots.next_snapshot(live, row.begin, end);
    if (place == 0) continue;
    const std::optional<int> slot = slots.take_snapshot();
    if (!slot) continue;
    row.state_to = *slot;
    row.count = place - row.begin;
    row.wants_token = row.wants_token && place == end;
  }
}

// From here on the rows are taken to have been run, because a device runs steps in their order.
void Scheduler::Impl::note_planned(const Batch& batch) {
  int64_t draws = 0;
  for (const Row& row : batch.rows) {
    auto& live = static_cast<Live&>(*row.sequence);
    ++live.steps;
    live.computed = row.begin + row.count;
    slots.computed(live);
    if (slots.keep_states()) slots.state_moved(live, row.state_to);
    if (row.wants_token) {
      ++live.pending;
      live.draw = draws++;
    }
  }
}

void Scheduler::Impl::plan_mix(Batch& batch, int64_t budget) {
  add_decodes(batch, budget);
  add_chunks(batch, budget);
  round_down(batch);
}

// Matrix units take tokens in tiles: what would begin a tile and not fill it waits for the next
// step, youngest rows first. A row keeps one token at least. Chunks that keep less than a half wait
// for others to fill a tile with, but not for long, for none may come.
void Scheduler::Impl::round_down(Batch& batch) {
  constexpr int kMostSteps = 4;
  int64_t decodes = 0, tokens = 0;
  for (const Row& row : batch.rows) {
    decodes += static_cast<const Live&>(*row.sequence).decodes() ? 1 : 0;
    tokens += row.count;
  }
  int64_t excess = tokens % options.step_multiple;
  const bool worth_it = 2 * decodes >= options.step_multiple && tokens > options.step_multiple;
  if (!worth_it || tokens - static_cast<int64_t>(batch.rows.size()) < excess) return;
  const bool mostly = 2 * excess > tokens - decodes;
  held_back = mostly ? held_back + 1 : 0;
  if (held_back > kMostSteps) {
    held_back = 0;
    return;
  }
  for (auto row = batch.rows.rbegin(); excess > 0; ++row) {
    const int64_t cut = std::min(excess, row->count - 1);
    if (cut == 0) continue;
    row->count -= cut;
    row->wants_token = false;
    excess -= cut;
  }
}

void Scheduler::Impl::plan_timely(Batch& batch, int64_t budget) {
  add_chunks(batch, budget);
  if (batch.rows.empty()) add_decodes(batch, budget);
}

// The decode phase ends when a quarter of its rows have left and others wait. If those do not fit,
// it goes on with what it has.
void Scheduler::Impl::plan_pingpong(Batch& batch, int64_t budget) {
  const bool shrunk = 4 * running.size() <= 3 * decoding_rows && !waiting.empty();
  if (running.empty() || shrunk) decoding = false;
  if (!decoding) {
    add_chunks(batch, budget);
    if (!batch.rows.empty()) return;
    decoding = true;
    decoding_rows = running.size();
  }
  add_decodes(batch, budget);
}

// One token for every row that decodes, those that share keys beside each other. Making room for
// one row evicts younger rows, which stand behind it and have no place in the batch yet.
void Scheduler::Impl::add_decodes(Batch& batch, int64_t& budget) {
  for (size_t i = 0; i < running.size(); ++i) {
    Live& live = *running[i];
    if (!live.decodes() || live.reaches_limit() || !make_room(live)) continue;
    batch.rows.push_back({.sequence = &live,
                          .begin = live.computed,
                          .count = 1,
                          .wants_token = true,
                          .pending_draw = live.pending > 0 ? live.draw : -1});
    --budget;
  }
  if (options.share_prefixes) put_alike_together(batch.rows);
}

// Prompts, and what evictions lost, oldest first; then whoever can enter.
void Scheduler::Impl::add_chunks(Batch& batch, int64_t& budget) {
  for (Live* live : running) {
    if (!live->decodes() && live->to_compute() > 0 && budget > 0) add_chunk(batch, *live, budget);
  }
  admit(batch, budget);
}

void Scheduler::Impl::add_chunk(Batch& batch, Live& live, int64_t& budget) {
  const int64_t count = std::min(live.to_compute(), budget);
  batch.rows.push_back({.sequence = &live,
                        .begin = live.computed,
                        .count = count,
                        .wants_token = count == live.to_compute()});
  budget -= count;
}

}  // namespace spate
