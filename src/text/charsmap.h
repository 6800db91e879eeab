// The replacements that SentencePiece compiles into a model ("precompiled_charsmap"): a
// little-endian 32-bit size, a double-array trie of that many bytes in the layout of Darts-clone,
// and the replacements, each ended by a 0 byte. The value of a key is the offset of its
// replacement.
//
// The bytes come from outside: a lookup follows only what lies inside them and takes at most one
// step a byte of text.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace spate {

class Charsmap {
 public:
  struct Match {
    size_t length;  // bytes of text that the key has
    std::string_view replacement;
  };

  Charsmap() = default;  // replaces nothing
  // Empty bytes replace nothing. Throws Error("<where>: ...") when the sizes do not fit.
  Charsmap(std::string_view bytes, std::string_view where);

  // The shortest and the longest key that `text` begins with.
  std::optional<Match> shortest_prefix(std::string_view text) const;
  std::optional<Match> longest_prefix(std::string_view text) const;

 private:
  template <class Visit>
  void each_prefix(std::string_view text, const Visit& visit) const;

  std::vector<uint32_t> trie_;
  std::string replacements_;
};

}  // namespace spate
