// From the waiting list to the running list: in order, as long as a row, tokens of the step and
// slots are left. A sequence whose beginning a running row is just computing steps aside for that
// long. One that only lacks slots is overtaken by those alone that leave before it could use
// theirs, so long requests do not starve.
#include <algorithm>
#include <cmath>

#include "sched/state.h"

namespace spate {
namespace {

// Slots that a row has reserved and not filled, on average, when the cache is full: fewer would cut
// it into short segments. In a small pool at most this part of it.
constexpr int64_t kSpare = 32, kSparePart = 256;
// A new row reserves slots for the output that this share of rows does not exceed.
constexpr double kReserved = 0.75;
// A prompt should not be cut into shorter runs than this while rows have slots to spare.
constexpr int64_t kPromptRun = 256;
// Waiting sequences that are looked at in a step although they step aside.
constexpr int kAside = 64;

}  // namespace

void Scheduler::Impl::admit(Batch& batch, int64_t& budget) {
  if (admission_closed && !running.empty()) return;
  const int64_t most_rows = level_rows();
  int aside = 0;
  const Live* last_aside = nullptr;
  auto place = waiting.begin();
  while (place != waiting.end() && aside < kAside && budget > 0 &&
         static_cast<int64_t>(running.size()) < most_rows) {
    Live& live = **place;
    if (last_aside != nullptr && last_aside->request == live.request) {
      ++place;  // one more sample of the same prompt
      continue;
    }
    if (live.steps > 0) break;  // evicted, and a step that runs it is out
    const PrefixMap::Match match = slots.find(live);
    if (match.promised > 0) {
      slots.want_snapshot(live);
      last_aside = &live;
      ++aside;
      ++place;
      continue;
    }
    if (!foreseen(live, match)) return fill_up(live, match, most_rows, batch, budget);
    if (!find_slots(live, match)) break;
    place = waiting.erase(place);
    start(live, match);
    add_chunk(batch, live, budget);
  }
}

bool Scheduler::Impl::starts_by_length() const {
  return options.order == Order::automatic || options.order == Order::longest_first;
}

// The longest row takes a step for each of its tokens, whatever runs beside it. With as many rows
// as share all output evenly over those steps, the run ends with it; more of them only make the
// steps before it longer and leave it alone with a few at the end, when a step costs the reading of
// all weights. This needs long rows to start first.
int64_t Scheduler::Impl::level_rows() const {
  if (options.level_rows == 0 || !starts_by_length() || waiting.empty()) return row_limit;
  double output = waiting.output(), longest = waiting.longest_output();
  for (const Live* live : running) {
    output += live->expected_left();
    longest = std::max(longest, live->expected_left());
  }
  const auto level = static_cast<int64_t>(std::ceil(output / std::max(longest, 1.0)));
  return std::clamp(level, std::min(options.level_rows, row_limit), row_limit);
}

// While rows grow, the cache has slots that they will only need later. Where the first that waits
// must wait for these, short rows have them meanwhile, the shortest first: those that have left, as
// far as can be foreseen, before it and the others would fill the cache (as backfilling does in
// queues of jobs). Rows that begin as others do stay with them, and samples with each other.
void Scheduler::Impl::fill_up(const Live& first, const PrefixMap::Match& match, int64_t most_rows,
                              Batch& batch, int64_t& budget) {
  if (!starts_by_length() || first.age > 0) return;
  Occupancy promised = *occupancy;
  promised.add(row_of(first, match));
  auto place = waiting.end_of_block(first);
  for (int looked = 0; looked < kAside && budget > 0; ++looked) {
    if (static_cast<int64_t>(running.size()) >= most_rows) return;
    Live& live = **--place;
    if (&live == &first) return;
    if (live.steps > 0 || live.params.n > 1 || waiting.begins_as_another(place)) continue;
    const PrefixMap::Match own = slots.find(live);
    if (own.promised > 0) continue;
    const Occupancy::Row row = row_of(live, own);
    const auto shared = static_cast<double>(slots.shared() + match.unused + own.unused);
    const double peak = promised.peak_with(row, row.limit);
    if (shared + peak > static_cast<double>(slots.total())) continue;
    if (!find_slots(live, own)) return;
    place = waiting.erase(place);
    start(live, own);
    promised.add(row);
    add_chunk(batch, live, budget);
  }
}

// Whether the cache has room for the sequence and all that run, as far as can be foreseen.
bool Scheduler::Impl::foreseen(const Live& live, const PrefixMap::Match& match) {
  if (running.empty()) return true;
  if (!occupancy) {
    occupancy.emplace(lengths, options.max_length);
    for (const Live* other : running) occupancy->add(forecast(*other));
  }
  const auto shared = static_cast<double>(slots.shared() + match.unused);
  return shared + occupancy->peak_with(row_of(live, match)) <= static_cast<double>(slots.total());
}

// Whether the cache has room for it now; takes reserves for that.
bool Scheduler::Impl::find_slots(const Live& live, const PrefixMap::Match& match) {
  const int64_t need = live.length() - match.ready;
  const int64_t run = std::min(need, kPromptRun);
  while (slots.unused() < run && slots.free_runs().largest_free() < run &&
         trim_youngest(Runs::long_ones)) {
  }
  while (slots.available(match) < need) {
    if (!trim_youngest(Runs::any)) return false;
  }
  return true;
}

// What it will have alone of the cache when it starts.
Occupancy::Row Scheduler::Impl::row_of(const Live& live, const PrefixMap::Match& match) const {
  Occupancy::Row row = forecast(live);
  row.slots -= match.ready;
  return row;
}

// What a row has alone; shared slots are counted apart, once.
Occupancy::Row Scheduler::Impl::forecast(const Live& live) const {
  const int64_t spare = std::min(kSpare, slots.total() / kSparePart);
  return {.slots = live.planned_length() - live.shared,
          .spare = spare,
          .generated = live.planned_generated(),
          .limit = std::max<int64_t>(live.most_slots() - live.planned_length(), 0),
          .certain = live.ends_at_limit};
}

void Scheduler::Impl::start(Live& live, const PrefixMap::Match& match) {
  const int64_t reserve =
      lengths.quantile_remaining(live.generated(), live.most_slots() - live.length(), kReserved);
  slots.enter(live, match, reserve);
  if (live.age == 0) {
    live.age = ++admissions;
    if (live.sample == 0) outbox.push_back({.request = live.request, .started = true});
    live.cached = live.computed;
    counted.prompt_tokens += live.prompt_length;
    counted.cached_tokens += live.cached;
    lengths.reached(0);
  } else {
    const int64_t again = std::max<int64_t>(0, live.lost - live.computed);
    live.recomputed += again;
    counted.recomputed += again;
  }
  live.runs = true;
  const auto younger = [](const Live* a, const Live* b) { return a->age < b->age; };
  running.insert(std::upper_bound(running.begin(), running.end(), &live, younger), &live);
  if (occupancy) occupancy->add(forecast(live));
}

}  // namespace spate
