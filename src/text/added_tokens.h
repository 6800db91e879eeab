// Tokens that are cut out of a text before the model sees it: "<|im_start|>" and other strings that
// a vocabulary lists beside its model. The longest of those that begin leftmost counts.
//
// Some are looked for in the text as it is, others in the normalized text, against their own
// normalized form. Const after construction; any thread may search.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/token.h"
#include "text/normalizer.h"
#include "text/trie.h"

namespace spate {

struct AddedToken {
  Token token;
  std::string content;
  bool special = false;      // skipped by decoders; only in a text when it may have special tokens
  bool normalized = false;   // looked for in the normalized text
  bool single_word = false;  // only where no word character touches it
  bool strip_left = false;   // takes the spaces before it along
  bool strip_right = false;  // and those after it
};

// Finds tokens of one kind in a text.
class AddedTokens {
 public:
  AddedTokens() = default;
  // With a normalizer, the tokens are looked for in their normalized form.
  AddedTokens(std::vector<AddedToken> tokens, const Normalizer* normalizer);

  struct Found {
    size_t begin, end;  // bytes, with the spaces it takes along
    Token token;        // -1: none, and begin and end are the text's size
  };
  // The first token that begins at `from` or later. Spaces before `from` are never taken along.
  Found find(std::string_view text, size_t from, bool parse_special) const;
  bool empty() const { return tokens_.empty(); }

 private:
  bool stands_alone(std::string_view text, size_t begin, size_t end) const;

  std::vector<AddedToken> tokens_;
  Trie trie_;                                          // of indices into tokens_
  std::vector<bool> begins_ = std::vector<bool>(256);  // bytes that a token begins with
};

}  // namespace spate
