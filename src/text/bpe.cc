#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <queue>

#include "base/check.h"
#include "text/characters.h"
#include "text/sentence_pieces.h"

namespace spate {
namespace {

constexpr uint32_t kNoRank = std::numeric_limits<uint32_t>::max();
constexpr size_t kLongestShort = 48;  // symbols; past it the heap is faster than searching

uint64_t pair_of(Token left, Token right) {
  return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
}

// Where the next word begins: at a space mark behind anything else.
size_t word_end(std::string_view text) {
  for (size_t at = 1; at < text.size(); ++at) {
    at = text.find(kSpaceMark, at);
    if (at == std::string_view::npos) break;
    if (!text.substr(0, at).ends_with(kSpaceMark)) return at;
  }
  return text.size();
}

}  // namespace

Bpe::Bpe(StringTable pieces, const std::vector<Merge>& merges, BpeRules rules)
    : pieces_(std::move(pieces)), rules_(std::move(rules)) {
  plain_symbols_ = rules_.continuing_prefix.empty() && rules_.end_suffix.empty();
  const size_t slots = std::bit_ceil(merges.size() * 2 + 2);
  slots_.assign(slots, Slot{0, {kNoRank, -1}});
  shift_ = 64 - std::countr_zero(slots);
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    add_merge(merges[rank], static_cast<uint32_t>(rank));
  }
  find_byte_tokens();
  cut_at_words_ = !rules_.byte_level && plain_symbols_ && keeps_words_apart(merges);
  spelled_ = std::make_unique<std::atomic<Spelled>[]>(pieces_.size());
}

void Bpe::add_merge(const Merge& merge, uint32_t rank) {
  const uint64_t pair = pair_of(merge.left, merge.right);
  size_t i = (pair * 0x9E3779B97F4A7C15) >> shift_;
  while (slots_[i].joint.rank != kNoRank && slots_[i].pair != pair) {
    i = (i + 1) & (slots_.size() - 1);
  }
  slots_[i] = {pair, {rank, merge.joined}};  // of a repeated pair the last one counts
}

Bpe::Joint Bpe::joint(Token left, Token right) const {
  const uint64_t pair = pair_of(left, right);
  for (size_t i = (pair * 0x9E3779B97F4A7C15) >> shift_;; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.joint.rank == kNoRank || slot.pair == pair) return slot.joint;
  }
}

void Bpe::find_byte_tokens() {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    single_[byte] = rules_.byte_level || byte < 0x80 ? pieces_.find({&text, 1}) : -1;
    const char name[] = {'<', '0', 'x', kDigits[byte >> 4], kDigits[byte & 15], '>'};
    fallback_[byte] = rules_.byte_fallback ? pieces_.find({name, sizeof name}) : -1;
  }
}

bool Bpe::keeps_words_apart(const std::vector<Merge>& merges) const {
  if (pieces_.find(kSpaceMark) < 0) return false;
  return std::all_of(merges.begin(), merges.end(), [&](const Merge& merge) {
    const std::string_view text = pieces_.text(merge.joined);
    return word_end(text) == text.size();
  });
}

void Bpe::encode(std::string_view piece, std::vector<Token>& out) const {
  if (piece.empty()) return;
  if (rules_.ignore_merges) {
    if (const Token whole = pieces_.find(piece); whole >= 0) {
      out.push_back(whole);
      return;
    }
  }
  while (cut_at_words_ && !piece.empty()) {
    const size_t end = word_end(piece);
    encode_word(piece.substr(0, end), out);
    piece.remove_prefix(end);
  }
  if (!piece.empty()) encode_word(piece, out);
}

void Bpe::encode_word(std::string_view word, std::vector<Token>& out) const {
  const Token whole = plain_symbols_ ? pieces_.find(word) : -1;
  if (whole >= 0 && spelled_[whole].load(std::memory_order_relaxed) == Spelled::by_merges) {
    out.push_back(whole);
    return;
  }
  if (cache_.find(word, out)) return;
  const size_t begin = out.size();
  merge_word(word, out);
  if (whole >= 0) {
    const bool alone = out.size() == begin + 1 && out.back() == whole;
    spelled_[whole].store(alone ? Spelled::by_merges : Spelled::otherwise,
                          std::memory_order_relaxed);
    if (alone) return;
  }
  cache_.put(word, out.data() + begin, out.size() - begin);
}

void Bpe::merge_word(std::string_view word, std::vector<Token>& out) const {
  const size_t begin = out.size();
  append_symbols(word, out);
  const size_t count = out.size() - begin;
  Token* symbols = out.data() + begin;
  out.resize(begin +
             (count <= kLongestShort ? merge_short(symbols, count) : merge_long(symbols, count)));
}

