// The SentencePiece models by hand: ties, unknown characters, bytes, what is refused, long texts.
// That they equal other implementations is in vocab_golden_test.cc.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "text/spm.h"
#include "text/unigram.h"

namespace spate {
namespace {

using Tokens = std::vector<Token>;
using enum GgufTokenType;

struct Piece {
  std::string text;
  double score = 0;
  GgufTokenType type = normal;
};

// Keeps the texts that PieceVocabulary looks at.
struct Pieces {
  std::vector<Piece> list;

  PieceVocabulary vocabulary(bool typed = true) const {
    PieceVocabulary out{.name = "t"};
    for (const Piece& piece : list) {
      out.tokens.push_back(piece.text);
      out.scores.push_back(piece.score);
      if (typed) out.types.push_back(piece.type);
      if (piece.type == unknown) out.unknown = static_cast<Token>(out.tokens.size() - 1);
      out.byte_fallback = out.byte_fallback || piece.type == byte;
    }
    return out;
  }
};

// Token 0 is unknown.
Pieces with_unknown(std::vector<Piece> more) {
  Pieces out{{{"<unk>", 0, unknown}}};
  out.list.insert(out.list.end(), more.begin(), more.end());
  return out;
}

// Tokens 0 to 255 are the bytes.
Pieces with_bytes(std::vector<Piece> more) {
  Pieces out;
  for (int i = 0; i < 256; ++i) {
    char text[8];
    std::snprintf(text, sizeof text, "<0x%02X>", static_cast<unsigned>(i));
    out.list.push_back({text, 0, byte});
  }
  out.list.insert(out.list.end(), more.begin(), more.end());
  return out;
}

template <class Model>
Tokens encode(const Model& model, std::string_view text) {
  Tokens out{-7};  // encode appends
  model.encode(text, out);
  EXPECT_EQ(out.front(), -7);
  out.erase(out.begin());
  return out;
}

Tokens spm(const Pieces& pieces, std::string_view text) {
  return encode(SpmModel(pieces.vocabulary()), text);
}

Tokens unigram(const Pieces& pieces, std::string_view text) {
  return encode(UnigramModel(pieces.vocabulary()), text);
}

TEST(Spm, JoinsTheBestPairFirst) {
  const Pieces pieces =
      with_unknown({{"a", -9}, {"b", -9}, {"c", -9}, {"ab", -2}, {"bc", -1}, {"abc", -5}});
  EXPECT_EQ(spm(pieces, ""), Tokens{});
  EXPECT_EQ(spm(pieces, "ab"), Tokens{4});
  EXPECT_EQ(spm(pieces, "abc"), Tokens{6});  // bc, then a + bc
  EXPECT_EQ(spm(pieces, "abcab"), (Tokens{6, 4}));
}

TEST(Spm, OfEqualsTheLeftmostIsJoined) {
  const Pieces pieces = with_unknown({{"a", -9}, {"aa", -1}});
  EXPECT_EQ(spm(pieces, "aaaaa"), (Tokens{2, 2, 1}));
}

TEST(Spm, ARunOfUnknownCharactersIsOneToken) {
  const Pieces pieces = with_unknown({{"a", -1}, {"\u2581", -2}});
  EXPECT_EQ(spm(pieces, "xyaz"), (Tokens{0, 1, 0}));
  EXPECT_EQ(spm(pieces, "x\xFF\u00E9"), Tokens{0});
  EXPECT_EQ(spm(with_unknown({{"a", -1}}), "x\u2581y"), Tokens{0});  // across words too
}

TEST(Spm, UnknownCharactersBecomeBytes) {
  const Pieces pieces = with_bytes({{"a", -1}});
  EXPECT_EQ(spm(pieces, "a\u00E9"), (Tokens{256, 0xC3, 0xA9}));
  EXPECT_EQ(spm(pieces, "\xFF\xE2\x82"), (Tokens{0xFF, 0xE2, 0x82}));
  EXPECT_EQ(spm(pieces, std::string_view("\0", 1)), Tokens{0});
}

TEST(Spm, UnknownCharactersCanBePartOfPieces) {
  const Pieces pieces = with_bytes({{"xy", -1}});
  EXPECT_EQ(spm(pieces, "xyx"), (Tokens{256, 'x'}));
}

TEST(Spm, UserDefinedPiecesStayWhole) {
  const Pieces pieces = with_bytes({{"ab", -1}, {"bcd", -5, user_defined}, {"abcd", -1}});
  EXPECT_EQ(spm(pieces, "abcdab"), (Tokens{'a', 257, 256}));
}

TEST(Spm, OtherKindsOfPiecesAreNotJoined) {
  const Pieces pieces = with_bytes({{"ab", -1, control}, {"<0", -1}});
  EXPECT_EQ(spm(pieces, "ab"), (Tokens{'a', 'b'}));
  EXPECT_EQ(spm(pieces, "<0x41>"), (Tokens{257, 'x', '4', '1', '>'}));
}

TEST(Spm, UnusedPiecesComeApart) {
  const Pieces pieces = with_bytes({{"a", -9}, {"ab", -1, unused}, {"abc", -2}, {"b", -9}});
  EXPECT_EQ(spm(pieces, "abc"), Tokens{258});
  EXPECT_EQ(spm(pieces, "abx"), (Tokens{256, 259, 'x'}));
}

// Word by word must give what the whole text gives: a piece across words switches that off.
TEST(Spm, WordByWordEqualsTheWholeText) {
  std::vector<Piece> list = {{"\u2581", -3}, {"\u2581\u2581", -2}, {"a", -9},  {"b", -9},
                             {"ab", -1},     {"\u2581a", -1.5},    {"ba", -1}, {"\u2581ab", -1.2}};
  const SpmModel by_word(with_unknown(list).vocabulary());
  list.push_back({"z\u2581z", -100});  // never found in the texts
  const SpmModel whole(with_unknown(list).vocabulary());
  const std::string_view parts[] = {"\u2581", "a", "b", "x"};
  for (size_t code = 0; code < 1 << 14; ++code) {
    std::string text;
    for (int i = 0; i < 7; ++i) text += parts[code >> (2 * i) & 3];
    ASSERT_EQ(encode(by_word, text), encode(whole, text)) << text;
  }
}

// One word of a million characters, which joins pairs of pairs of pairs.
TEST(Spm, LongWordsAreNotQuadratic) {
  std::vector<Piece> list = {{"a", -20}};
  for (int length = 2; length <= 64; length *= 2) {
    list.push_back({std::string(length, 'a'), -1.0 * length});
  }
  const SpmModel model(with_unknown(list).vocabulary());
  EXPECT_EQ(encode(model, std::string(1 << 20, 'a')), Tokens(1 << 14, 7));
}

TEST(Unigram, TakesTheBestSum) {
  const Pieces pieces = with_unknown({{"a", -1}, {"b", -1}, {"ab", -3}, {"ba", -1.5}});
  EXPECT_EQ(unigram(pieces, ""), Tokens{});
  EXPECT_EQ(unigram(pieces, "ab"), (Tokens{1, 2}));
  EXPECT_EQ(unigram(pieces, "aba"), (Tokens{1, 4}));
}

TEST(Unigram, OfEqualsTheLongerLastPieceIsTaken) {
  const Pieces pieces = with_unknown({{"a", -1}, {"aa", -2}});
  EXPECT_EQ(unigram(pieces, "aaa"), (Tokens{1, 2}));
}

TEST(Unigram, UnknownCharacters) {
  const Pieces pieces = with_unknown({{"a", -1}, {"bc", -2}});
  EXPECT_EQ(unigram(pieces, "xyaz"), (Tokens{0, 1, 0}));
  EXPECT_EQ(unigram(pieces, "bx\xFF\u00E9"), Tokens{0});
  EXPECT_EQ(unigram(pieces, "bbc"), (Tokens{0, 2}));
  EXPECT_EQ(unigram(with_bytes({{"a", -1}}), "a\u00E9\xFF"), (Tokens{256, 0xC3, 0xA9, 0xFF}));
}

TEST(Unigram, UserDefinedPiecesWin) {
  const Pieces pieces =
      with_unknown({{"a", -0.1}, {"b", -0.1}, {"ab", -30, user_defined}, {"c", -3}});
  EXPECT_EQ(unigram(pieces, "cab"), (Tokens{4, 3}));
}

TEST(Unigram, WithoutTypesEveryPieceIsMatched) {
  const Pieces pieces = with_unknown({{"a", -1}, {"<s>", -1, control}});
  EXPECT_EQ(unigram(pieces, "<s>"), Tokens{0});
  EXPECT_EQ(encode(UnigramModel(pieces.vocabulary(false)), "<s>"), Tokens{2});
}

TEST(Unigram, ReadsScoresAsTokenizersDoes) {
  EXPECT_EQ(score_as_tokenizers_reads(0), 0);
  EXPECT_EQ(score_as_tokenizers_reads(-1.5), -1.5);
  EXPECT_EQ(score_as_tokenizers_reads(15), 15);
  EXPECT_EQ(score_as_tokenizers_reads(-1e-7), -1e-7);
  // 17 digits do not fit a double before they are divided.
  EXPECT_EQ(score_as_tokenizers_reads(-3.4635426998138428), -34635426998138428.0 / 1e16);
  const double infinity = std::numeric_limits<double>::infinity();
  EXPECT_EQ(score_as_tokenizers_reads(-infinity), -infinity);
}

std::string refusal(const PieceVocabulary& vocabulary) {
  try {
    SpmModel model(vocabulary);
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

TEST(Pieces, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refusal({.name = "t", .tokens = {"a"}}), "t: found 0 scores for 1 tokens");
  EXPECT_EQ(refusal({.name = "t", .tokens = {"a"}, .scores = {1}, .types = {normal, normal}}),
            "t: found 2 token types for 1 tokens");
  EXPECT_EQ(refusal({.name = "t", .tokens = {"a"}, .scores = {1}, .unknown = 1}),
            "t: the unknown token is 1, expected one of the 1 tokens");
  EXPECT_NE(refusal({.name = "t", .tokens = {"a"}, .scores = {1}}).find("has no unknown token"),
            std::string::npos);
  EXPECT_NE(refusal({.name = "t", .tokens = {"<0x00>"}, .scores = {1}, .byte_fallback = true})
                .find("not all of the pieces <0x00> to <0xFF>"),
            std::string::npos);
}

TEST(Pieces, OfGguf) {
  GgufVocabulary gguf{.name = "t", .tokens = {"<unk>", "a"}, .scores = {0, -1}, .types = {2, 1}};
  EXPECT_EQ(PieceVocabulary::from(gguf).unknown, 0);
  EXPECT_FALSE(PieceVocabulary::from(gguf).byte_fallback);
  gguf.unknown = 1;
  EXPECT_EQ(PieceVocabulary::from(gguf).unknown, 1);
  gguf.types = {6, 1};
  EXPECT_TRUE(PieceVocabulary::from(gguf).byte_fallback);
  gguf.types = {2, 9};
  EXPECT_THROW(PieceVocabulary::from(gguf), Error);
}

}  // namespace
}  // namespace spate
