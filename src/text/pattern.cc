#include "text/pattern.h"

#include <algorithm>

namespace spate {
namespace {

// Reads characters with their classes.
class Text {
 public:
  explicit Text(std::string_view bytes) : bytes_(bytes), classes_(&CharacterClasses::get()) {}

  size_t size() const { return bytes_.size(); }
  char operator[](size_t at) const { return bytes_[at]; }
  bool is(size_t at, char byte) const { return at < size() && bytes_[at] == byte; }
  bool is_newline(size_t at) const { return bytes_[at] == '\n' || bytes_[at] == '\r'; }
  CodePoint character(size_t at) const { return code_point_at(bytes_, at); }
  CharacterSet classes(char32_t value) const { return classes_->of(value); }
  CharacterSet classes_at(size_t at) const {
    return at < size() ? classes(character(at).value) : CharacterSet{0};
  }
  // The end of the run that begins at `at` of characters whose classes meet `set`.
  size_t skip(size_t at, CharacterSet set) const {
    while (at < size()) {
      const CodePoint c = character(at);
      if ((classes(c.value) & set) == 0) break;
      at += c.length;
    }
    return at;
  }
  // The same of characters whose classes do not meet `set`.
  size_t skip_others(size_t at, CharacterSet set) const {
    while (at < size()) {
      const CodePoint c = character(at);
      if ((classes(c.value) & set) != 0) break;
      at += c.length;
    }
    return at;
  }
  size_t skip_newlines(size_t at, bool slashes) const {
    while (at < size() && (is_newline(at) || (slashes && bytes_[at] == '/'))) ++at;
    return at;
  }

