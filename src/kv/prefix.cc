#include "kv/prefix.h"

#include <algorithm>

#include "base/check.h"
#include "base/random.h"

namespace spate {
namespace {

int64_t whole_blocks(int64_t tokens) { return tokens / PrefixMap::kBlock * PrefixMap::kBlock; }

}  // namespace

struct PrefixMap::Node {
  uint64_t id = 0;
  Node* parent = nullptr;
  int64_t begin = 0;           // tokens before its own, on the way from the root
  std::vector<Token> tokens;   // none in the root
  std::vector<Segment> slots;  // one slot a token, usually one segment
  int64_t ready = 0;           // of its tokens, those whose keys and values are computed
  int64_t users = 0;           // rows whose tokens pass through it
  int64_t children = 0, short_children = 0;  // those shorter than a block
  uint64_t last_use = 0;
  int state = Snapshots::kNone;  // the slot of the state after its last token
  std::set<int64_t> wanted;      // of a promise: lengths at which rows that wait want a state

  int64_t end() const { return begin + size(); }
  int64_t size() const { return static_cast<int64_t>(tokens.size()); }
  bool promised() const { return ready < size(); }
  bool is_short() const { return size() < kBlock; }
  // Where a row may leave it: the last such place at `inside` of its tokens or before.
  int64_t leave_at(int64_t inside) const {
    return inside == size() ? inside : whole_blocks(inside);
  }
};

// How far tokens were followed down the tree.
struct PrefixMap::Walk {
  Node* node = nullptr;  // the last node that holds some of them
  int64_t inside = 0;    // how many of its tokens were met
  int64_t matched = 0;   // tokens met, from where the walk began
};

namespace {

std::span<const Token> after(std::span<const Token> tokens, int64_t count) {
  return tokens.subspan(static_cast<size_t>(count));
}

int64_t size_of(const std::vector<Segment>& segments) {
  int64_t sum = 0;
  for (const Segment& segment : segments) sum += segment.size();
  return sum;
}

// Equal tokens at the beginning of both.
int64_t common_tokens(std::span<const Token> a, std::span<const Token> b) {
  const auto end = a.begin() + static_cast<std::ptrdiff_t>(std::min(a.size(), b.size()));
  return std::mismatch(a.begin(), end, b.begin()).first - a.begin();
}

}  // namespace

std::vector<Segment> take_front(std::vector<Segment>& segments, int64_t count) {
  std::vector<Segment> front;
  size_t whole = 0;  // segments that are cut off entirely
  for (; whole < segments.size() && segments[whole].size() <= count; ++whole) {
    front.push_back(segments[whole]);
    count -= segments[whole].size();
  }
  segments.erase(segments.begin(), segments.begin() + static_cast<std::ptrdiff_t>(whole));
  if (count > 0) {
    check(!segments.empty(), "segments are ", count, " slots too short");
    const int at = segments.front().begin + static_cast<int>(count);
    front.push_back({segments.front().begin, at});
    segments.front().begin = at;
  }
  return front;
}

void append(std::vector<Segment>& segments, Segment segment) {
  if (!segments.empty() && segments.back().end == segment.begin) {
    segments.back().end = segment.end;
  } else if (segment.size() > 0) {
    segments.push_back(segment);
  }
}

PrefixMap::PrefixMap(SegmentAllocator& slots, SnapshotSlots snapshots, uint64_t hash_mask)
    : slots_(slots),
      snapshots_(snapshots),
      hash_mask_(hash_mask),
      root_(std::make_unique<Node>()) {}
PrefixMap::~PrefixMap() = default;

PrefixMap::Match PrefixMap::find(std::span<const Token> tokens) const {
  const Walk found = walk(tokens, root_.get());
  Match match;
  if (found.node == root_.get()) return match;
  const int64_t usable = std::min(found.inside, found.node->leave_at(found.node->ready));
  match.ready = found.matched - found.inside + usable;
  match.promised = found.inside - usable;
  if (found.node->users == 0) match.unused += usable;
  for (const Node* node = found.node->parent; node != root_.get(); node = node->parent) {
    if (node->users == 0) match.unused += node->size();
  }
  match.begin = match.ready;
  if (snapshots_.exist()) {
    const Node* node = found.node;
    while (node != root_.get() && (node->end() > match.ready || node->state == Snapshots::kNone)) {
      node = node->parent;
    }
    match.begin = node->end();
  }
  return match;
}

PrefixMap::Node* PrefixMap::take(std::span<const Token> tokens, int64_t count,
                                 std::vector<Segment>& segments) {
  const Walk found = walk(tokens.first(static_cast<size_t>(count)), root_.get());
  check(found.matched == count && found.inside <= found.node->ready, "the cache holds ",
        found.matched, " of ", count, " tokens");
  Node* last = found.inside < found.node->size() ? cut(found.node, found.inside) : found.node;
  ++clock_;
  std::vector<const Node*> path;
  for (Node* node = last; node != root_.get(); node = node->parent) {
    path.push_back(node);
    if (node->users == 0) {
      unused_leaves_.erase({node->last_use, node});
      unused_ -= node->size();
      used_ += node->size();
    }
    ++node->users;
    node->last_use = clock_;
  }
  for (auto node = path.rbegin(); node != path.rend(); ++node) {
    for (const Segment& segment : (*node)->slots) append(segments, segment);
  }
  return last;
}

PrefixMap::Node* PrefixMap::promise(Node* node, std::span<const Token> tokens,
                                    const std::vector<Segment>& slots) {
  check(!tokens.empty(), "a promise of no tokens");
  check(!node->promised(), "a promise after one that is not kept yet");
  if (child(node, tokens) != nullptr) return nullptr;
  Node* promised = add(node, tokens, slots);
  promised->users = 1;
  used_ += promised->size();
  return promised;
}

void PrefixMap::computed(Node* node, int64_t length) {
  if (node->promised()) node->ready = std::clamp(length - node->begin, node->ready, node->size());
  node->wanted.erase(node->wanted.begin(), node->wanted.upper_bound(length));
}

void PrefixMap::insert(Node* node, std::span<const Token> tokens, std::vector<Segment> slots) {
  const Walk found = walk(tokens, node);
  const int64_t fresh = whole_blocks(static_cast<int64_t>(tokens.size()) - found.matched);
  // Nothing can follow tokens that are only promised.
  if (fresh > 0 && found.inside <= found.node->ready) {
    Node* parent = found.inside < found.node->size() ? cut(found.node, found.inside) : found.node;
    for (const Segment& known : take_front(slots, found.matched)) slots_.release(known);
    Node* added = add(parent, after(tokens, found.matched).first(static_cast<size_t>(fresh)),
                      take_front(slots, fresh));
    added->ready = fresh;
    unused_ += fresh;
    note_leaf(added);
  }
  for (const Segment& rest : slots) slots_.release(rest);
}

void PrefixMap::release(Node* node) {
  if (node->promised()) {
    check(node->users == 1, "a promised node has ", node->users, " users");
    Node* parent = node->parent;
    const int64_t kept = node->leave_at(node->ready);
    truncate(node, kept);
    if (kept == 0) node = parent;
  }
  ++clock_;
  for (; node != root_.get(); node = node->parent) {
    check(node->users > 0, "a node without users is released");
    node->last_use = clock_;
    if (--node->users > 0) continue;
    used_ -= node->size();
    unused_ += node->size();
    note_leaf(node);
  }
}

void PrefixMap::want_state(std::span<const Token> tokens) {
  const Walk found = walk(tokens, root_.get());
  if (snapshots_.exist() && found.node->promised()) {
    found.node->wanted.insert(found.node->begin + found.inside);
  }
}

int64_t PrefixMap::next_state(const Node* node, int64_t begin, int64_t end) const {
  int64_t next = end + 1;
  const auto consider = [&](int64_t length) {
    if (length > begin) next = std::min(next, length);
  };
  if (const auto wanted = node->wanted.upper_bound(begin); wanted != node->wanted.end()) {
    consider(*wanted);
  }
  for (const Node* at : {node, static_cast<const Node*>(node->parent)}) {
    if (at != nullptr && at->state == Snapshots::kNone) consider(at->end());
  }
  return next <= end ? next : 0;
}

void PrefixMap::keep_state(Node* node, int64_t length, int slot) {
  while (node->begin >= length) node = node->parent;
  if (node->end() > length) node = cut(node, length - node->begin);
  check(node->end() == length && !node->promised(), "a state after ", length,
        " tokens, of which not all are computed");
  if (node->state == Snapshots::kNone) snapshots_.keep(slot, &node->state);
}

int PrefixMap::read_state(const Node* node, int64_t length) {
  while (node->end() > length) node = node->parent;
  check(node->end() == length && node->state != Snapshots::kNone, "no state after ", length,
        " tokens");
  snapshots_.read(node->state);
  return node->state;
}

int64_t PrefixMap::reclaim(int64_t slots) {
  int64_t freed = 0;
  while (freed < slots && !unused_leaves_.empty()) {
    Node* node = unused_leaves_.begin()->second;
    const int64_t kept = whole_blocks(std::max<int64_t>(0, node->size() - (slots - freed)));
    freed += node->size() - kept;
    truncate(node, kept);
  }
  return freed;
}

PrefixMap::Walk PrefixMap::walk(std::span<const Token> tokens, const Node* from) const {
  Walk found{.node = const_cast<Node*>(from), .inside = from->size()};
  while (static_cast<int64_t>(tokens.size()) > found.matched) {
    const std::span<const Token> rest = after(tokens, found.matched);
    Node* next = child(found.node, rest);
    if (next == nullptr) break;
    const int64_t common = next->leave_at(common_tokens(rest, next->tokens));
    found = {.node = next, .inside = common, .matched = found.matched + common};
    if (common < next->size()) break;
  }
  return found;
}

// A child that begins with the tokens' first block, else the longest of the shorter ones that they
// begin with.
PrefixMap::Node* PrefixMap::child(const Node* node, std::span<const Token> tokens) const {
  const auto length = static_cast<int64_t>(tokens.size());
  if (length >= kBlock) {
    if (Node* found = child_of(node, tokens.first(kBlock)); found != nullptr) return found;
  }
  if (node->short_children == 0) return nullptr;
  for (int64_t count = std::min(length, kBlock - 1); count > 0; --count) {
    Node* found = child_of(node, tokens.first(static_cast<size_t>(count)));
    if (found != nullptr) return found;
  }
  return nullptr;
}

// The child with this first block, or with these tokens where they are fewer.
PrefixMap::Node* PrefixMap::child_of(const Node* node, std::span<const Token> first) const {
  const auto [begin, end] = children_.equal_range(key(node, first));
  for (auto it = begin; it != end; ++it) {
    Node* candidate = it->second.get();
    if (candidate->parent == node && std::ranges::equal(first, first_of(*candidate))) {
      return candidate;
    }
  }
  return nullptr;
}

std::span<const Token> PrefixMap::first_of(const Node& node) {
  return std::span(node.tokens).first(static_cast<size_t>(std::min(node.size(), kBlock)));
}

PrefixMap::Node* PrefixMap::add(Node* parent, std::span<const Token> tokens,
                                std::vector<Segment> slots) {
  check(size_of(slots) == static_cast<int64_t>(tokens.size()), "a node of ", tokens.size(),
        " tokens gets ", size_of(slots), " slots");
  auto node = std::make_unique<Node>();
  node->id = next_id_++;
  node->parent = parent;
  node->begin = parent->begin + parent->size();
  node->tokens.assign(tokens.begin(), tokens.end());
  node->slots = std::move(slots);
  node->last_use = ++clock_;
  unused_leaves_.erase({parent->last_use, parent});
  ++parent->children;
  Node* added = node.get();
  index(std::move(node));
  return added;
}

// Makes the first `at` tokens of a node its parent. The node stays what it was to its users and
// children; answers the new parent.
PrefixMap::Node* PrefixMap::cut(Node* node, int64_t at) {
  auto lower = unindex(node);
  auto upper = std::make_unique<Node>();
  upper->id = next_id_++;
  upper->parent = node->parent;
  upper->begin = node->begin;
  upper->tokens.assign(node->tokens.begin(), node->tokens.begin() + at);
  upper->slots = take_front(node->slots, at);
  upper->ready = std::min(node->ready, at);
  upper->users = node->users;
  upper->children = 1;
  upper->last_use = node->last_use;

  node->tokens.erase(node->tokens.begin(), node->tokens.begin() + at);
  node->parent = upper.get();
  node->begin += at;
  node->ready -= upper->ready;
  Node* parent = upper.get();
  index(std::move(upper));
  index(std::move(lower));
  return parent;
}

// Frees a leaf's slots behind its first `tokens`; all of them: the leaf goes.
void PrefixMap::truncate(Node* node, int64_t tokens) {
  check(node->children == 0, "a node with children is cut short");
  std::vector<Segment> rest = std::move(node->slots);
  node->slots = take_front(rest, tokens);
  for (const Segment& segment : rest) slots_.release(segment);
  if (tokens < node->size() && node->state != Snapshots::kNone) snapshots_.drop(node->state);
  (node->users > 0 ? used_ : unused_) -= node->size() - tokens;
  if (tokens > 0) {
    node->tokens.resize(static_cast<size_t>(tokens));
    node->ready = std::min(node->ready, tokens);
    node->wanted.clear();
    return;
  }
  unused_leaves_.erase({node->last_use, node});
  Node* parent = node->parent;
  --parent->children;
  unindex(node).reset();
  note_leaf(parent);
}

// A node that can be reclaimed is listed.
void PrefixMap::note_leaf(Node* node) {
  if (node != root_.get() && node->users == 0 && node->children == 0) {
    unused_leaves_.emplace(node->last_use, node);
  }
}

uint64_t PrefixMap::key(const Node* parent, std::span<const Token> first) const {
  uint64_t hash = parent->id;
  for (const Token token : first) {
    hash = mix_keys(hash, static_cast<uint64_t>(static_cast<uint32_t>(token)));
  }
  return hash & hash_mask_;
}

void PrefixMap::index(std::unique_ptr<Node> node) {
  if (node->is_short()) ++node->parent->short_children;
  const uint64_t at = key(node->parent, first_of(*node));
  children_.emplace(at, std::move(node));
}

std::unique_ptr<PrefixMap::Node> PrefixMap::unindex(const Node* node) {
  const auto [begin, end] = children_.equal_range(key(node->parent, first_of(*node)));
  const auto place =
      std::find_if(begin, end, [&](const auto& entry) { return entry.second.get() == node; });
  check(place != end, "a node of the prefix map is not indexed");
  if (node->is_short()) --node->parent->short_children;
  return std::move(children_.extract(place).mapped());
}

void PrefixMap::check_invariants() const {
  int64_t used = 0, unused = 0;
  std::unordered_map<const Node*, int64_t> children, short_children;
  size_t leaves = 0;
  int64_t states = 0;
  snapshots_.check_invariants();
  for (const auto& [hash, node] : children_) {
    const bool has_state = node->state != Snapshots::kNone;
    states += has_state ? 1 : 0;
    check(!has_state || (!node->promised() && snapshots_.holder_of(node->state) == &node->state),
          "a snapshot does not belong to its node");
    check(hash == key(node->parent, first_of(*node)), "a node stands under a wrong key");
    check(child_of(node->parent, first_of(*node)) == node.get(), "two children begin alike");
    check(node->size() > 0, "a node without tokens");
    check(size_of(node->slots) == node->size(), "a node's slots differ from its tokens");
    check(node->begin == node->parent->begin + node->parent->size(), "a node begins elsewhere");
    check(node->parent == root_.get() || node->users <= node->parent->users,
          "a node has more users than its parent");
    check(0 <= node->ready && node->ready <= node->size(), "more tokens ready than there are");
    check(!node->promised() || (node->users == 1 && node->children == 0),
          "a promised node is used by others");
    (node->users > 0 ? used : unused) += node->size();
    ++children[node->parent];
    if (node->is_short()) ++short_children[node->parent];
  }
  for (const auto& [hash, node] : children_) {
    check(node->children == children[node.get()] &&
              node->short_children == short_children[node.get()],
          "a node counts its children wrong");
    const bool leaf = node->users == 0 && node->children == 0;
    check(unused_leaves_.count({node->last_use, node.get()}) == (leaf ? 1U : 0U),
          "an unused leaf is not listed, or another node is");
    leaves += leaf ? 1 : 0;
  }
  check(states == snapshots_.kept(), "the map has ", states, " of ", snapshots_.kept(),
        " snapshots");
  check(leaves == unused_leaves_.size(), "the list of leaves holds strangers");
  check(used == used_ && unused == unused_, "used ", used_, " is ", used, ", unused ", unused_,
        " is ", unused);
}

}  // namespace spate
