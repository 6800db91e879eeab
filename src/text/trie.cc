#include "text/trie.h"

#include <algorithm>
#include <utility>

namespace spate {

// Places the nodes breadth first: all children of a node at once, at the first base where every one
// of them falls on a free unit.
class Trie::Builder {
 public:
  Builder(std::vector<Entry> entries, std::vector<Unit>& units)
      : entries_(std::move(entries)), units_(units) {
    std::stable_sort(entries_.begin(), entries_.end(),
                     [](const Entry& a, const Entry& b) { return a.key < b.key; });
  }

  void build() {
    grow(256);
    units_[kRoot].parent = kTaken;
    std::vector<Range> ranges{{kRoot, 0, entries_.size(), 0}};
    for (size_t i = 0; i < ranges.size(); ++i) {
      place_children(ranges[i], ranges);
    }
    units_.resize(highest_base_ + 256);
    units_.shrink_to_fit();
  }

 private:
  static constexpr Node kTaken = -2;  // the root's parent: not free, and nobody's child

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
    highest_base_ = std::max(highest_base_, base);
    units_[parent.node].base = base;
    for (Range child : children_) {
      child.node += base;
      units_[child.node].parent = parent.node;
      ranges.push_back(child);
    }
  }

  // Searching starts where the array stops being nearly full, so that building stays linear in
  // practice.
  int32_t find_base() {
    size_t taken = 0, seen = 0;
    for (int32_t at = std::max(search_from_, children_[0].node + 1);; ++at) {
      grow(at + 256);
      ++seen;
      if (units_[at].parent != kNowhere) {
        ++taken;
        continue;
      }
      const int32_t base = at - children_[0].node;
      const bool fits = std::all_of(children_.begin(), children_.end(), [&](const Range& child) {
        return units_[base + child.node].parent == kNowhere;
      });
      if (fits) {
        if (taken * 20 >= seen * 19) {
          search_from_ = at;
        }
        return base;
      }
    }
  }

  void grow(int32_t size) {
    if (units_.size() <= static_cast<size_t>(size)) {
      units_.resize(size + 1 + units_.size() / 4);
    }
  }

  std::vector<Entry> entries_;
  std::vector<Unit>& units_;
  std::vector<Range> children_;  // `node` is the child's byte until it is placed
  int32_t search_from_ = 1;
  int32_t highest_base_ = 0;
};

Trie::Trie(std::vector<Entry> entries) { Builder(std::move(entries), units_).build(); }

}  // namespace spate
