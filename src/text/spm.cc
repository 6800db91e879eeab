#include "text/spm.h"

#include <algorithm>
#include <map>
#include <utility>

#include "text/sentence_pieces.h"
#include "text/utf8.h"

namespace spate {
namespace {

bool starts_with_space(std::string_view text) {
  return text.substr(0, kSpaceMark.size()) == kSpaceMark;
}

// The length of the first word: U+2581s in front, then anything up to the next one.
size_t word_length(std::string_view text) {
  size_t length = 0;
  while (starts_with_space(text.substr(length))) {
    length += kSpaceMark.size();
  }
  return std::min(text.find(kSpaceMark, length), text.size());
}

bool joinable(GgufTokenType type) {
  return type == GgufTokenType::normal || type == GgufTokenType::user_defined ||
         type == GgufTokenType::unused;
}

}  // namespace

// Encodes word after word. Symbols are what the word is made of at the moment: a list linked by
// indices, in the order of the text. A join waits in the heap until it is the best one, and is out
// of date when one of its symbols has been joined otherwise.
class SpmModel::Merger {
 public:
  Merger(const SpmModel& model, std::vector<Token>& out) : model_(model), out_(out) {}

  void encode(std::string_view word) {
    cut_into_characters(word);
    unused_cuts_.clear();
    for (size_t right = 1; right < symbols_.size(); ++right) {
      consider(static_cast<int32_t>(right) - 1, static_cast<int32_t>(right));
    }
    while (!heap_.empty()) {
      std::pop_heap(heap_.begin(), heap_.end());
      const Join best = heap_.back();
      heap_.pop_back();
      apply(best);
    }
    for (int32_t i = 0; i != kNone; i = symbols_[i].next) {
      emit(symbols_[i].text, model_.pieces_.value(symbols_[i].node));
    }
  }

 private:
  static constexpr int32_t kNone = -1;

  struct Symbol {
    std::string_view text;  // empty once joined to the symbol before
    Trie::Node node;        // of the text in pieces_
    int32_t previous, next;
    bool frozen;  // user-defined: never joined
  };
  struct Join {
    float score;
    int32_t left, right;
    size_t length;  // of the joined text
    Trie::Node node;
    // The top of the heap has the highest score and is the leftmost of equals.
    bool operator<(const Join& other) const {
      return score < other.score || (score == other.score && left > other.left);
    }
  };

  void cut_into_characters(std::string_view word) {
    symbols_.clear();
    for (size_t at = 0; at < word.size();) {
      const std::string_view rest = word.substr(at);
      const Trie::Match match = model_.user_defined_.longest_prefix(rest);
      const Character front = first_character(rest);
      const size_t length = match.length > 0                         ? match.length
                            : front.state == Character::State::whole ? front.length
                                                                     : 1;
      const auto index = static_cast<int32_t>(symbols_.size());
      const std::string_view text = rest.substr(0, length);
      at += length;
      symbols_.push_back({.text = text,
                          .node = model_.pieces_.walk(Trie::kRoot, text),
                          .previous = index - 1,
                          .next = at < word.size() ? index + 1 : kNone,
                          .frozen = match.length > 0});
    }
  }

  // Puts the join of two neighbours into the heap if it is a piece.
  void consider(int32_t left, int32_t right) {
    if (left == kNone || right == kNone || symbols_[left].frozen || symbols_[right].frozen) {
      return;
    }
    const Trie::Node node = model_.pieces_.walk(symbols_[left].node, symbols_[right].text);
    const int32_t token = model_.pieces_.value(node);
    if (token < 0) {
      return;
    }
    heap_.push_back({.score = model_.scores_[token],
                     .left = left,
                     .right = right,
                     .length = symbols_[left].text.size() + symbols_[right].text.size(),
                     .node = node});
    std::push_heap(heap_.begin(), heap_.end());
  }

  void apply(const Join& join) {
    Symbol& left = symbols_[join.left];
    Symbol& right = symbols_[join.right];
    if (left.text.empty() || right.text.empty() ||
        left.text.size() + right.text.size() != join.length) {
      return;
    }
    const std::string_view joined(left.text.data(), join.length);
    if (model_.unused_[model_.pieces_.value(join.node)]) {
      unused_cuts_[joined] = left.text.size();
    }
    left.text = joined;
    left.node = join.node;
    left.next = right.next;
    right.text = {};
    if (left.next != kNone) {
      symbols_[left.next].previous = join.left;
    }
    consider(left.previous, join.left);
    consider(join.left, left.next);
  }

  // Unused pieces only help to reach longer ones: where one remains, it comes apart again, and a
  // single character is unknown.
  void emit(std::string_view text, Token token) {
    if (token >= 0 && model_.unused_[token]) {
      if (const auto cut = unused_cuts_.find(text); cut != unused_cuts_.end()) {
        for (const std::string_view part :
             {text.substr(0, cut->second), text.substr(cut->second)}) {
          emit(part, model_.pieces_.find(part));
        }
        return;
      }
      token = -1;
    }
    if (token >= 0) {
      out_.push_back(token);
    } else if (model_.bytes_) {
      for (const char byte : text) {
        out_.push_back((*model_.bytes_)[static_cast<unsigned char>(byte)]);
      }
    } else if (!after_unknown_) {
      out_.push_back(*model_.unknown_);
    }
    after_unknown_ = token < 0;
  }

  const SpmModel& model_;
  std::vector<Token>& out_;
  std::vector<Symbol> symbols_;
  std::vector<Join> heap_;
  std::map<std::string_view, size_t> unused_cuts_;  // text of an unused piece -> length of its left
  bool after_unknown_ = false;
};

SpmModel::SpmModel(const PieceVocabulary& vocabulary)
    : scores_(vocabulary.scores.begin(), vocabulary.scores.end()),
      unused_(vocabulary.tokens.size()),
      unknown_(vocabulary.unknown),
      bytes_(check_pieces(vocabulary)) {
  std::vector<Trie::Entry> pieces, user_defined;
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const GgufTokenType type = vocabulary.type(i);
    const std::string_view text = vocabulary.tokens[i];
    if (!joinable(type)) {
      continue;
    }
    pieces.push_back({text, static_cast<Token>(i)});
    unused_[i] = type == GgufTokenType::unused;
    if (type == GgufTokenType::user_defined) {
      user_defined.push_back(pieces.back());
    }
    by_word_ = by_word_ && word_length(text) == text.size();
  }
  pieces_ = Trie(std::move(pieces));
  user_defined_ = Trie(std::move(user_defined));
}

void SpmModel::encode(std::string_view piece, std::vector<Token>& out) const {
  Merger merger(*this, out);
  // An unknown token may stand for characters of several words.
  const bool cached = by_word_ && bytes_;
  while (!piece.empty()) {
    const std::string_view word = piece.substr(0, by_word_ ? word_length(piece) : piece.size());
    piece.remove_prefix(word.size());
    if (cached && cache_.find(word, out)) {
      continue;
    }
    const size_t begin = out.size();
    merger.encode(word);
    if (cached) {
      cache_.put(word, out.data() + begin, out.size() - begin);
    }
  }
}

}  // namespace spate
