// SentencePiece's byte-pair model (Llama 2, Mistral, Gemma), as GGUF files hold it: every piece has
// a score, and of all neighbours whose joined text is a piece, those with the highest score are
// joined first, the leftmost of equals (Kudo and Richardson, "SentencePiece", 2018). Characters
// that stay unknown become the tokens of their bytes, or one unknown token for a run of them.
//
// Spaces are ordinary here: the normalizer has made them U+2581 and put one in front. Where no
// piece has a U+2581 behind another character, as usual, nothing is ever joined across the front of
// a word, and words are encoded one by one.
#pragma once

#include <string_view>
#include <vector>

#include "base/token.h"
#include "text/pieces.h"
#include "text/trie.h"
#include "text/word_cache.h"

namespace spate {

class SpmModel {
 public:
  explicit SpmModel(const PieceVocabulary& vocabulary);

  // Appends the tokens of one piece of normalized text.
  void encode(std::string_view piece, std::vector<Token>& out) const;

 private:
  class Merger;

  Trie pieces_;        // what can be joined: normal, user-defined and unused pieces
  Trie user_defined_;  // always kept whole
  std::vector<float> scores_;
  std::vector<bool> unused_;
  std::optional<Token> unknown_;
  ByteTokens bytes_;
  bool by_word_ = true;
  mutable WordCache cache_;
};

}  // namespace spate
