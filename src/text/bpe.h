// Byte-pair encoding by ranked merges (Sennrich, Haddow and Birch, 2016): a word begins as its
// bytes or characters, and of all neighbours that a merge joins, those of the lowest rank are
// joined first, the leftmost of equals. Byte-level vocabularies (GPT-2 and most since) and those of
// SentencePiece in the form of tokenizer.json (Llama 2) differ only in their first symbols.
//
// Most words are one token, so each is first looked up whole. Whether merges really lead to a
// token that spells the word is found out when it is first met, and remembered. Other words go
// through merging; results of short ones are kept in a word cache. Short words merge by search for
// the lowest rank in an array; long ones by a heap, O(n log n).
//
// Const after construction; many threads may encode at once.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/token.h"
#include "text/string_table.h"
#include "text/word_cache.h"

namespace spate {

struct Merge {
  Token left, right, joined;
};

struct BpeRules {
  bool byte_level = false;  // pieces and text are bytes; else UTF-8 characters
  bool ignore_merges =
      false;  // a word that is in the vocabulary is that token, whatever merges say
  bool byte_fallback =
      false;  // an unknown character becomes the tokens <0x00> to <0xFF> of its bytes
  bool fuse_unknown = false;  // neighbouring unknown characters are one unknown token
  std::optional<Token> unknown;
  std::string continuing_prefix;  // before every character of a word but the first: "##"
  std::string end_suffix;         // after the last: "</w>"
};

class Bpe {
 public:
  // `pieces` has the text that each token stands for; findable are those that words can become.
  // Merges come in the order of their ranks.
  Bpe(StringTable pieces, const std::vector<Merge>& merges, BpeRules rules);

  // Appends the tokens of one piece of text.
  void encode(std::string_view piece, std::vector<Token>& out) const;

  const StringTable& pieces() const { return pieces_; }

 private:
  // Of a pair of neighbours; joined is -1 where no merge joins them.
  struct Joint {
    uint32_t rank;
    Token joined;
  };
  struct Slot {
    uint64_t pair;
    Joint joint;
  };
  enum class Spelled : uint8_t { unseen, by_merges, otherwise };

  void add_merge(const Merge& merge, uint32_t rank);
  void find_byte_tokens();
  bool keeps_words_apart(const std::vector<Merge>& merges) const;
  Joint joint(Token left, Token right) const;

  void encode_word(std::string_view word, std::vector<Token>& out) const;
  void merge_word(std::string_view word, std::vector<Token>& out) const;
  void append_symbols(std::string_view word, std::vector<Token>& out) const;
  Token symbol(std::string_view character, bool first, bool last) const;
  size_t merge_short(Token* symbols, size_t count) const;
  size_t merge_long(Token* symbols, size_t count) const;

  StringTable pieces_;
  BpeRules rules_;
  std::vector<Slot> slots_;  // a power of two, at most half full
  int shift_ = 0;
  std::array<Token, 256> single_;  // the token of each byte (byte-level) or ASCII character, or -1
  std::array<Token, 256> fallback_;  // <0x00> to <0xFF>, or -1
  bool cut_at_words_ = false;  // no merge crosses the front of a word, so words merge one by one
  bool plain_symbols_ = true;  // no prefix or suffix: a token's text is the word's
  mutable std::unique_ptr<std::atomic<Spelled>[]> spelled_;  // one a token; filled as words are met
  mutable WordCache cache_;
};

}  // namespace spate
