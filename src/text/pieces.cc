#include "text/pieces.h"

#include <algorithm>

#include "base/check.h"
#include "text/sentence_pieces.h"

namespace spate {
namespace {

std::array<Token, 256> find_byte_pieces(const PieceVocabulary& vocabulary) {
  std::array<Token, 256> bytes;
  bytes.fill(-1);
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const int byte = byte_of_piece(vocabulary.tokens[i]);
    if (byte >= 0) {
      bytes[byte] = static_cast<Token>(i);
    }
  }
  return bytes;
}

}  // namespace

PieceVocabulary PieceVocabulary::from(const GgufVocabulary& gguf) {
  PieceVocabulary out{
      .name = gguf.name, .tokens = gguf.tokens, .scores = {gguf.scores.begin(), gguf.scores.end()}};
  for (const int64_t type : gguf.types) {
    if (type < 1 || type > 6) {
      fail(gguf.name, ": tokenizer.ggml.token_type: found ", type, ", expected 1 to 6");
    }
    out.types.push_back(static_cast<GgufTokenType>(type));
  }
  const auto index_of = [&](GgufTokenType type) {
    return std::find(out.types.begin(), out.types.end(), type) - out.types.begin();
  };
  const auto count = static_cast<int64_t>(out.tokens.size());
  const int64_t unknown = gguf.unknown.value_or(index_of(GgufTokenType::unknown));
  if (unknown >= 0 && unknown < count) {
    out.unknown = static_cast<Token>(unknown);
  }
  out.byte_fallback = index_of(GgufTokenType::byte) < static_cast<int64_t>(out.types.size());
  return out;
}

ByteTokens check_pieces(const PieceVocabulary& vocabulary) {
  const size_t count = vocabulary.tokens.size();
  if (vocabulary.scores.size() != count) {
    fail(vocabulary.name, ": found ", vocabulary.scores.size(), " scores for ", count, " tokens");
  }
  if (!vocabulary.types.empty() && vocabulary.types.size() != count) {
    fail(vocabulary.name, ": found ", vocabulary.types.size(), " token types for ", count,
         " tokens");
  }
  if (vocabulary.unknown &&
      (*vocabulary.unknown < 0 || static_cast<size_t>(*vocabulary.unknown) >= count)) {
    fail(vocabulary.name, ": the unknown token is ", *vocabulary.unknown, ", expected one of the ",
         count, " tokens");
  }
  if (vocabulary.byte_fallback) {
    const std::array<Token, 256> bytes = find_byte_pieces(vocabulary);
    if (*std::min_element(bytes.begin(), bytes.end()) >= 0) {
      return bytes;
    }
  }
  if (!vocabulary.unknown) {
    fail(vocabulary.name,
         ": the vocabulary has no unknown token and not all of the pieces <0x00> "
         "to <0xFF>; one of the two must stand for unknown characters");
  }
  return std::nullopt;
}

}  // namespace spate
