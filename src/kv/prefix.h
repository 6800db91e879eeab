// Which token sequences have their keys and values in the cache, so that a prompt which begins like
// an earlier one reuses its slots instead of computing them again.
//
// A tree: each node holds a run of tokens, the slots of their keys and values, and how many rows
// use it. A row leaves a node at its end, or inside behind whole blocks of kBlock tokens; then the
// node is cut in two. Children are found by a hash of their first block, or of all their tokens
// where they have fewer; tokens are always compared, a hash is never trusted. A node may be
// promised: a running row still computes it; others wait and then share. Nodes that no row uses
// stay until their slots are wanted, the longest unused leaf first.
//
// Where the model keeps states, too (layers of linear attention), keys and values are not enough: a
// row can go on only where a snapshot of the state is. Those lie at ends of nodes, and rows make
// them where they pass one without: at the end of what they promise, where they leave
// what others have, and where a row that waits will leave them. Where the last snapshot lies before
// the end of what is stored, a row computes what is between again, for its states alone.
//
// Owner: the scheduler. One thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/token.h"
#include "kv/segments.h"
#include "kv/snapshots.h"

namespace spate {

class PrefixMap {
 public:
  // Prompts that part share so many tokens at least, and whole blocks of them: shorter common
  // beginnings (one start token) would cut every cache into tiny segments.
  static constexpr int64_t kBlock = 16;

  struct Node;

  struct Match {
    int64_t ready = 0;     // tokens whose keys and values can be used now
    int64_t begin = 0;     // of `ready`, those that need not be computed again
    int64_t promised = 0;  // further tokens that a running row computes
    int64_t unused = 0;    // of `ready`, slots that no row uses
  };

  // No snapshots: the model keeps no states. A narrow hash mask makes hashes collide, for tests.
  explicit PrefixMap(SegmentAllocator& slots, SnapshotSlots snapshots = {},
                     uint64_t hash_mask = ~uint64_t{0});
  ~PrefixMap();
  PrefixMap(const PrefixMap&) = delete;
  PrefixMap& operator=(const PrefixMap&) = delete;

  // The longest beginning of `tokens` that is stored and can be left there.
  Match find(std::span<const Token> tokens) const;

  // Uses the first `count` tokens, which find() gave as ready; appends their slots to `segments`.
  // The user holds the answer until release(). count 0 gives the root.
  Node* take(std::span<const Token> tokens, int64_t count, std::vector<Segment>& segments);

  // The user of `node` promises to compute the `tokens` that follow it, in `slots`, which the map
  // owns from now on; it uses the answer instead of `node`. Null when they are there or promised
  // already: then nothing has changed.
  Node* promise(Node* node, std::span<const Token> tokens, const std::vector<Segment>& slots);

  // The user of `node` has computed its sequence's first `length` tokens.
  void computed(Node* node, int64_t length);

  // Gives the map the `tokens` that follow `node` with the `slots` their keys and values are in.
  // Keeps whole blocks of those that it does not have; every other slot is freed.
  void insert(Node* node, std::span<const Token> tokens, std::vector<Segment> slots);

  // The user of `node` is gone. What it promised and has not computed is dropped.
  void release(Node* node);

  // Frees unused slots, longest unused first, until `slots` are free or none is left to give;
  // answers how many it freed.
  int64_t reclaim(int64_t slots);

  // A row that waits would like a snapshot where it leaves what another one computes for `tokens`.
  void want_state(std::span<const Token> tokens);

  // Where the user of `node`, who computes the tokens [begin, end), should keep its state: the
  // first such length of its sequence; 0: nowhere.
  int64_t next_state(const Node* node, int64_t begin, int64_t end) const;

  // A slot for the state that a row is about to have; the row reads it. Nothing: none can be had.
  std::optional<int> take_state() { return snapshots_.take(); }
  // There the user of `node` has its state after `length` tokens, all computed.
  void keep_state(Node* node, int64_t length, int slot);
  // The slot of the snapshot after `length` tokens, which find() gave as `begin`, to the user of
  // `node`.
  int read_state(const Node* node, int64_t length);
  void release_state(int slot) { snapshots_.release(slot); }

  const Snapshots& snapshots() const { return snapshots_; }
  int64_t used() const { return used_; }      // slots of nodes that rows use
  int64_t unused() const { return unused_; }  // slots that reclaim() can free

  void check_invariants() const;  // for tests: throws when counts, links or orders are wrong

 private:
  struct Walk;

  Walk walk(std::span<const Token> tokens, const Node* from) const;
  Node* child(const Node* node, std::span<const Token> tokens) const;
  Node* child_of(const Node* node, std::span<const Token> first) const;
  static std::span<const Token> first_of(const Node& node);
  Node* add(Node* parent, std::span<const Token> tokens, std::vector<Segment> slots);
  Node* cut(Node* node, int64_t at);
  void truncate(Node* node, int64_t tokens);
  void index(std::unique_ptr<Node> node);
  std::unique_ptr<Node> unindex(const Node* node);
  void note_leaf(Node* node);
  uint64_t key(const Node* parent, std::span<const Token> first) const;

  SegmentAllocator& slots_;
  Snapshots snapshots_;
  uint64_t hash_mask_;
  std::unique_ptr<Node> root_;
  std::unordered_multimap<uint64_t, std::unique_ptr<Node>> children_;  // by parent and first block
  std::set<std::pair<uint64_t, Node*>> unused_leaves_;                 // by last use
  uint64_t clock_ = 0;                                                 // counts uses
  uint64_t next_id_ = 1;                                               // of nodes
  int64_t used_ = 0, unused_ = 0;
};

// The first `count` slots of `segments` are cut off and given back.
std::vector<Segment> take_front(std::vector<Segment>& segments, int64_t count);
// Appends a segment; one that continues the last is merged with it.
void append(std::vector<Segment>& segments, Segment segment);

}  // namespace spate
