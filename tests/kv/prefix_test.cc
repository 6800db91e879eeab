// The prefix map against a flat table of blocks, under random operations.
#include "kv/prefix.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/random.h"

namespace spate {
namespace {

constexpr int64_t kBlock = PrefixMap::kBlock;
using Tokens = std::vector<Token>;

struct Random {
  uint64_t key, at = 0;
  int64_t operator()(int64_t below) {
    return static_cast<int64_t>(philox(key, at++).word[0] % static_cast<uint64_t>(below));
  }
};

std::vector<int> flat(const std::vector<Segment>& segments) {
  std::vector<int> slots;
  for (const Segment& segment : segments) {
    for (int slot = segment.begin; slot < segment.end; ++slot) slots.push_back(slot);
  }
  return slots;
}

// Blocks of the few families below: tokens differ from block to block, families part anywhere.
Tokens random_prompt(Random& random) {
  const int64_t family = random(3), parts = random(6) * kBlock + random(3) * 5;
  const int64_t length = 1 + random(7 * kBlock), own = random(3);
  Tokens tokens;
  for (int64_t i = 0; i < length; ++i) {
    tokens.push_back(static_cast<Token>(1000 * (i < parts ? family : 10 + own) + i / kBlock));
  }
  return tokens;
}

// What the map must know: each stored block by all tokens up to its end. The last one of what was
// stored at once may be shorter.
struct Block {
  int64_t begin = 0;
  std::vector<int> slots;
  bool ready = false;
  int users = 0;
  uint64_t last_use = 0;
};

struct Model {
  std::map<Tokens, Block> blocks;
  uint64_t clock = 0;

  static Tokens prefix(const Tokens& tokens, int64_t length) {
    return {tokens.begin(), tokens.begin() + length};
  }
  // `begin`: where a block begins; what is before it counts as ready.
  PrefixMap::Match find(const Tokens& tokens, int64_t begin = 0) const {
    PrefixMap::Match match{.ready = begin};
    for (const auto& found : path(tokens, begin)) {
      const auto end = static_cast<int64_t>(found->first.size());
      if (found->second.ready && match.promised == 0) {
        match.ready = end;
        match.unused += found->second.users == 0 ? end - found->second.begin : 0;
      } else {
        match.promised = end - match.ready;
      }
    }
    return match;
  }
  // The blocks that follow: whole ones before shorter ones.
  using Blocks = std::map<Tokens, Block>;
  std::vector<Blocks::const_iterator> path(const Tokens& tokens, int64_t begin = 0) const {
    std::vector<Blocks::const_iterator> found;
    const auto length = static_cast<int64_t>(tokens.size());
    for (int64_t end = begin; begin < length; begin = end) {
      for (end = std::min(begin + kBlock, length); end > begin; --end) {
        const auto block = blocks.find(prefix(tokens, end));
        if (block == blocks.end() || block->second.begin != begin) continue;
        found.push_back(block);
        break;
      }
      if (end == begin) break;
    }
    return found;
  }
  bool has_child(const Tokens& parent) const {
    for (auto next = blocks.upper_bound(parent); next != blocks.end(); ++next) {
      const Tokens& tokens = next->first;
      if (tokens.size() < parent.size()) return false;
      if (!std::equal(parent.begin(), parent.end(), tokens.begin())) return false;
      if (next->second.begin == static_cast<int64_t>(parent.size())) return true;
    }
    return false;
  }
  // Takes unused leaves away, longest unused first; answers slots.
  int64_t reclaim(int64_t slots) {
    int64_t freed = 0;
    while (freed < slots) {
      auto oldest = blocks.end();
      for (auto it = blocks.begin(); it != blocks.end(); ++it) {
        if (it->second.users > 0 || has_child(it->first)) continue;
        if (oldest == blocks.end() || it->second.last_use < oldest->second.last_use) oldest = it;
      }
      if (oldest == blocks.end()) break;
      freed += static_cast<int64_t>(oldest->second.slots.size());
      blocks.erase(oldest);
    }
    return freed;
  }
  int64_t count(bool used) const {
    int64_t sum = 0;
    for (const auto& [tokens, block] : blocks) {
      if ((block.users > 0) == used) sum += static_cast<int64_t>(block.slots.size());
    }
    return sum;
  }
};

struct User {
  Tokens tokens;
  PrefixMap::Node* node = nullptr;
  int64_t shared = 0, computed = 0;
  std::vector<Tokens> blocks;  // of the shared tokens
  std::vector<Segment> own;    // from `shared` on
};

class PrefixRandom : public testing::TestWithParam<uint64_t> {
 protected:
  static constexpr int kSlots = 900;

