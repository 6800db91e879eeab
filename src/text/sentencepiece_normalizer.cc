// The two users of a compiled character map: the Precompiled node of tokenizer.json, as
// `tokenizers` reads it, and SentencePiece itself, as GGUF files describe it. They differ on
// purpose: the first looks at whole grapheme clusters, the second takes the longest key at each
// place.
#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "text/charsmap.h"
#include "text/normalizer_kinds.h"
#include "text/sentence_pieces.h"
#include "text/trie.h"
#include "text/utf8.h"

namespace spate {
namespace {

bool whole(const Character& character) { return character.state == Character::State::whole; }

class Precompiled final : public Normalizer {
 public:
  explicit Precompiled(Charsmap charsmap) : charsmap_(std::move(charsmap)) {}

  void apply(std::string_view in, std::string& out) const override {
    out.clear();
    out.reserve(in.size());
    while (!in.empty()) {
      const size_t length = cluster_length(in);
      append_cluster(in.substr(0, length), out);
      in.remove_prefix(length);
    }
  }

 private:
  static constexpr size_t kLongestCluster = 5;  // bytes of clusters that are looked up as a whole

  // Of the first extended grapheme cluster (UAX #29), or of bytes that are not UTF-8.
  static size_t cluster_length(std::string_view text) {
    Character before = first_character(text);
    size_t length = before.length;
    utf8proc_int32_t state = 0;
    while (whole(before) && length < text.size()) {
      const Character next = first_character(text.substr(length));
      // Two characters of ASCII belong together only in CR LF.
      if (!whole(next) || (before.code < 0x80 && next.code < 0x80 && next.code != '\n') ||
          utf8proc_grapheme_break_stateful(static_cast<int32_t>(before.code),
                                           static_cast<int32_t>(next.code), &state)) {
        break;
      }
      length += next.length;
      before = next;
    }
    return length;
  }

  // The shortest key that a cluster begins with stands for the whole cluster. That loses what
  // follows the key, but models were trained with it.
  void append_cluster(std::string_view cluster, std::string& out) const {
    if (cluster.size() <= kLongestCluster) {
      if (const auto match = charsmap_.shortest_prefix(cluster)) {
        out += match->replacement;
        return;
      }
    }
    while (!cluster.empty()) {
      const std::string_view character = cluster.substr(0, first_character(cluster).length);
      const auto match = charsmap_.shortest_prefix(character);
      out += match ? match->replacement : character;
      cluster.remove_prefix(character.size());
    }
  }

  Charsmap charsmap_;
};

class SentencePieceNormalizer final : public Normalizer {
 public:
  SentencePieceNormalizer(SentencePieceRules rules, std::string_view where)
      : rules_(std::move(rules)), charsmap_(rules_.charsmap, where) {
    std::vector<Trie::Entry> entries;
    for (const std::string& piece : rules_.user_defined) {
      entries.push_back({piece, 0});
    }
    user_defined_ = Trie(std::move(entries));
  }

  void apply(std::string_view in, std::string& out) const override {
    out.clear();
    if (rules_.remove_extra_spaces) {
      for (Step step; !in.empty() && (step = next(in)).text == " ";) {
        in.remove_prefix(step.length);
      }
    }
    if (in.empty()) {
      return;
    }
    const std::string_view space = rules_.escape_spaces ? kSpaceMark : std::string_view(" ");
    if (rules_.add_space_prefix) {
      out += space;
    }
    bool after_space = rules_.remove_extra_spaces;
    while (!in.empty()) {
      Step step = next(in);
      in.remove_prefix(step.length);
      if (after_space) {
        step.text.remove_prefix(std::min(step.text.find_first_not_of(' '), step.text.size()));
      }
      for (const char byte : step.text) {
        if (byte == ' ') {
          out += space;
        } else {
          out += byte;
        }
      }
      if (!step.text.empty()) {
        after_space = rules_.remove_extra_spaces && step.text.back() == ' ';
      }
    }
    while (rules_.remove_extra_spaces && std::string_view(out).ends_with(space)) {
      out.erase(out.size() - space.size());
    }
  }

 private:
  struct Step {
    size_t length;          // bytes read
    std::string_view text;  // what they become
  };

  Step next(std::string_view in) const {
    if (const Trie::Match match = user_defined_.longest_prefix(in); match.length > 0) {
      return {match.length, in.substr(0, match.length)};
    }
    if (const auto match = charsmap_.longest_prefix(in)) {
      return {match->length, match->replacement};
    }
    const size_t length = first_character(in).length;
    return {length, in.substr(0, length)};
  }

  SentencePieceRules rules_;
  Charsmap charsmap_;
  Trie user_defined_;
};

}  // namespace

std::unique_ptr<Normalizer> make_precompiled_normalizer(std::string_view charsmap,
                                                        std::string_view where) {
  return std::make_unique<Precompiled>(Charsmap(charsmap, where));
}

std::unique_ptr<Normalizer> make_sentencepiece_normalizer(SentencePieceRules rules,
                                                          std::string_view name) {
  return std::make_unique<SentencePieceNormalizer>(std::move(rules), name);
}

}  // namespace spate
