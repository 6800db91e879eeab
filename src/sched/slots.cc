#include "sched/slots.h"

#include <algorithm>

#include "base/check.h"

namespace spate {
namespace {

std::span<const Token> tokens_between(const Live& live, int64_t begin, int64_t end) {
  return std::span(live.tokens)
      .subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
}

}  // namespace

Slots::Slots(int64_t slots, bool share_prefixes)
    : free_(static_cast<int>(slots)), prefixes_(free_), share_(share_prefixes) {}

PrefixMap::Match Slots::find(const Live& live) const {
  if (!share_ || live.scores_prompt()) return {};
  return prefixes_.find(tokens_between(live, 0, live.length() - 1));
}

int64_t Slots::available(const PrefixMap::Match& match) const {
  return free_.free_slots() + prefixes_.unused() - match.unused;
}

void Slots::enter(Live& live, const PrefixMap::Match& match, int64_t reserve) {
  check(live.segments.empty() && live.computed == 0, "a sequence enters the cache twice");
  live.node = prefixes_.take(live.tokens, match.ready, live.segments);
  live.computed = live.shared = live.capacity = match.ready;
  const int64_t need = live.length() - match.ready;
  std::vector<Segment> own = obtain(need, need + reserve);
  for (const Segment& segment : own) {
    append(live.segments, segment);
    live.capacity += segment.size();
  }
  if (share_) promise(live, std::move(own));
}

// Others that begin alike wait for what this sequence is about to compute.
void Slots::promise(Live& live, std::vector<Segment> own) {
  const int64_t end = live.length() / PrefixMap::kBlock * PrefixMap::kBlock;
  if (end <= live.shared) return;
  PrefixMap::Node* promised = prefixes_.promise(live.node, tokens_between(live, live.shared, end),
                                                take_front(own, end - live.shared));
  if (promised == nullptr) return;  // a prompt that is scored may repeat what is there
  live.node = promised;
  live.shared = end;
}

bool Slots::grow(Live& live, int64_t wish) {
  const int64_t room = live.most_slots() - live.capacity;
  check(room > 0, "a sequence grows past its longest");
  const auto wanted = static_cast<int>(std::clamp<int64_t>(wish, 1, room));
  const int added = free_.extend(live.segments.back(), wanted);
  live.capacity += added;
  if (added > 0) return true;
  if (free_.largest_free() < wanted) prefixes_.reclaim(wanted);
  const std::optional<Segment> segment = free_.allocate_up_to(wanted);
  if (!segment) return false;
  append(live.segments, *segment);
  live.capacity += segment->size();
  return true;
}

int64_t Slots::trim(Live& live) {
  const int64_t spare = live.capacity - live.length();
  if (spare <= 0) return 0;
  std::vector<Segment> rest = std::move(live.segments);
  live.segments = take_front(rest, live.length());
  for (const Segment& segment : rest) free_.release(segment);
  live.capacity -= spare;
  return spare;
}

void Slots::computed(Live& live) { prefixes_.computed(live.node, live.computed); }

void Slots::leave(Live& live) {
  std::vector<Segment> own = std::move(live.segments);
  take_front(own, live.shared);
  if (share_ && live.computed > live.shared) {
    prefixes_.insert(live.node, tokens_between(live, live.shared, live.computed), std::move(own));
  } else {
    for (const Segment& segment : own) free_.release(segment);
  }
  prefixes_.release(live.node);
  live.segments.clear();
  live.node = nullptr;
  live.computed = live.shared = live.capacity = 0;
}

// `need` slots, `wish` if there are so many in one run. A run is worth some cached tokens that
// nobody uses: a quarter of its length.
std::vector<Segment> Slots::obtain(int64_t need, int64_t wish) {
  prefixes_.reclaim(need - free_.free_slots());
  for (int64_t given = 0; free_.largest_free() < wish && 4 * given < wish;) {
    const int64_t more = prefixes_.reclaim(PrefixMap::kBlock);
    if (more == 0) break;
    given += more;
  }
  std::vector<Segment> segments;
  while (need > 0) {
    const std::optional<Segment> run = free_.allocate_up_to(static_cast<int>(wish));
    check(run.has_value(), "the cache is ", need, " slots short of what was promised");
    segments.push_back(*run);
    need -= run->size();
    wish -= run->size();
  }
  return segments;
}

}  // namespace spate
