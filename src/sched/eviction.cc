// Slots for rows that grow. See state.h for why this always ends well for the oldest row.
#include <algorithm>

#include "base/check.h"
#include "sched/state.h"

namespace spate {
namespace {

// A row grows by so many slots at a time.
constexpr int64_t kGrowth = 48;

}  // namespace

// A slot for each token of a running row. False: the row itself had to go.
bool Scheduler::Impl::make_room(Live& live) {
  while (live.capacity < live.planned_length()) {
    if (slots.grow(live, kGrowth, Runs::long_ones) || trim_youngest(Runs::long_ones)) continue;
    if (slots.grow(live, kGrowth, Runs::any) || trim_youngest(Runs::any)) continue;
    const bool itself = running.back() == &live;
    evict_youngest();
    if (itself) return false;
  }
  return true;
}

// Takes the reserve of the youngest row that has one.
bool Scheduler::Impl::trim_youngest(Runs runs) {
  return std::any_of(running.rbegin(), running.rend(),
                     [&](Live* live) { return slots.trim(*live, runs) > 0; });
}

// Its tokens stay findable as long as nobody takes their slots, so coming back may cost little.
// Nothing enters before a row has left: the cache is fuller than admission thought.
void Scheduler::Impl::evict_youngest() {
  check(running.size() > 1, "the only row finds no slot in a cache of ", slots.total());
  Live& live = *running.back();
  running.pop_back();
  live.lost = live.computed;
  slots.leave(live);
  if (live.pending == 0) live.prompt_logprobs.clear();  // else the step that completes them is out
  live.runs = false;
  waiting.put_back(live);
  admission_closed = true;
  ++counted.evictions;
}

}  // namespace spate