  std::vector<Segment> obtain(int64_t count) {
    std::vector<Segment> segments;
    while (count > 0) {
      const auto piece = allocator_.allocate_up_to(
          static_cast<int>(std::min<int64_t>(count, 1 + random_(3 * kBlock))));
      append(segments, *piece);
      count -= piece->size();
    }
    return segments;
  }

  void enter() {
    User user{.tokens = random_prompt(random_)};
    const PrefixMap::Match match = map_.find(user.tokens);
    const auto length = static_cast<int64_t>(user.tokens.size());
    const int64_t free = allocator_.free_slots() + map_.unused() - match.unused;
    if (free < length - match.ready) return;
    if (match.promised > 0 && random_(3) > 0) return;  // it waits; now and then it does not
    std::vector<Segment> shared;
    user.node = map_.take(user.tokens, match.ready, shared);
    user.shared = user.computed = match.ready;
    ++model_.clock;
    std::vector<int> expected;
    for (const auto& found : model_.path(Model::prefix(user.tokens, match.ready))) {
      user.blocks.push_back(found->first);
      Block& block = model_.blocks.at(found->first);
      ++block.users;
      block.last_use = model_.clock;
      expected.insert(expected.end(), block.slots.begin(), block.slots.end());
    }
    ASSERT_EQ(flat(shared), expected);
    const int64_t missing = length - match.ready - allocator_.free_slots();
    if (missing > 0) {
      ASSERT_EQ(map_.reclaim(missing), model_.reclaim(missing));
    }
    user.own = obtain(length - match.ready);
    const int64_t end = random_(2) == 0 ? length : length / kBlock * kBlock;
    if (end > match.ready) {
      std::vector<Segment> rest = user.own;
      const std::vector<Segment> slots = take_front(rest, end - match.ready);
      PrefixMap::Node* promised = map_.promise(
          user.node,
          std::span(user.tokens)
              .subspan(static_cast<size_t>(match.ready), static_cast<size_t>(end - match.ready)),
          slots);
      ASSERT_EQ(promised == nullptr,
                !model_.path(Model::prefix(user.tokens, end), match.ready).empty());
      if (promised != nullptr) {
        ++model_.clock;
        const std::vector<Tokens> added = add(user.tokens, match.ready, end, flat(slots), false);
        user.blocks.insert(user.blocks.end(), added.begin(), added.end());
        user.node = promised;
        user.shared = end;
        user.own = rest;
      }
    }
    users_.push_back(std::move(user));
  }

  std::vector<Tokens> add(const Tokens& tokens, int64_t begin, int64_t end,
                          const std::vector<int>& slots, bool ready) {
    std::vector<Tokens> added;
    for (int64_t at = begin; at < end; at += kBlock) {
      const int64_t size = std::min(kBlock, end - at);
      const auto first = slots.begin() + (at - begin);
      added.push_back(Model::prefix(tokens, at + size));
      const bool is_new = model_.blocks
                              .emplace(added.back(), Block{.begin = at,
                                                           .slots = {first, first + size},
                                                           .ready = ready,
                                                           .users = ready ? 0 : 1,
                                                           .last_use = model_.clock})
                              .second;
      EXPECT_TRUE(is_new);
    }
    return added;
  }

  void compute() {
    if (users_.empty()) return;
    User& user = users_[static_cast<size_t>(random_(static_cast<int64_t>(users_.size())))];
    const int64_t left = static_cast<int64_t>(user.tokens.size()) - user.computed;
    if (left > 0) user.computed += 1 + random_(left);
    map_.computed(user.node, user.computed);
    for (const Tokens& tokens : user.blocks) {
      if (static_cast<int64_t>(tokens.size()) <= user.computed) {
        model_.blocks.at(tokens).ready = true;
      }
    }
  }

