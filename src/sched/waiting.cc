#include "sched/waiting.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "base/check.h"
#include "base/random.h"

namespace spate {
namespace {

// Tokens of the shortest beginning that keeps rows together; each further one is twice as long.
constexpr size_t kShortest = 64;
// Classes of output lengths: so many for every doubling.
constexpr double kClasses = 4;

size_t tokens_at(size_t level) { return kShortest << level; }

std::span<const Token> first_tokens(const Live& live, size_t count) {
  return live.content().first(count);
}

// Whether a sequence that waits belongs to a beginning of that level.
bool within(const Live& live, size_t level, const Beginning* beginning) {
  return live.beginnings.size() > level && live.beginnings[level] == beginning;
}

int64_t longest_at(const Live& live, size_t level) {
  return live.beginnings.size() > level ? live.beginnings[level]->longest : live.length_class;
}

}  // namespace

bool WaitingList::Earlier::operator()(const Live* a, const Live* b) const {
  if ((a->age == 0) != (b->age == 0)) return a->age > 0;
  if (a->age != b->age) return a->age < b->age;
  if (a->block != b->block) return a->block < b->block;
  size_t level = 0;  // the first beginning that they do not share
  while (level < a->beginnings.size() && within(*b, level, a->beginnings[level])) ++level;
  const int64_t longest_a = longest_at(*a, level), longest_b = longest_at(*b, level);
  if (longest_a != longest_b) return longest_a > longest_b;
  if (by_prompt) {
    const auto shared = static_cast<std::ptrdiff_t>(level > 0 ? tokens_at(level - 1) : 0);
    const std::span<const Token> of_a = a->content(), of_b = b->content();
    const auto [in_a, in_b] =
        std::mismatch(of_a.begin() + shared, of_a.end(), of_b.begin() + shared, of_b.end());
    // One that does without the beginning that it has stands before all that share it.
    const bool alone_a = a->beginnings.size() <= level, alone_b = b->beginnings.size() <= level;
    const auto common = static_cast<size_t>(in_a - of_a.begin());
    if (alone_a != alone_b && common >= tokens_at(level)) return alone_a;
    if (in_a != of_a.end() && in_b != of_b.end()) return *in_a < *in_b;
    if (of_a.size() != of_b.size()) return of_a.size() < of_b.size();
  }
  return a->arrival < b->arrival;
}

WaitingList::WaitingList(Order order, int64_t horizon, uint64_t hash_mask)
    : order_(order),
      horizon_(static_cast<uint64_t>(horizon)),
      hash_mask_(hash_mask),
      list_(Earlier{order == Order::prefix || order == Order::automatic}) {
  check(horizon > 0, "an order over blocks of ", horizon, " requests");
}

void WaitingList::add(Live& live, uint64_t request_number) {
  live.block = request_number / horizon_;
  switch (order_) {
    case Order::fifo: break;
    case Order::longest_first: live.length_class = std::llround(live.expected); break;
    case Order::prefix: join_beginnings(live); break;
    case Order::automatic:
      live.length_class = std::llround(kClasses * std::log2(std::max(live.expected, 1.0)));
      join_beginnings(live);
      break;
  }
  enter(live);
}

void WaitingList::enter(Live& live) {
  list_.insert(&live);
  live.output_to_come = live.expected_left();
  outputs_.insert(live.output_to_come);
  output_ += live.output_to_come;
}

void WaitingList::put_back(Live& live) {
  check(live.age > 0 && live.beginnings.empty(), "a sequence that never ran is put back");
  enter(live);
}

WaitingList::Iterator WaitingList::erase(Iterator place) {
  check(place != list_.end(), "a sequence that does not wait is taken off the list");
  leave_beginnings(place);
  Live& live = **place;
  const Iterator next = list_.erase(place);
  live.beginnings.clear();
  outputs_.erase(outputs_.find(live.output_to_come));
  output_ = outputs_.empty() ? 0 : output_ - live.output_to_come;
  return next;
}

WaitingList::Iterator WaitingList::end_of_block(const Live& live) const {
  Live next;  // before all of the next block
  next.block = live.block + 1;
  next.length_class = std::numeric_limits<int64_t>::max();
  return list_.lower_bound(&next);
}

bool WaitingList::begins_as_another(Iterator place) const {
  if ((*place)->beginnings.empty()) return false;
  const Beginning* shortest = (*place)->beginnings.front();
  return (place != list_.begin() && within(**std::prev(place), 0, shortest)) ||
         (std::next(place) != list_.end() && within(**std::next(place), 0, shortest));
}

// Finds or makes the beginnings of its prompt. Where two hashes collide the later sequence does
// without.
void WaitingList::join_beginnings(Live& live) {
  uint64_t hash = mix_keys(live.block, 0);
  size_t hashed = 0;
  for (size_t level = 0; tokens_at(level) <= live.content().size(); ++level) {
    for (; hashed < tokens_at(level); ++hashed) {
      hash = mix_keys(hash, static_cast<uint64_t>(live.content()[hashed]));
    }
    const uint64_t place = hash & hash_mask_;
    const auto [found, made] = beginnings_.try_emplace(
        place, Beginning{.hash = place, .longest = live.length_class, .member = &live});
    Beginning& beginning = found->second;
    const Live& member = *beginning.member;
    const bool same = made || (member.block == live.block && within(member, level, &beginning) &&
                               std::ranges::equal(first_tokens(member, tokens_at(level)),
                                                  first_tokens(live, tokens_at(level))));
    if (!same) break;
    live.beginnings.push_back(&beginning);
  }
  raise(live);
}

// A new longest output moves all that wait behind the same beginning, who stand side by side. This
// happens at most once for every class of lengths.
void WaitingList::raise(Live& live) {
  const auto first = std::ranges::find_if(live.beginnings, [&](const Beginning* beginning) {
    return beginning->longest < live.length_class;
  });
  if (first == live.beginnings.end()) return;
  const auto level = static_cast<size_t>(first - live.beginnings.begin());
  Iterator begin = list_.find((*first)->member), end = begin;
  while (begin != list_.begin() && within(**std::prev(begin), level, *first)) --begin;
  while (end != list_.end() && within(**end, level, *first)) ++end;
  const std::vector<Live*> moved(begin, end);
  list_.erase(begin, end);
  for (auto each = first; each != live.beginnings.end(); ++each) {
    (*each)->longest = std::max((*each)->longest, live.length_class);
  }
  list_.insert(moved.begin(), moved.end());
}

// Those of a beginning stand side by side, so a neighbour speaks for it from now on.
void WaitingList::leave_beginnings(Iterator place) {
  const Live& live = **place;
  for (size_t level = 0; level < live.beginnings.size(); ++level) {
    Beginning* beginning = live.beginnings[level];
    if (beginning->member != &live) continue;
    if (place != list_.begin() && within(**std::prev(place), level, beginning)) {
      beginning->member = *std::prev(place);
    } else if (std::next(place) != list_.end() && within(**std::next(place), level, beginning)) {
      beginning->member = *std::next(place);
    } else {
      beginnings_.erase(beginning->hash);
    }
  }
}

void WaitingList::check_invariants() const {
  std::unordered_map<const Beginning*, int> left;  // runs of neighbours behind each beginning
  const Live* before = nullptr;
  for (const Live* live : list_) {
    check(live->age == 0 || live->beginnings.empty(), "an evicted sequence waits by its prompt");
    check(before == nullptr || Earlier{list_.key_comp()}(before, live), "the order is broken");
    for (size_t level = 0; level < live->beginnings.size(); ++level) {
      const Beginning* beginning = live->beginnings[level];
      if (before == nullptr || !within(*before, level, beginning)) ++left[beginning];
      check(beginning->longest >= live->length_class, "a beginning ranks below one of its own");
      check(within(*beginning->member, level, beginning), "a stranger speaks for a beginning");
      check(std::ranges::equal(first_tokens(*live, tokens_at(level)),
                               first_tokens(*beginning->member, tokens_at(level))),
            "two beginnings are one");
    }
    before = live;
  }
  check(left.size() == beginnings_.size(), "a beginning is left over");
  check(outputs_.size() == list_.size(), "an output is counted of one that does not wait");
  check(std::ranges::all_of(left, [](const auto& one) { return one.second == 1; }),
        "those of a beginning do not stand together");
}

}  // namespace spate
