// SentencePiece's unigram model (T5, XLM-R): every piece has a log probability, and a text is cut
// into the pieces whose sum is highest (Kudo, "Subword Regularization", 2018), found by one pass of
// Viterbi's algorithm over the places where a piece can end. A character that is no piece costs ten
// more than the worst piece; a run of such characters is one unknown token, or the tokens of its
// bytes. The tokens of short pieces are remembered.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/token.h"
#include "text/pieces.h"
#include "text/trie.h"
#include "text/word_cache.h"

namespace spate {

class UnigramModel {
 public:
  // Files with token types were made for SentencePiece, those without for `tokenizers`; the two
  // differ in which pieces are matched, in what user-defined ones are worth, and in rounding.
  explicit UnigramModel(const PieceVocabulary& vocabulary);

  // Appends the tokens of one piece of normalized text.
  void encode(std::string_view piece, std::vector<Token>& out) const;

 private:
  struct Cut;  // the best way to end a piece at one place

  void find_tokens(std::string_view piece, std::vector<Token>& out) const;
  std::vector<Cut> best_cuts(std::string_view text) const;
  // SentencePiece adds in single precision: where two cuts are equally good, that decides.
  double rounded(double score) const {
    return single_precision_ ? static_cast<float>(score) : score;
  }
  double score_of(Token token, size_t length) const;
  void emit_unknown(std::string_view text, std::vector<Token>& out) const;

  Trie pieces_;
  std::vector<double> scores_;
  std::vector<bool> user_defined_;
  std::optional<Token> unknown_;
  ByteTokens bytes_;
  double unknown_score_ = 0;
  bool single_precision_ = false;
  mutable WordCache cache_;
};

// `tokenizers` reads a number of JSON as its digits divided by a power of ten, which is not always
// the nearest double. Models that come from its files need the same score, since texts with two
// equally good cuts are common and the last bit decides between them.
double score_as_tokenizers_reads(double score);

}  // namespace spate
