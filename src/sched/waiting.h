// Who waits, in the order in which they start: evicted sequences, oldest first; then by the order
// asked for, then by arrival. What orders a sequence is fixed when it comes, but for the longest
// output behind its prompt's beginnings: when that grows, all of them are put in their places anew.
//
// Automatic order walks the tree of all prompts: of the beginnings that several may share it enters
// the one with the longest output waiting behind it, and leaves it when nobody is left there;
// inside and between them long outputs come first, so the run ends with short ones. Why not lengths
// alone: beginnings of p tokens that return in k classes of lengths are computed up to k times, p
// tokens for each beginning and class, while a late long row costs its own length once, at the end.
// Beginnings are told apart at 64, 128, 256, ... tokens, so at least half of what rows share keeps
// them together; lengths count in classes, so equal ones keep the order of their prompts.
//
// Nobody starves: requests count off in blocks of `horizon`, and all of a block come before any of
// the next. So fewer than `horizon` that arrive later start earlier, whatever their lengths.
//
// Owner: the scheduler.
#pragma once

#include <cstdint>
#include <set>
#include <unordered_map>

#include "sched/live.h"
#include "sched/scheduler.h"

namespace spate {

class WaitingList {
 public:
  struct Earlier {
    bool by_prompt = false;
    bool operator()(const Live* a, const Live* b) const;
  };
  using Iterator = std::set<Live*, Earlier>::iterator;

  // A narrow hash mask makes hashes collide, for tests.
  WaitingList(Order order, int64_t horizon, uint64_t hash_mask = ~uint64_t{0});

  void add(Live& live, uint64_t request_number);  // a new sequence, whose `expected` is known
  void put_back(Live& live);                      // one that was evicted
  Iterator erase(Iterator place);                 // answers who comes next
  void erase(Live& live) { erase(list_.find(&live)); }

  Iterator begin() const { return list_.begin(); }
  Iterator end() const { return list_.end(); }
  // Behind the last of those who came in the same block.
  Iterator end_of_block(const Live& live) const;
  // Whether who stands beside it begins alike.
  bool begins_as_another(Iterator place) const;
  bool empty() const { return list_.empty(); }
  size_t size() const { return list_.size(); }
  // Output that is expected of all who wait, and the longest of one.
  double output() const { return output_; }
  double longest_output() const { return outputs_.empty() ? 0 : *outputs_.rbegin(); }
  bool contains(const Live& live) const { return list_.count(const_cast<Live*>(&live)) > 0; }
  void check_invariants() const;  // for tests: throws when an order or a beginning is wrong

 private:
  void enter(Live& live);
  void join_beginnings(Live& live);
  void leave_beginnings(Iterator place);
  void raise(Live& live);

  const Order order_;
  const uint64_t horizon_, hash_mask_;
  std::set<Live*, Earlier> list_;
  std::multiset<double> outputs_;  // of all in the list
  double output_ = 0;
  std::unordered_map<uint64_t, Beginning> beginnings_;  // by a hash of block and tokens
};

}  // namespace spate
