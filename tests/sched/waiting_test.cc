// The waiting list against a plain model of its order, by random operations.
#include "sched/waiting.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <tuple>

#include "base/random.h"

namespace spate {
namespace {

struct Random {
  uint64_t key, at = 0;
  uint64_t operator()(uint64_t below) { return philox(key, at++).word[0] % below; }
};

// Prompts of 1 to 700 tokens. The first 64 come from three families, further ones from subfamilies.
std::vector<Token> random_prompt(Random& random) {
  const size_t lengths[] = {1, 20, 63, 64, 65, 127, 128, 200, 256, 300, 511, 512, 700};
  const size_t length = lengths[random(std::size(lengths))];
  const uint64_t family = random(3), branch = random(3), leaf = random(4);
  std::vector<Token> prompt;
  for (size_t i = 0; i < length; ++i) {
    const uint64_t key = i < 60 ? family : i < 200 ? 10 + 3 * family + branch : 100 + leaf;
    prompt.push_back(static_cast<Token>(philox(key, i).word[0] % 50));
  }
  return prompt;
}

// Blocks in turn; in a block the tree of beginnings, written as the plainest recursion.
class Model {
 public:
  using Path = std::pair<uint64_t, std::vector<Token>>;  // block and first tokens

  void add(Live* live) {
    rows.push_back(live);
    for (size_t count = 64; count <= live->tokens.size(); count *= 2) {
      int64_t& longest = longest_[path(*live, count)];
      longest = std::max(longest, live->length_class);
    }
  }
  void erase(Live* live) {
    std::erase(rows, live);
    std::erase_if(longest_, [&](const auto& one) {
      return std::ranges::none_of(rows, [&](const Live* other) {
        const size_t count = one.first.second.size();
        return other->age == 0 && other->tokens.size() >= count && path(*other, count) == one.first;
      });
    });
  }

  std::vector<Live*> in_order() const {
    std::vector<Live*> out;
    std::map<uint64_t, std::vector<Live*>> blocks;
    for (Live* live : rows) {
      if (live->age > 0) out.push_back(live);
      if (live->age == 0) blocks[live->block].push_back(live);
    }
    std::ranges::sort(out, {}, &Live::age);
    for (const auto& [block, waiting] : blocks) visit(waiting, 64, out);
    return out;
  }

  std::vector<Live*> rows;

 private:
  static Path path(const Live& live, size_t count) {
    return {live.block,
            {live.tokens.begin(), live.tokens.begin() + static_cast<std::ptrdiff_t>(count)}};
  }

  // Those that reach `count` tokens stand with those that share them; the others stand alone.
  void visit(const std::vector<Live*>& waiting, size_t count, std::vector<Live*>& out) const {
    struct Sibling {
      int64_t longest;
      std::vector<Token> tokens;
      uint64_t arrival;  // of one that stands alone
      std::vector<Live*> rows;
    };
    std::vector<Sibling> siblings;
    std::map<Path, std::vector<Live*>> shared;
    for (Live* live : waiting) {
      if (live->tokens.size() < count) {
        siblings.push_back({live->length_class, live->tokens, live->arrival, {live}});
      } else {
        shared[path(*live, count)].push_back(live);
      }
    }
    for (const auto& [path, rows] : shared) {
      siblings.push_back({longest_.at(path), path.second, 0, rows});
    }
    std::ranges::sort(siblings, [](const Sibling& a, const Sibling& b) {
      if (a.longest != b.longest) return a.longest > b.longest;
      return std::tie(a.tokens, a.arrival) < std::tie(b.tokens, b.arrival);
    });
    for (const Sibling& one : siblings) {
      if (one.tokens.size() == count && one.arrival == 0) {
        visit(one.rows, 2 * count, out);
      } else {
        out.push_back(one.rows[0]);
      }
    }
  }

  std::map<Path, int64_t> longest_;
};

void work(uint64_t hash_mask, bool compare) {
  WaitingList list(Order::automatic, 40, hash_mask);
  Model model;
  Random random{.key = 3};
  std::vector<std::unique_ptr<Live>> all;
  uint64_t ages = 0;
  for (int step = 0; step < 1000; ++step) {
    // The list fills and empties in turn.
    if (random(100) < (step / 200 % 2 == 0 ? 70U : 40U)) {
      Live& live = *all.emplace_back(std::make_unique<Live>());
      live.tokens = random_prompt(random);
      live.arrival = all.size();
      live.expected = std::exp2(static_cast<double>(random(40)) / 4);
      list.add(live, all.size() - 1);
      model.add(&live);
    } else if (!model.rows.empty()) {
      Live* live = random(2) == 0 ? *list.begin() : model.rows[random(model.rows.size())];
      list.erase(*live);
      model.erase(live);
      if (random(4) == 0) {  // it ran and was evicted
        if (live->age == 0) live->age = ++ages;
        list.put_back(*live);
        model.rows.push_back(live);
      }
    }
    ASSERT_EQ(list.size(), model.rows.size());
    if (step % 7 != 0) continue;
    list.check_invariants();
    if (!compare) continue;
    ASSERT_EQ(std::vector<Live*>(list.begin(), list.end()), model.in_order()) << "step " << step;
  }
}

TEST(Waiting, AutomaticOrderIsThatOfThePlainModel) { work(~uint64_t{0}, true); }

TEST(Waiting, CollidingHashesBreakNothing) {
  work(0, false);
  work(7, false);
  work(63, false);
}

}  // namespace
}  // namespace spate
