// What must hold between any two calls. Tests call it after every step.
#include <algorithm>
#include <set>

#include "base/check.h"
#include "sched/state.h"

namespace spate {

void Scheduler::Impl::check_invariants() const {
  slots.prefixes().check_invariants();
  waiting.check_invariants();
  int64_t own = 0;
  std::set<int> states;
  for (size_t i = 0; i < running.size(); ++i) {
    const Live& live = *running[i];
    check(live.runs && live.age > 0 && !waiting.contains(*running[i]), "a row is on two lists");
    check(i == 0 || running[i - 1]->age < live.age, "running rows are not in order of age");
    int64_t capacity = 0;
    for (const Segment& segment : live.segments) capacity += segment.size();
    check(capacity == live.capacity, "a row counts ", live.capacity, " of ", capacity, " slots");
    check(live.computed <= live.capacity && live.shared <= live.capacity, "a row lacks slots");
    check(live.computed <= live.planned_length() && live.planned_length() <= live.max_length &&
              live.length() < live.max_length && !live.ended,
          "a row goes too far");
    check(live.steps > 0 || (live.pending == 0 && live.computed < live.length()),
          "a row has nothing to do");
    own += live.capacity - live.shared;
    if (slots.keep_states()) {
      check(states.insert(live.own_state).second && live.own_state >= 0 &&
                live.own_state < options.row_states,
            "a row has no state slot of its own");
      const bool from_zeros = live.state < 0, in_snapshot = live.state >= options.row_states;
      check(from_zeros == (live.computed == 0) &&
                (from_zeros || in_snapshot || live.state == live.own_state),
            "a row's state is elsewhere");
    }
  }
  check(!slots.keep_states() ||
            slots.free_states() + static_cast<int64_t>(states.size()) == options.row_states,
        "slots of states leak: ", slots.free_states(), " free, ", states.size(), " of rows, of ",
        options.row_states);
  for (const Live* live : waiting) {
    check(!live->runs && live->segments.empty() && live->computed == 0 && live->node == nullptr,
          "a sequence that waits has slots");
  }
  const int64_t free = slots.free_runs().free_slots();
  check(free + slots.shared() + slots.unused() + own == slots.total(), "slots leak: ", free,
        " free, ", slots.shared(), " shared, ", slots.unused(), " unused, ", own, " of rows, of ",
        slots.total());
  size_t open = 0;
  for (const auto& [id, request] : requests) {
    const auto alive = std::count_if(request.samples.begin(), request.samples.end(),
                                     [](const auto& sample) { return sample != nullptr; });
    check(request.open == static_cast<size_t>(alive), "a request counts its samples wrong");
    open += request.open;
  }
  check(open == running.size() + waiting.size(), "a sequence is on no list");
  check(static_cast<int64_t>(running.size()) <= row_limit, "more rows run than may");
}

}  // namespace spate