  void leave() {
    if (users_.empty()) return;
    const auto at = static_cast<size_t>(random_(static_cast<int64_t>(users_.size())));
    User user = std::move(users_[at]);
    users_.erase(users_.begin() + static_cast<std::ptrdiff_t>(at));
    // Promised blocks that are not computed go.
    while (user.shared > user.computed) {
      const auto last = model_.blocks.find(user.blocks.back());
      user.shared = last->second.begin;
      model_.blocks.erase(last);
      user.blocks.pop_back();
    }
    if (user.computed > user.shared) {
      insert_own(user);
    } else {
      for (const Segment& segment : user.own) allocator_.release(segment);
    }
    map_.release(user.node);
    ++model_.clock;
    for (const Tokens& tokens : user.blocks) {
      Block& block = model_.blocks.at(tokens);
      --block.users;
      block.last_use = model_.clock;
    }
  }

  void insert_own(User& user) {
    const Tokens computed = Model::prefix(user.tokens, user.computed);
    const PrefixMap::Match match = model_.find(computed, user.shared);
    const int64_t end = match.ready + (user.computed - match.ready) / kBlock * kBlock;
    if (match.promised == 0 && end > match.ready) {
      ++model_.clock;
      const std::vector<int> slots = flat(user.own);
      add(computed, match.ready, end,
          {slots.begin() + (match.ready - user.shared), slots.begin() + (end - user.shared)}, true);
    }
    map_.insert(user.node, std::span(computed).subspan(static_cast<size_t>(user.shared)), user.own);
  }

  void expect_same() {
    map_.check_invariants();
    ASSERT_EQ(map_.used(), model_.count(true));
    ASSERT_EQ(map_.unused(), model_.count(false));
    int64_t own = 0;
    for (const User& user : users_) own += static_cast<int64_t>(flat(user.own).size());
    ASSERT_EQ(allocator_.free_slots() + map_.used() + map_.unused() + own, kSlots) << "slots leak";
    for (int i = 0; i < 5; ++i) {
      const Tokens tokens = random_prompt(random_);
      const PrefixMap::Match found = map_.find(tokens), expected = model_.find(tokens);
      ASSERT_EQ(found.ready, expected.ready);
      ASSERT_EQ(found.promised, expected.promised);
      ASSERT_EQ(found.unused, expected.unused);
    }
  }

