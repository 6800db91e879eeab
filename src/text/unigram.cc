#include "text/unigram.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <utility>

#include "text/utf8.h"

namespace spate {
namespace {

constexpr double kUnknownPenalty = 10;
constexpr double kUserDefinedBonus = 0.1;  // a byte but the first; scores are never above 0

bool matched(GgufTokenType type) {
  return type == GgufTokenType::normal || type == GgufTokenType::user_defined;
}

}  // namespace

struct UnigramModel::Cut {
  double score = 0;    // of the text up to here
  int32_t begin = -1;  // of the piece that ends here; -1: nothing does
  Token token = -1;    // of that piece; -1: unknown
};

UnigramModel::UnigramModel(const PieceVocabulary& vocabulary)
    : scores_(vocabulary.scores),
      user_defined_(vocabulary.tokens.size()),
      unknown_(vocabulary.unknown),
      bytes_(check_pieces(vocabulary)),
      single_precision_(!vocabulary.types.empty()) {
  std::vector<Trie::Entry> pieces;
  double lowest = std::numeric_limits<double>::max();
  for (size_t i = 0; i < vocabulary.tokens.size(); ++i) {
    const GgufTokenType type = vocabulary.type(i);
    if (matched(type)) {
      pieces.push_back({vocabulary.tokens[i], static_cast<Token>(i)});
    }
    if (type == GgufTokenType::normal) {
      lowest = std::min(lowest, scores_[i]);
    }
    user_defined_[i] = type == GgufTokenType::user_defined;
  }
  unknown_score_ = rounded(lowest - kUnknownPenalty);
  pieces_ = Trie(std::move(pieces));
}

double UnigramModel::score_of(Token token, size_t length) const {
  return user_defined_[token] ? kUserDefinedBonus * (static_cast<double>(length) - 1)
                              : scores_[token];
}

void UnigramModel::emit_unknown(std::string_view text, std::vector<Token>& out) const {
  if (const int32_t token = pieces_.find(text); token >= 0) {
    out.push_back(token);
  } else if (bytes_) {
    for (const char byte : text) {
      out.push_back((*bytes_)[static_cast<unsigned char>(byte)]);
    }
  } else {
    out.push_back(*unknown_);
  }
}

void UnigramModel::encode(std::string_view piece, std::vector<Token>& out) const {
  if (cache_.find(piece, out)) {
    return;
  }
  const size_t begin = out.size();
  find_tokens(piece, out);
  cache_.put(piece, out.data() + begin, out.size() - begin);
}

void UnigramModel::find_tokens(std::string_view piece, std::vector<Token>& out) const {
  const std::vector<Cut> cuts = best_cuts(piece);
  std::vector<Cut> path;  // last piece first; `begin` of each is the end of the next
  for (size_t end = piece.size(); end > 0; end = path.back().begin) {
    path.push_back(cuts[end]);
  }
  size_t unknown_begin = 0;
  bool in_unknown = false;
  for (size_t i = path.size(); i-- > 0;) {
    const size_t begin = path[i].begin;
    const bool is_unknown = path[i].token < 0 || path[i].token == unknown_;
    if (is_unknown && !in_unknown) {
      unknown_begin = begin;
    }
    if (!is_unknown) {
      if (in_unknown) {
        emit_unknown(piece.substr(unknown_begin, begin - unknown_begin), out);
      }
      out.push_back(path[i].token);
    }
    in_unknown = is_unknown;
  }
  if (in_unknown) {
    emit_unknown(piece.substr(unknown_begin), out);
  }
}

// For each place of the text, how a piece ends there at the best score.
std::vector<UnigramModel::Cut> UnigramModel::best_cuts(std::string_view text) const {
  std::vector<Cut> cuts(text.size() + 1);
  for (size_t begin = 0; begin < text.size();) {
    const std::string_view rest = text.substr(begin);
    const Character front = first_character(rest);
    const size_t character = front.state == Character::State::whole ? front.length : 1;
    const double before = cuts[begin].score;
    const auto offer = [&](size_t length, double score, Token token) {
      score = rounded(score);
      Cut& cut = cuts[begin + length];
      if (cut.begin < 0 || score > cut.score) {
        cut = {.score = score, .begin = static_cast<int32_t>(begin), .token = token};
      }
    };
    bool covered = false;  // the first character by itself is a piece
    pieces_.each_prefix(rest, [&](size_t length, Token token) {
      offer(length, score_of(token, length) + before, token);
      covered = covered || length == character;
    });
    if (!covered) {
      offer(character, unknown_score_ + before, -1);
    }
    begin += character;
  }
  return cuts;
}

double score_as_tokenizers_reads(double score) {
  // The shortest digits that give `score`, which are what programs write: "-1.2345e-02".
  std::array<char, 32> text;
  const auto written =
      std::to_chars(text.data(), text.data() + text.size(), score, std::chars_format::scientific);
  const std::string_view number(text.data(), written.ptr - text.data());
  const size_t mark = number.find('e');
  if (mark == std::string_view::npos) {
    return score;  // not a finite number
  }
  uint64_t digits = 0;
  int exponent = std::atoi(std::string(number.substr(mark + 1)).c_str());
  bool after_point = false;
  for (const char c : number.substr(0, mark)) {
    if (c >= '0' && c <= '9') {
      digits = digits * 10 + (c - '0');
      exponent -= after_point ? 1 : 0;
    }
    after_point = after_point || c == '.';
  }
  const double power = std::pow(10.0, std::abs(exponent));
  const double size = exponent < 0 ? digits / power : digits * power;
  return std::copysign(size, score);
}

}  // namespace spate
