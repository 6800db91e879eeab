// What the SentencePiece models (spm.h, unigram.h) are made of: the pieces of a vocabulary, their
// scores and kinds, and the tokens of single bytes.
#pragma once

#include <array>
#include <optional>
#include <string_view>
#include <vector>

#include "base/token.h"
#include "text/vocabulary.h"

namespace spate {

struct PieceVocabulary {
  std::string_view name;                 // of the file; stands in error texts
  std::vector<std::string_view> tokens;  // must outlive only the construction of the model
  std::vector<double> scores;            // one a token
  std::vector<GgufTokenType> types;      // one a token, or empty: all normal
  std::optional<Token> unknown;          // stands for what no piece covers
  bool byte_fallback = false;            // the pieces "<0x00>" to "<0xFF>" stand for such bytes

  // The scores and types of GGUF metadata. Its byte pieces say whether there is byte fallback.
  static PieceVocabulary from(const GgufVocabulary& gguf);
  GgufTokenType type(size_t token) const {
    return types.empty() ? GgufTokenType::normal : types[token];
  }
};

// The tokens of single bytes; nothing where there is no byte fallback.
using ByteTokens = std::optional<std::array<Token, 256>>;

// Throws Error when the lengths differ, or when neither an unknown token nor byte pieces could
// stand for a character that is no piece.
ByteTokens check_pieces(const PieceVocabulary& vocabulary);

}  // namespace spate