  Random random_{.key = 11};
  SegmentAllocator allocator_{kSlots};
  PrefixMap map_{allocator_, {}, GetParam()};
  Model model_;
  std::vector<User> users_;
};

TEST_P(PrefixRandom, OperationsMatchATableOfBlocks) {
  for (int step = 0; step < 6000; ++step) {
    SCOPED_TRACE(step);
    const int64_t choice = random_(10);
    if (choice < 4) {
      ASSERT_NO_FATAL_FAILURE(enter());
    } else if (choice < 7) {
      compute();
    } else if (choice < 9) {
      leave();
    } else if (random_(4) == 0) {
      const int64_t slots = 1 + random_(3 * kBlock);
      ASSERT_EQ(map_.reclaim(slots), model_.reclaim(slots));
    }
    ASSERT_NO_FATAL_FAILURE(expect_same());
  }
  while (!users_.empty()) leave();
  ASSERT_NO_FATAL_FAILURE(expect_same());
  map_.reclaim(kSlots);
  EXPECT_EQ(allocator_.free_slots(), kSlots);
  EXPECT_EQ(allocator_.free_runs(), 1);
}

// All hashes, two bits of them, none: equal hashes must never pass for equal tokens.
INSTANTIATE_TEST_SUITE_P(Hashes, PrefixRandom,
                         testing::Values(~uint64_t{0}, uint64_t{3}, uint64_t{0}));

Tokens counting(int64_t count) {
  Tokens tokens;
  for (int64_t i = 0; i < count; ++i) tokens.push_back(static_cast<Token>(i));
  return tokens;
}

TEST(Prefix, PartOfAPromiseCanBeUsedWhenItIsKept) {
  SegmentAllocator allocator(200);
  PrefixMap map(allocator);
  const Tokens tokens = counting(64);
  std::vector<Segment> none;
  PrefixMap::Node* root = map.take(tokens, 0, none);
  PrefixMap::Node* first = map.promise(root, tokens, {*allocator.allocate(64)});
  EXPECT_EQ(map.find(tokens).ready, 0);
  EXPECT_EQ(map.find(tokens).promised, 64);
  map.computed(first, 40);
  EXPECT_EQ(map.find(tokens).ready, 32);
  EXPECT_EQ(map.find(counting(32)).promised, 0);
  std::vector<Segment> shared;
  PrefixMap::Node* second = map.take(tokens, 32, shared);
  EXPECT_EQ(flat(shared).size(), 32U);
  map.release(first);  // evicted: eight tokens of the third block are lost, the fourth never came
  EXPECT_EQ(map.find(tokens).ready, 32);
  EXPECT_EQ(map.find(tokens).promised, 0);
  EXPECT_EQ(map.reclaim(1), 0) << "slots in use were freed";
  map.release(second);
  EXPECT_EQ(map.reclaim(1), kBlock);
  map.check_invariants();
}

TEST(Prefix, APromiseMayEndInsideOfABlock) {
  SegmentAllocator allocator(200);
  PrefixMap map(allocator);
  const Tokens tokens = counting(60);
  std::vector<Segment> none;
  PrefixMap::Node* root = map.take(tokens, 0, none);
  PrefixMap::Node* first =
      map.promise(root, std::span(tokens).first(59), {*allocator.allocate(59)});
  map.computed(first, 58);
  EXPECT_EQ(map.find(tokens).ready, 48);
  EXPECT_EQ(map.find(tokens).promised, 11);
  map.computed(first, 59);
  EXPECT_EQ(map.find(tokens).ready, 59);
  EXPECT_EQ(map.find(counting(58)).ready, 48) << "it can be left at its end alone";
  std::vector<Segment> shared;
  PrefixMap::Node* second = map.take(tokens, 59, shared);
  EXPECT_EQ(second, first);
  // A prompt that parts earlier shares whole blocks, and what it adds stands beside the rest.
  Tokens other = counting(70);
  other[50] = 7;
  EXPECT_EQ(map.find(other).ready, 48);
  PrefixMap::Node* third = map.take(other, 48, shared);
  PrefixMap::Node* more =
      map.promise(third, std::span(other).subspan(48, 20), {*allocator.allocate(20)});
  ASSERT_NE(more, nullptr);
  map.computed(more, 68);
  map.check_invariants();
  EXPECT_EQ(map.find(other).ready, 68);
  EXPECT_EQ(map.find(tokens).ready, 59);
  for (PrefixMap::Node* node : {first, second, more}) map.release(node);
  EXPECT_EQ(map.reclaim(200), 79);
  map.check_invariants();
  EXPECT_EQ(allocator.free_slots(), 200);
}

TEST(Prefix, LongestUnusedGoesFirst) {
  SegmentAllocator allocator(96);
  PrefixMap map(allocator);
  std::vector<Segment> none;
  const auto prompt = [](Token first) { return Tokens(32, first); };
  for (const Token first : {1, 2, 3}) {
    PrefixMap::Node* root = map.take(prompt(first), 0, none);
    map.insert(root, prompt(first), {*allocator.allocate(32)});
    map.release(root);
  }
  std::vector<Segment> shared;
  map.release(map.take(prompt(1), 32, shared));  // used again
  EXPECT_EQ(map.reclaim(32), 32);
  EXPECT_EQ(map.find(prompt(2)).ready, 0);
  EXPECT_EQ(map.reclaim(16), 16);
  EXPECT_EQ(map.find(prompt(3)).ready, 16) << "the end goes before the beginning";
  EXPECT_EQ(map.find(prompt(1)).ready, 32);
}

TEST(Prefix, FrontsOfSegments) {
  std::vector<Segment> segments{{0, 4}, {10, 12}, {20, 30}};
  EXPECT_EQ(take_front(segments, 5), (std::vector<Segment>{{0, 4}, {10, 11}}));
  EXPECT_EQ(segments, (std::vector<Segment>{{11, 12}, {20, 30}}));
  EXPECT_TRUE(take_front(segments, 0).empty());
  EXPECT_EQ(take_front(segments, 11).size(), 2U);
  EXPECT_TRUE(segments.empty());
  EXPECT_THROW(take_front(segments, 1), Error);
  append(segments, {3, 5});
  append(segments, {5, 9});
  append(segments, {11, 12});
  EXPECT_EQ(segments, (std::vector<Segment>{{3, 9}, {11, 12}}));
}

}  // namespace
}  // namespace spate
