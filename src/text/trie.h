// A set of byte strings, each with a number: which of them does a text begin with? Used for
// vocabulary pieces and user-defined symbols.
//
// The trie is a double array (Aoe, "An efficient digital search algorithm by using a double-array
// structure", 1989): the child of node n over byte b is node n.base + b, if that node says that n
// is its parent. One load a byte. Const after construction.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

namespace spate {

class Trie {
 public:
  struct Entry {
    std::string_view key;  // empty keys are left out
    int32_t value;         // at least 0
  };
  struct Match {
    size_t length = 0;  // 0: none
    int32_t value = -1;
  };
  using Node = int32_t;
  static constexpr Node kRoot = 0;
  static constexpr Node kNowhere = -1;

  Trie() : Trie(std::vector<Entry>{}) {}
  explicit Trie(std::vector<Entry> entries);  // of equal keys the last one counts

  // The node that `text` leads to from `node`, or kNowhere.
  Node walk(Node node, std::string_view text) const {
    for (size_t i = 0; i < text.size() && node != kNowhere; ++i) {
      node = step(node, text[i]);
    }
    return node;
  }
  // The value of the key that ends at `node`, or -1.
  int32_t value(Node node) const { return node == kNowhere ? -1 : units_[node].value; }
  int32_t find(std::string_view key) const { return value(walk(kRoot, key)); }

  // Calls visit(length, value) for every key that `text` begins with, shortest first.
  template <class Visit>
  void each_prefix(std::string_view text, const Visit& visit) const {
    Node node = kRoot;
    for (size_t i = 0; i < text.size(); ++i) {
      node = step(node, text[i]);
      if (node == kNowhere) {
        return;
      }
      if (units_[node].value >= 0) {
        visit(i + 1, units_[node].value);
      }
    }
  }
  Match longest_prefix(std::string_view text) const {
    Match longest;
    each_prefix(text, [&](size_t length, int32_t value) { longest = {length, value}; });
    return longest;
  }

 private:
  struct Unit {
    int32_t base = 0;
    Node parent = kNowhere;  // kNowhere: the unit is free
    int32_t value = -1;
  };
  class Builder;

  // base + 255 is always inside units_.
  Node step(Node node, char byte) const {
    const Node next = units_[node].base + static_cast<unsigned char>(byte);
    return units_[next].parent == node ? next : kNowhere;
  }

  std::vector<Unit> units_;
};

}  // namespace spate
