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

// What the map must know: each stored block by all tokens up to its end.
struct Block {
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
  PrefixMap::Match find(const Tokens& tokens) const {
    PrefixMap::Match match;
    for (int64_t end = kBlock; end <= static_cast<int64_t>(tokens.size()); end += kBlock) {
      const auto found = blocks.find(prefix(tokens, end));
      if (found == blocks.end()) break;
      if (found->second.ready && match.promised == 0) {
        match.ready = end;
        match.unused += found->second.users == 0 ? kBlock : 0;
      } else {
        match.promised = end - match.ready;
      }
    }
    return match;
  }
  bool has_child(const Tokens& parent) const {
    const auto next = blocks.upper_bound(parent);
    return next != blocks.end() && next->first.size() > parent.size() &&
           std::equal(parent.begin(), parent.end(), next->first.begin());
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
      blocks.erase(oldest);
      freed += kBlock;
    }
    return freed;
  }
  int64_t count(bool used) const {
    int64_t sum = 0;
    for (const auto& [tokens, block] : blocks) sum += (block.users > 0) == used ? kBlock : 0;
    return sum;
  }
};

struct User {
  Tokens tokens;
  PrefixMap::Node* node = nullptr;
  int64_t shared = 0, computed = 0;
  std::vector<Segment> own;  // from `shared` on
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
    for (int64_t end = kBlock; end <= match.ready; end += kBlock) {
      Block& block = model_.blocks.at(Model::prefix(user.tokens, end));
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
    const int64_t end = length / kBlock * kBlock;
    if (end > match.ready) {
      std::vector<Segment> rest = user.own;
      const std::vector<Segment> slots = take_front(rest, end - match.ready);
      PrefixMap::Node* promised = map_.promise(
          user.node,
          std::span(user.tokens)
              .subspan(static_cast<size_t>(match.ready), static_cast<size_t>(end - match.ready)),
          slots);
      ASSERT_EQ(promised == nullptr, match.promised > 0);
      if (promised != nullptr) {
        ++model_.clock;
        add(user.tokens, match.ready, end, flat(slots), false);
        user.node = promised;
        user.shared = end;
        user.own = rest;
      }
    }
    users_.push_back(std::move(user));
  }

  void add(const Tokens& tokens, int64_t begin, int64_t end, const std::vector<int>& slots,
           bool ready) {
    for (int64_t at = begin; at < end; at += kBlock) {
      const auto first = slots.begin() + (at - begin);
      model_.blocks[Model::prefix(tokens, at + kBlock)] = {.slots = {first, first + kBlock},
                                                           .ready = ready,
                                                           .users = ready ? 0 : 1,
                                                           .last_use = model_.clock};
    }
  }

  void compute() {
    if (users_.empty()) return;
    User& user = users_[static_cast<size_t>(random_(static_cast<int64_t>(users_.size())))];
    const int64_t left = static_cast<int64_t>(user.tokens.size()) - user.computed;
    if (left > 0) user.computed += 1 + random_(left);
    map_.computed(user.node, user.computed);
    for (int64_t end = kBlock; end <= std::min(user.computed, user.shared); end += kBlock) {
      model_.blocks.at(Model::prefix(user.tokens, end)).ready = true;
    }
  }

  void leave() {
    if (users_.empty()) return;
    const auto at = static_cast<size_t>(random_(static_cast<int64_t>(users_.size())));
    User user = std::move(users_[at]);
    users_.erase(users_.begin() + static_cast<std::ptrdiff_t>(at));
    // Promised blocks that are not computed go.
    for (int64_t end = user.shared; end > user.computed; end -= kBlock) {
      model_.blocks.erase(Model::prefix(user.tokens, end));
      user.shared -= kBlock;
    }
    if (user.computed > user.shared) {
      insert_own(user);
    } else {
      for (const Segment& segment : user.own) allocator_.release(segment);
    }
    map_.release(user.node);
    ++model_.clock;
    for (int64_t end = kBlock; end <= user.shared; end += kBlock) {
      Block& block = model_.blocks.at(Model::prefix(user.tokens, end));
      --block.users;
      block.last_use = model_.clock;
    }
  }

  void insert_own(User& user) {
    const Tokens computed = Model::prefix(user.tokens, user.computed);
    const PrefixMap::Match match = model_.find(computed);
    const int64_t end = user.computed / kBlock * kBlock;
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
