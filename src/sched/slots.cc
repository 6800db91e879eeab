#include "sched/slots.h"

#include <algorithm>

#include "base/check.h"

namespace spate {
namespace {

std::span<const Token> tokens_between(const Live& live, int64_t begin, int64_t end) {
  return live.content().subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

// As long as there is another way, a row that grows gets no segment shorter than this: attention
// likes long runs.
constexpr int64_t kLongRun = 48;
// What is promised of a prompt ends behind a multiple of so many tokens: attention on a GPU reads
// so many keys at once where segments meet.
constexpr int64_t kPromiseStep = 4;
// Unused tokens are dropped this part of the pool at a time, so that the runs they leave are long.
constexpr int64_t kDroppedPart = 32;

int64_t round_up(int64_t slots) {
  return (slots + PrefixMap::kBlock - 1) / PrefixMap::kBlock * PrefixMap::kBlock;
}

}  // namespace

Slots::Slots(int64_t slots, bool share_prefixes, StateCounts states)
    : free_(static_cast<int>(slots)),
      prefixes_(free_, {states.rows, states.snapshots}),
      share_(share_prefixes && (states.rows == 0 || states.snapshots > 0)),
      states_(states) {
  for (int slot = states.rows; slot-- > 0;) free_states_.push_back(slot);
}

PrefixMap::Match Slots::find(const Live& live) const {
  if (!share_ || live.scores_prompt()) return {};
  return prefixes_.find(tokens_between(live, 0, live.length() - 1));
}

int64_t Slots::available(const PrefixMap::Match& match) const {
  return free_.free_slots() + prefixes_.unused() - match.unused;
}

void Slots::enter(Live& live, const PrefixMap::Match& match, int64_t reserve) {
  check(live.segments.empty() && live.computed == 0, "a sequence enters the cache twice");
  live.node = prefixes_.take(live.content(), match.ready, live.segments);
  live.stored = live.shared = live.capacity = match.ready;
  live.computed = match.begin;
  if (keep_states()) take_states(live, match.begin);
  const int64_t need = live.length() - match.ready;
  std::vector<Segment> own = obtain(need, round_up(need + reserve));
  for (const Segment& segment : own) {
    append(live.segments, segment);
    live.capacity += segment.size();
  }
  if (share_) promise(live, std::move(own));
}

// Others that begin alike wait for what this sequence is about to compute. The last token is
// computed by everyone. Less than a block is worth a node where samples will share it, behind more:
// others would only get a short segment from it.
void Slots::promise(Live& live, std::vector<Segment> own) {
  const int64_t end = (live.length() - 1) / kPromiseStep * kPromiseStep;
  const bool has_samples = live.params.n > 1 && live.shared > 0;
  if (end - live.shared < (has_samples ? kPromiseStep : PrefixMap::kBlock)) return;
  PrefixMap::Node* promised = prefixes_.promise(live.node, tokens_between(live, live.shared, end),
                                                take_front(own, end - live.shared));
  if (promised == nullptr) return;  // a prompt that is scored may repeat what is there
  live.node = promised;
  live.shared = end;
}

void Slots::drop_unused(int64_t slots) {
  prefixes_.reclaim(std::max(slots, total() / kDroppedPart));
}

bool Slots::grow(Live& live, int64_t wish, Runs runs) {
  const int64_t room = live.most_slots() - live.capacity;
  check(room > 0, "a sequence grows past its longest");
  const int64_t wanted = round_up(std::clamp<int64_t>(wish, 1, room));
  if (extend(live, wanted)) return true;
  if (free_.largest_free() < wanted) drop_unused(wanted);
  const int64_t least = runs == Runs::any ? 1 : std::min(kLongRun, wanted);
  if (free_.largest_free() < least) return false;
  const Segment segment = take_run(wanted);
  append(live.segments, segment);
  live.capacity += segment.size();
  return true;
}

// Grows the last segment in place, in whole blocks where possible.
bool Slots::extend(Live& live, int64_t wanted) {
  Segment& last = live.segments.back();
  const int begin = last.end;
  if (free_.extend(last, static_cast<int>(wanted)) == 0) return false;
  const Segment added = in_blocks({begin, last.end});
  last.end = added.end;
  live.capacity += added.size();
  return true;
}

// A free run of up to `wanted` slots, in whole blocks where possible: slivers would come back as
// segments of a few tokens.
Segment Slots::take_run(int64_t wanted) {
  const std::optional<Segment> run = free_.allocate_up_to(static_cast<int>(wanted));
  check(run.has_value(), "the cache is ", wanted, " slots short of what was promised");
  return in_blocks(*run);
}

// Gives back what a run has beyond whole blocks, unless it is shorter than one.
Segment Slots::in_blocks(Segment run) {
  const int odd = run.size() % static_cast<int>(PrefixMap::kBlock);
  if (odd == run.size()) return run;
  free_.release({run.end - odd, run.end});
  return {run.begin, run.end - odd};
}

int64_t Slots::trim(Live& live, Runs runs) {
  const bool any = runs == Runs::any;
  const int64_t length = live.planned_length();
  const int64_t kept = any ? length : round_up(length) + PrefixMap::kBlock;
  const int64_t spare = live.capacity - kept;
  if (spare < (any ? 1 : kLongRun)) return 0;
  std::vector<Segment> rest = std::move(live.segments);
  live.segments = take_front(rest, kept);
  for (const Segment& segment : rest) free_.release(segment);
  live.capacity = kept;
  return spare;
}

void Slots::computed(Live& live) { prefixes_.computed(live.node, live.computed); }

void Slots::take_states(Live& live, int64_t begin) {
  check(!free_states_.empty(), "a row finds no slot for its state");
  live.own_state = free_states_.back();
  free_states_.pop_back();
  live.state = begin > 0 ? prefixes_.read_state(live.node, begin) : -1;
}

void Slots::give_states(Live& live) {
  if (is_snapshot(live.state)) prefixes_.release_state(live.state);
  free_states_.push_back(live.own_state);
  live.own_state = live.state = -1;
}

int64_t Slots::next_snapshot(const Live& live, int64_t begin, int64_t end) const {
  return share_ ? prefixes_.next_state(live.node, begin, end) : 0;
}

void Slots::want_snapshot(const Live& live) {
  if (keep_states()) prefixes_.want_state(tokens_between(live, 0, live.length() - 1));
}

void Slots::state_moved(Live& live, int slot) {
  if (is_snapshot(live.state)) prefixes_.release_state(live.state);
  live.state = slot;
  if (is_snapshot(slot)) prefixes_.keep_state(live.node, live.computed, slot);
}

void Slots::leave(Live& live) {
  std::vector<Segment> own = std::move(live.segments);
  take_front(own, live.shared);
  // Without a state behind them its other tokens are of no use to anybody.
  if (share_ && !keep_states() && live.computed > live.shared) {
    prefixes_.insert(live.node, tokens_between(live, live.shared, live.computed), std::move(own));
  } else {
    for (const Segment& segment : own) free_.release(segment);
  }
  if (keep_states()) give_states(live);
  prefixes_.release(live.node);
  live.segments.clear();
  live.node = nullptr;
  live.computed = live.stored = live.shared = live.capacity = 0;
}

// `need` slots, `wish` if there are so many in one run. A run is worth some cached tokens that
// nobody uses: a quarter of its length.
std::vector<Segment> Slots::obtain(int64_t need, int64_t wish) {
  if (need > free_.free_slots()) drop_unused(need - free_.free_slots());
  for (int64_t given = 0; free_.largest_free() < wish && 4 * given < wish;) {
    const int64_t more = prefixes_.reclaim(PrefixMap::kBlock);
    if (more == 0) break;
    given += more;
  }
  std::vector<Segment> segments;
  for (; need > 0; need -= segments.back().size(), wish -= segments.back().size()) {
    segments.push_back(take_run(wish));
  }
  return segments;
}

}  // namespace spate
