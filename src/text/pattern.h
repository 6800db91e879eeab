// What a splitter looks for in a text: the regular expressions of tokenizer files, by hand where
// speed matters and by PCRE2 otherwise.
//
//  - WordRule is the family that GPT-2 began and nearly every byte-level vocabulary follows: words
//    with what may lead them, numbers, runs of symbols, runs of spaces. One matcher with options
//    reads them all.
//  - RunRule is a run of characters of one set.
//
// Patterns are const and may be used by many threads at once. All matchers but PCRE2's take time
// linear in the text. Invalid UTF-8 counts as U+FFFD, byte by byte.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/characters.h"

namespace spate {

struct Span {
  size_t begin, end;  // bytes; an empty span means: no match
  bool empty() const { return begin == end; }
};

class Pattern {
 public:
  virtual ~Pattern() = default;
  // The leftmost match that begins at `from` or later and is not empty, or an empty span.
  virtual Span find(std::string_view text, size_t from) const = 0;
};

struct SpaceRule {
  bool end_run = false;      // \s++$
  bool newline_run = false;  // \s*[\r\n]+, or \s*[\r\n], which is the same here
};                           // last: \s+(?!\S)|\s+

// The alternatives in order; every character is in some match.
struct WordRule {
  enum class Contraction { none, lower_case, any_case, ascii_any_case };
  enum class Tail { none, newlines, newlines_and_slashes };

  bool han_first = false;  // [\p{Han}]+ before all else, and no word has them
  Contraction contraction_before = Contraction::none;  // 's|'t|'re|'ve|'m|'ll|'d
  bool any_lead = false;        // [^\r\n\p{L}\p{N}]? before a word, else " ?"
  CharacterSet word = kLetter;  // what words are made of
  bool cased = false;           // upper case, then lower case, as o200k cuts camel case
  Contraction contraction_after = Contraction::none;
  static constexpr int kAnyDigits = -1;
  int most_digits = 0;                 // \p{N}{1,n}, or \p{N}+; 0: " ?\p{N}+"
  CharacterSet not_symbols = kLetter;  // besides \s and \p{N}: " ?[^\s\p{N}...]+"
  Tail tail = Tail::none;              // newlines that a run of symbols takes along
  SpaceRule spaces;
};

// \s?<set>{least,most}
struct RunRule {
  CharacterSet classes = 0;
  std::vector<std::pair<char32_t, char32_t>> ranges;  // first and last, besides the classes
  bool space_before = false;                          // \s? before the run
  size_t least = 1, most = SIZE_MAX;                  // characters
};

std::unique_ptr<Pattern> make_pattern(const WordRule& rule);
std::unique_ptr<Pattern> make_pattern(RunRule rule);
std::unique_ptr<Pattern> make_literal_pattern(std::string text);

// The pattern of GPT-2, which ByteLevel pre-tokenizers bring along.
std::unique_ptr<Pattern> make_gpt2_pattern();

// The words of DeepSeek-V3, which know punctuation from symbols and leave numbers and controls out.
std::unique_ptr<Pattern> make_deepseek_words();

// \s+$, where $ is also before a newline.
std::unique_ptr<Pattern> make_line_end_spaces();

// Any regular expression in the syntax that `tokenizers` takes: by hand when it is a known one,
// else compiled by PCRE2. Throws Error("<where>: ...").
std::unique_ptr<Pattern> make_regex_pattern(std::string_view regex, std::string_view where);

std::vector<std::string_view> regexes_matched_by_hand();

// The PCRE2 form alone.
std::unique_ptr<Pattern> make_pcre_pattern(std::string_view regex, std::string_view where);

}  // namespace spate
