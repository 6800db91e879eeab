#include "text/trie.h"

#include <algorithm>
#include <utility>

namespace spate {

// Places the nodes breadth first: all children of a node at once, at a base where every one of them
// falls on a free unit. Free units form a list, linked by `base` (next) and `value` (previous), in
// the order of their numbers.
class Trie::Builder {
 public:
  Builder(std::vector<Entry> entries, std::vector<Unit>& units)
      : entries_(std::move(entries)), units_(units) {
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const Entry& a, const Entry& b) { return a.key < b.key; });
  }

  void build() {
    grow(256);
    take(kRoot, kTaken);
    std::vector<Range> ranges{{kRoot, 0, entries_.size(), 0}};
    for (size_t i = 0; i < ranges.size(); ++i) {
      place_children(ranges[i], ranges);
    }
    units_.resize(highest_base_ + 256);
    units_.shrink_to_fit();
  }

 private:
  static constexpr Node kTaken = -2;  // the root's parent: not free, and nobody's child
  static constexpr int32_t kNone = -1;
  // A search that fails so often leaves the places it saw to nodes with one child, which fit
  // anywhere. This keeps building linear.
  static constexpr int kPatience = 32;

  // The entries below a node: those of [begin, end), which agree in their first `depth` bytes.
  struct Range {
    Node node;
    size_t begin, end, depth;
  };

  void place_children(Range parent, std::vector<Range>& ranges) {
    while (parent.begin < parent.end && entries_[parent.begin].key.size() == parent.depth) {
      if (parent.depth > 0) {
        units_[parent.node].value = entries_[parent.begin].value;
      }
      ++parent.begin;
    }
    children_.clear();
    for (size_t i = parent.begin; i < parent.end;) {
      const char byte = entries_[i].key[parent.depth];
      size_t end = i + 1;
      while (end < parent.end && entries_[end].key[parent.depth] == byte) {
        ++end;
      }
      children_.push_back({static_cast<unsigned char>(byte), i, end, parent.depth + 1});
      i = end;
    }
    if (children_.empty()) {
      return;  // its base stays 0: no unit there has this node as its parent
    }
    const int32_t base = find_base();
    grow(base + 256);
    units_[parent.node].base = base;
    highest_base_ = std::max(highest_base_, base);
    for (Range child : children_) {
      child.node += base;
      take(child.node, parent.node);
      ranges.push_back(child);
    }
  }

  // At least 1, so that no child falls on the root.
  int32_t find_base() {
    const int32_t first = children_.front().node;
    const bool single = children_.size() == 1;
    int failures = 0;
    for (int32_t at = single ? first_free_ : search_from_; at != kNone; at = units_[at].base) {
      if (at <= first) {
        continue;
      }
      if (fits(at - first)) {
        if (failures > kPatience) {
          search_from_ = at;
        }
        return at - first;
      }
      ++failures;
    }
    search_from_ = kNone;  // until the array has grown
    return static_cast<int32_t>(units_.size()) - first;
  }

  bool fits(int32_t base) const {
    return std::all_of(children_.begin(), children_.end(), [&](const Range& child) {
      const size_t at = base + child.node;
      return at >= units_.size() || units_[at].parent == kNowhere;
    });
  }

  // Makes `last` a unit.
  void grow(int32_t last) {
    while (static_cast<int32_t>(units_.size()) <= last) {
      const auto added = static_cast<int32_t>(units_.size());
      units_.push_back({.base = kNone, .parent = kNowhere, .value = last_free_});
      (last_free_ == kNone ? first_free_ : units_[last_free_].base) = added;
      last_free_ = added;
      search_from_ = search_from_ == kNone ? added : search_from_;
    }
  }

  void take(int32_t at, Node parent) {
    const int32_t next = units_[at].base;
    const int32_t previous = units_[at].value;
    (previous == kNone ? first_free_ : units_[previous].base) = next;
    (next == kNone ? last_free_ : units_[next].value) = previous;
    search_from_ = search_from_ == at ? next : search_from_;
    units_[at] = {.base = 0, .parent = parent, .value = -1};
  }

  std::vector<Entry> entries_;
  std::vector<Unit>& units_;
  std::vector<Range> children_;  // `node` is the child's byte until it is placed
  int32_t first_free_ = kNone, last_free_ = kNone;
  int32_t search_from_ = kNone;  // where places for several children are looked for
  int32_t highest_base_ = 0;
};

Trie::Trie(std::vector<Entry> entries) {
  Builder(std::move(entries), units_).build();
  for (Unit& unit : units_) {
    if (unit.parent == kNowhere) {
      unit = {};  // without the links of the list
    }
  }
}

}  // namespace spate
