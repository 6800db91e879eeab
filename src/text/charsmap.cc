#include "text/charsmap.h"

#include "base/check.h"

namespace spate {
namespace {

// A unit of the trie. Bit 31 marks the unit of a value, which hangs below its key's node.
struct Unit {
  uint32_t bits;

  bool has_value_below() const { return (bits >> 8 & 1) != 0; }
  uint32_t value() const { return bits & 0x7FFFFFFF; }
  uint32_t label() const { return bits & 0x800000FF; }  // never a byte for the unit of a value
  uint32_t offset() const { return bits >> 10 << (bits >> 6 & 8); }
};

uint32_t read_word(std::string_view bytes, size_t at) {
  uint32_t word = 0;
  for (size_t i = 0; i < 4; ++i) {
    word |= uint32_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  }
  return word;
}

}  // namespace

Charsmap::Charsmap(std::string_view bytes, std::string_view where) {
  if (bytes.empty()) {
    return;
  }
  if (bytes.size() < 4) {
    fail(where, ": found ", bytes.size(), " bytes of precompiled_charsmap, expected at least 4");
  }
  const uint32_t size = read_word(bytes, 0);
  if (size % 4 != 0 || size > bytes.size() - 4) {
    fail(where, ": precompiled_charsmap announces a trie of ", size,
         " bytes, expected a multiple of 4 and at most ", bytes.size() - 4);
  }
  trie_.reserve(size / 4);
  for (size_t at = 4; at < size + 4; at += 4) {
    trie_.push_back(read_word(bytes, at));
  }
  replacements_ = bytes.substr(4 + size);
}

// Calls visit(match) for each key, shortest first, until it returns false.
template <class Visit>
void Charsmap::each_prefix(std::string_view text, const Visit& visit) const {
  if (trie_.empty()) {
    return;
  }
  size_t at = Unit{trie_[0]}.offset();
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = static_cast<unsigned char>(text[i]);
    at ^= byte;
    if (byte == 0 || at >= trie_.size() || Unit{trie_[at]}.label() != byte) {
      return;
    }
    const Unit unit{trie_[at]};
    at ^= unit.offset();
    if (unit.has_value_below() && at < trie_.size()) {
      const uint32_t begin = Unit{trie_[at]}.value();
      if (begin < replacements_.size()) {
        const std::string_view rest = std::string_view(replacements_).substr(begin);
        if (!visit(Match{i + 1, rest.substr(0, rest.find('\0'))})) {
          return;
        }
      }
    }
  }
}

std::optional<Charsmap::Match> Charsmap::shortest_prefix(std::string_view text) const {
  std::optional<Match> found;
  each_prefix(text, [&](const Match& match) {
    found = match;
    return false;
  });
  return found;
}

std::optional<Charsmap::Match> Charsmap::longest_prefix(std::string_view text) const {
  std::optional<Match> found;
  each_prefix(text, [&](const Match& match) {
    found = match;
    return true;
  });
  return found;
}

}  // namespace spate