Token Bpe::symbol(std::string_view character, bool first, bool last) const {
  if (plain_symbols_) {
    return character.size() == 1 ? single_[static_cast<unsigned char>(character[0])]
                                 : pieces_.find(character);
  }
  return pieces_.find(
      cat(first ? "" : rules_.continuing_prefix, character, last ? rules_.end_suffix : ""));
}

void Bpe::append_symbols(std::string_view word, std::vector<Token>& out) const {
  bool unknown = false;  // the characters before are unknown, and their token is not yet out
  for (size_t at = 0; at < word.size();) {
    const size_t length = rules_.byte_level ? 1 : code_point_at(word, at).length;
    const std::string_view character = word.substr(at, length);
    const bool first = at == 0;
    at += length;
    if (const Token token = symbol(character, first, at == word.size()); token >= 0) {
      if (unknown) out.push_back(*rules_.unknown);
      unknown = false;
      out.push_back(token);
      continue;
    }
    const auto has_token = [&](char byte) {
      return fallback_[static_cast<unsigned char>(byte)] >= 0;
    };
    if (std::all_of(character.begin(), character.end(), has_token)) {
      for (const char byte : character) out.push_back(fallback_[static_cast<unsigned char>(byte)]);
    } else if (rules_.unknown) {
      if (unknown && !rules_.fuse_unknown) out.push_back(*rules_.unknown);
      unknown = true;
    }
  }
  if (unknown) out.push_back(*rules_.unknown);
}

size_t Bpe::merge_short(Token* symbols, size_t count) const {
  uint32_t ranks[kLongestShort];  // of symbol i and the next
  Token joined[kLongestShort];
  const auto look_up = [&](size_t i) {
    const Joint found = joint(symbols[i], symbols[i + 1]);
    ranks[i] = found.rank;
    joined[i] = found.joined;
  };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (ranks[i] < ranks[best]) best = i;
    }
    if (ranks[best] == kNoRank) break;
    symbols[best] = joined[best];
    std::copy(symbols + best + 2, symbols + count, symbols + best + 1);
    if (best + 2 < count) {
      std::copy(ranks + best + 2, ranks + count - 1, ranks + best + 1);
      std::copy(joined + best + 2, joined + count - 1, joined + best + 1);
    }
    --count;
    if (best + 1 < count) look_up(best);
    if (best > 0) look_up(best - 1);
  }
  return count;
}

// Symbols are a list linked through their places; a heap holds (rank, place) of the pairs. Entries
// whose pair has changed since are known by their rank.
size_t Bpe::merge_long(Token* symbols, size_t count) const {
  check(count < std::numeric_limits<uint32_t>::max(), "a word has fewer than 2^32 symbols");
  struct Place {
    uint32_t previous, next;
    Joint joint;
  };
  const auto end = static_cast<uint32_t>(count);
  std::vector<Place> places(count);
  std::vector<uint64_t> entries;
  const auto look_up = [&](uint32_t i) {
    Place& place = places[i];
    place.joint = place.next == end ? Joint{kNoRank, -1} : joint(symbols[i], symbols[place.next]);
    return place.joint.rank != kNoRank;
  };
  const auto entry_of = [&](uint32_t i) {
    return static_cast<uint64_t>(places[i].joint.rank) << 32 | i;
  };
  for (uint32_t i = 0; i < end; ++i) {
    places[i].previous = i - 1;  // 2^32 - 1 before the first
    places[i].next = i + 1;
  }
  for (uint32_t i = 0; i < end; ++i) {
    if (look_up(i)) entries.push_back(entry_of(i));
  }
  std::priority_queue<uint64_t, std::vector<uint64_t>, std::greater<>> heap({}, std::move(entries));
  while (!heap.empty()) {
    const auto rank = static_cast<uint32_t>(heap.top() >> 32);
    const auto at = static_cast<uint32_t>(heap.top());
    heap.pop();
    Place& place = places[at];
    if (place.joint.rank != rank) continue;
    symbols[at] = place.joint.joined;
    Place& right = places[place.next];
    right.joint.rank = kNoRank;
    place.next = right.next;
    if (place.next != end) places[place.next].previous = at;
    if (look_up(at)) heap.push(entry_of(at));
    if (at != 0 && look_up(place.previous)) heap.push(entry_of(place.previous));
  }
  size_t left = 0;
  for (uint32_t i = 0; i != end; i = places[i].next) symbols[left++] = symbols[i];
  return left;
}

}  // namespace spate
