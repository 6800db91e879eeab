// What sequences have of the cache: ties the allocator and the prefix map to sequences.
//
// A sequence enters with slots for all its tokens and some more for what it will draw, in one run
// where there is one; it grows when those are used up, can be trimmed to what it really holds, and
// leaves its tokens in the prefix map, where they stay until their slots are wanted.
//
// Where the model keeps states, a sequence has a slot for its own as long as it runs. A step reads
// one slot and writes one: at a snapshot's place it writes the snapshot instead of the sequence's
// own slot, and the next step reads that. So nothing is ever copied. Slots can be given away as
// soon as nobody has them, because a device runs steps in their order; only within a step nobody
// may write what another reads, so snapshots that rows read are held until the step is planned.
//
// Owner: the scheduler.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "kv/prefix.h"
#include "kv/segments.h"
#include "sched/live.h"

namespace spate {

// Which runs of slots are worth moving: long ones, as long as there are some.
enum class Runs { long_ones, any };

// Slots for states: of rows, [0, rows), and behind them snapshots. No rows: the model keeps none.
struct StateCounts {
  int rows = 0, snapshots = 0;
};

class Slots {
 public:
  Slots(int64_t slots, bool share_prefixes, StateCounts states = {});

  // What the cache already holds for a sequence that waits. Its last token is always computed.
  PrefixMap::Match find(const Live& live) const;

  // Slots free or unused, once the sequence takes its match.
  int64_t available(const PrefixMap::Match& match) const;

  // Slots for all tokens, of which match.ready are shared, and for up to `reserve` more. There must
  // be enough available.
  void enter(Live& live, const PrefixMap::Match& match, int64_t reserve);

  // Some slots more, about `wish`: in place, or a new segment. False: no such run is free or
  // unused.
  bool grow(Live& live, int64_t wish, Runs runs);

  // Where a row that computes the tokens [begin, end) should stop to leave a snapshot; 0: nowhere.
  int64_t next_snapshot(const Live& live, int64_t begin, int64_t end) const;
  // A slot for it, if one can be had; the sequence then reads it.
  std::optional<int> take_snapshot() { return prefixes_.take_state(); }
  // A sequence waits for what another one computes: it will want to go on where it leaves that.
  void want_snapshot(const Live& live);
  // live.computed has grown, and its state is in that slot.
  void state_moved(Live& live, int slot);

  // Takes back slots that its tokens do not need; answers how many.
  int64_t trim(Live& live, Runs runs);

  // live.computed has grown.
  void computed(Live& live);

  // Frees all it has; what it computed stays findable.
  void leave(Live& live);

  int64_t total() const { return free_.slots(); }
  int64_t used() const { return total() - free_.free_slots() - prefixes_.unused(); }
  int64_t shared() const { return prefixes_.used(); }  // of `used`, in the prefix map
  int64_t unused() const { return prefixes_.unused(); }
  const SegmentAllocator& free_runs() const { return free_; }
  const PrefixMap& prefixes() const { return prefixes_; }
  bool keep_states() const { return states_.rows > 0; }
  int64_t free_states() const { return static_cast<int64_t>(free_states_.size()); }

 private:
  void drop_unused(int64_t slots);
  bool extend(Live& live, int64_t wanted);
  Segment take_run(int64_t wanted);
  Segment in_blocks(Segment run);
  std::vector<Segment> obtain(int64_t need, int64_t wish);
  void promise(Live& live, std::vector<Segment> own);
  bool is_snapshot(int slot) const { return slot >= states_.rows; }
  void take_states(Live& live, int64_t begin);
  void give_states(Live& live);

  SegmentAllocator free_;
  PrefixMap prefixes_;
  bool share_;
  StateCounts states_;
  std::vector<int> free_states_;  // of rows
};

}  // namespace spate