 private:
  std::string_view bytes_;
  const CharacterClasses* classes_;
};

// The end of a contraction at `at`, or `at`.
size_t skip_contraction(const Text& text, size_t at, WordRule::Contraction kind) {
  using Kind = WordRule::Contraction;
  if (kind == Kind::none || !text.is(at, '\'') || at + 1 >= text.size()) return at;
  const auto letter = [&](size_t i) -> char {
    if (at + i >= text.size()) return 0;
    const char c = text[at + i];
    return kind != Kind::lower_case && c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  };
  const char first = letter(1), second = letter(2);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
  if ((first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
      (first == 'l' && second == 'l')) {
    return at + 3;
  }
  // U+017F, the long s, is another case of s.
  if (kind == Kind::any_case && first == '\xC5' && second == '\xBF') return at + 3;
  return at;
}

// \s++$ | \s*[\r\n]+ | \s+(?!\S) | \s+ at a space character.
size_t spaces(const Text& text, size_t at, SpaceRule rule) {
  size_t end = at, last = at, after_newline = at;
  while (end < text.size()) {
    const CodePoint c = text.character(end);
    if ((text.classes(c.value) & kSpace) == 0) break;
    last = end;
    end += c.length;
    if (c.value == '\n' || c.value == '\r') after_newline = end;
  }
  if (rule.end_run && end == text.size()) return end;
  if (rule.newline_run && after_newline != at) return after_newline;
  if (end == text.size()) return end;
  return last == at ? end : last;  // the last one leads the word that follows
}

class WordPattern final : public Pattern {
 public:
  explicit WordPattern(const WordRule& rule) : rule_(rule) {
    if (rule_.cased) {
      const CharacterSet both = kModifier | kOtherLetter | kMark;
      upper_ = both | kUpper | kTitle;
      lower_ = both | kLower;
    }
  }

  Span find(std::string_view bytes, size_t from) const override {
    if (from >= bytes.size()) return {from, from};
    return {from, match(Text(bytes), from)};
  }

 private:
  size_t match(const Text& text, size_t at) const {
    const CodePoint c = text.character(at);
    const CharacterSet classes = text.classes(c.value);
    if (rule_.han_first && (classes & kHan) != 0) return text.skip(at, kHan);
    if (c.value == '\'') {
      const size_t end = skip_contraction(text, at, rule_.contraction_before);
      if (end != at) return end;
    }
    const size_t second = at + c.length;
    if (const size_t end = word(text, at, c, classes); end != at) return end;
    if (rule_.most_digits != 0) {
      if ((classes & kNumber) != 0) return digits(text, at);
    } else {
      const size_t begin = c.value == ' ' ? second : at;
      const size_t end = text.skip(begin, kNumber);
      if (end != begin) return end;
    }
    const CharacterSet not_symbols = kSpace | kNumber | rule_.not_symbols;
    const size_t begin = c.value == ' ' ? second : at;
    if (const size_t end = text.skip_others(begin, not_symbols); end != begin) {
      return rule_.tail == WordRule::Tail::none
                 ? end
                 : text.skip_newlines(end, rule_.tail == WordRule::Tail::newlines_and_slashes);
    }
    return spaces(text, at, rule_.spaces);
  }

  size_t digits(const Text& text, size_t at) const {
    for (int i = 0; i != rule_.most_digits && (text.classes_at(at) & kNumber) != 0; ++i) {
      at += text.character(at).length;
    }
    return at;
  }

  bool leads(CodePoint c, CharacterSet classes) const {
    if (!rule_.any_lead) return c.value == ' ';
    return (classes & (kLetter | kNumber)) == 0 && c.value != '\r' && c.value != '\n';
  }

  size_t word(const Text& text, size_t at, CodePoint c, CharacterSet classes) const {
    const size_t after_lead = at + c.length;
    if (rule_.cased) {
      const size_t end = cased_word(text, at, leads(c, classes) ? after_lead : at);
      return end == at ? at : skip_contraction(text, end, rule_.contraction_after);
    }
    if ((classes & rule_.word) != 0) return text.skip(after_lead, rule_.word);
    return leads(c, classes) ? std::max(at, word_after(text, at, after_lead)) : at;
  }

  // <lead>?<word>+ with the lead in [at, begin); `at` when no word follows.
  size_t word_after(const Text& text, size_t at, size_t begin) const {
    const size_t end = text.skip(begin, rule_.word);
    return end == begin ? at : end;
  }

  // <lead>?U*L+ | <lead>?U+L*, where caseless letters and marks are both U and L. A lead may itself
  // be a mark, so each alternative is also tried without it.
  size_t cased_word(const Text& text, size_t at, size_t after_lead) const {
    for (const size_t begin : {after_lead, at}) {
      if (const size_t end = lower_ending(text, begin); end != begin) return end;
    }
    for (const size_t begin : {after_lead, at}) {
      if (const size_t end = skip_cased(text, begin, upper_); end != begin) return end;
    }
    return at;
  }

  // U*L+ from `begin`, or `begin`. Where nothing but U follows, U* gives back what comes after its
  // last caseless character, which is then L+.
  size_t lower_ending(const Text& text, size_t begin) const {
    size_t end = begin, after_caseless = begin;
    while (end < text.size()) {
      const CodePoint c = text.character(end);
      const CharacterSet classes = text.classes(c.value);
      if (!in(classes, upper_)) break;
      end += c.length;
      if (in(classes, lower_)) after_caseless = end;
    }
    const size_t lower_end = skip_cased(text, end, lower_);
    return lower_end != end ? lower_end : after_caseless;
  }

  size_t skip_cased(const Text& text, size_t at, CharacterSet set) const {
    while (at < text.size()) {
      const CodePoint c = text.character(at);
      if (!in(text.classes(c.value), set)) break;
      at += c.length;
    }
    return at;
  }

  bool in(CharacterSet classes, CharacterSet set) const {
    return (classes & set) != 0 && !(rule_.han_first && (classes & kHan) != 0);
  }

  WordRule rule_;
  CharacterSet upper_ = 0, lower_ = 0;  // of cased words
};

class RunPattern final : public Pattern {
 public:
  explicit RunPattern(RunRule rule) : rule_(std::move(rule)) {}

  Span find(std::string_view bytes, size_t from) const override {
    const Text text(bytes);
    for (size_t at = from; at < text.size();) {
      const size_t end = match(text, at);
      if (end != at) return {at, end};
      at += text.character(at).length;
    }
    return {text.size(), text.size()};
  }

 private:
  size_t match(const Text& text, size_t at) const {
    size_t begin = at;
    const CodePoint c = text.character(at);
    if (rule_.space_before && (text.classes(c.value) & kSpace) != 0) begin += c.length;
    size_t end = begin, count = 0;
    for (; count < rule_.most && end < text.size(); ++count) {
      const CodePoint next = text.character(end);
      if (!in(text, next.value)) break;
      end += next.length;
    }
    return count >= rule_.least ? end : at;
  }

  bool in(const Text& text, char32_t value) const {
    if ((text.classes(value) & rule_.classes) != 0) return true;
    for (const auto& [first, last] : rule_.ranges) {
      if (value >= first && value <= last) return true;
    }
    return false;
  }

  RunRule rule_;
};

class LineEndSpaces final : public Pattern {
 public:
  Span find(std::string_view bytes, size_t from) const override {
    const Text text(bytes);
    for (size_t at = from; at < text.size();) {
      const size_t end = text.skip(at, kSpace);
      if (end == text.size()) return {at, end};
      const size_t newline = bytes.substr(at, end - at).rfind('\n');
      if (newline != std::string_view::npos && newline > 0) return {at, at + newline};
      at = text.skip_others(end, kSpace);
    }
    return {text.size(), text.size()};
  }
};

class LiteralPattern final : public Pattern {
 public:
  explicit LiteralPattern(std::string text) : text_(std::move(text)) {}

  Span find(std::string_view bytes, size_t from) const override {
    const size_t at = text_.empty() ? std::string_view::npos : bytes.find(text_, from);
    if (at == std::string_view::npos) return {bytes.size(), bytes.size()};
    return {at, at + text_.size()};
  }

 private:
  std::string text_;
};

// [!-/:-~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|
// \s+(?!\S)|\s+     where !-/:-~ stands for the 32 ASCII symbols
class DeepseekWords final : public Pattern {
 public:
  Span find(std::string_view bytes, size_t from) const override {
    const Text text(bytes);
    for (size_t at = from; at < text.size();) {
      if (const size_t end = match(text, at); end != at) return {at, end};
      at += text.character(at).length;
    }
    return {text.size(), text.size()};
  }

 private:
  static constexpr CharacterSet kWordSet = kLetter | kMark;
  static constexpr CharacterSet kMarks = kPunctuation | kSymbol;

  static bool is_ascii_letter(const Text& text, size_t at) {
    return at < text.size() && ((text[at] | 0x20) >= 'a' && (text[at] | 0x20) <= 'z');
  }

  static size_t match(const Text& text, size_t at) {
    const CodePoint c = text.character(at);
    const CharacterSet classes = text.classes(c.value);
    const size_t second = at + c.length;
    if (c.value < 0x80 && (classes & kMarks) != 0 && is_ascii_letter(text, second)) {
      size_t end = second;
      while (is_ascii_letter(text, end)) ++end;
      return end;
    }
    if ((classes & kWordSet) != 0) return text.skip(second, kWordSet);
    if ((classes & kMarks) == 0 && c.value != '\r' && c.value != '\n') {
      if (const size_t end = text.skip(second, kWordSet); end != second) return end;
    }
    const size_t begin = c.value == ' ' ? second : at;
    if (const size_t end = text.skip(begin, kMarks); end != begin) {
      return text.skip_newlines(end, false);
    }
    return (classes & kSpace) != 0 ? spaces(text, at, {.newline_run = true}) : at;
  }
};

}  // namespace

std::unique_ptr<Pattern> make_pattern(const WordRule& rule) {
  return std::make_unique<WordPattern>(rule);
}

std::unique_ptr<Pattern> make_pattern(RunRule rule) {
  return std::make_unique<RunPattern>(std::move(rule));
}

std::unique_ptr<Pattern> make_literal_pattern(std::string text) {
  return std::make_unique<LiteralPattern>(std::move(text));
}

std::unique_ptr<Pattern> make_line_end_spaces() { return std::make_unique<LineEndSpaces>(); }

std::unique_ptr<Pattern> make_deepseek_words() { return std::make_unique<DeepseekWords>(); }

}  // namespace spate
