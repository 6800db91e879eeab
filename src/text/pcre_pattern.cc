// Regular expressions that have no matcher by hand, by PCRE2. Tokenizer files are written for
// oniguruma with Ruby's syntax; what differs is translated:
//  - ^ and $ are the ends of lines: PCRE2's multi-line mode;
//  - \h is a hexadecimal digit;
//  - properties know characters that are newer than PCRE2's tables: those are added to \p{...};
//  - an interval followed by + repeats it; PCRE2 would take it as possessive;
//  - classes inside classes are their union. Intersections (&&) are refused.
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/check.h"
#include "text/pattern.h"
#include "text/utf8.h"

namespace spate {
namespace {

struct Property {
  std::string_view name;
  CharacterSet set;
};

constexpr Property kProperties[] = {
    {"L", kLetter},      {"Lu", kUpper},       {"Lt", kTitle}, {"Ll", kLower},
    {"Lm", kModifier},   {"Lo", kOtherLetter}, {"M", kMark},   {"N", kNumber},
    {"P", kPunctuation}, {"S", kSymbol},       {"Han", kHan},
};

// The recent characters of a set, as ranges inside a class.
std::string recent_ranges(CharacterSet set) {
  std::string out;
  char32_t end = 0;
  for (size_t i = 0; i < kCharacterRangeCount; ++i) {
    const CharacterRange& range = kCharacterRanges[i];
    if ((range.classes & kRecent) == 0 || (range.classes & set) == 0) continue;
    if (!out.empty() && range.begin == end) {
      out.resize(out.rfind('-'));  // goes on where the last range ended
    } else {
      append_utf8(out, range.begin);
    }
    out += '-';
    append_utf8(out, range.end - 1);
    end = range.end;
  }
  return out;
}

class Translator {
 public:
  Translator(std::string_view regex, std::string_view where) : regex_(regex), where_(where) {}

  std::string translate() {
    while (at_ < regex_.size()) {
      const std::string_view rest = regex_.substr(at_);
      if (rest[0] == '\\') {
        escape(rest);
      } else if (rest[0] == '[') {
        open_class(rest);
      } else if (classes_ == 0) {
        rest[0] == '{' ? interval(rest) : take(1);
      } else if (rest[0] == ']') {
        if (--classes_ == 0) {
          take(1);
        } else {
          ++at_;
        }
      } else if (rest.starts_with("&&")) {
        refuse("&&, an intersection of classes");
      } else {
        take(1);
      }
    }
    return std::move(out_);
  }

 private:
  void take(size_t count) {
    out_ += regex_.substr(at_, count);
    at_ += count;
  }

  [[noreturn]] void refuse(std::string_view found) const {
    fail(where_, ": offset ", at_, " of '", regex_, "': found ", found,
         ", which is not supported here");
  }

  void escape(std::string_view rest) {
    if (rest.starts_with("\\h")) {
      out_ += classes_ > 0 ? "0-9A-Fa-f" : "[0-9A-Fa-f]";
      at_ += 2;
      return;
    }
    const size_t close = rest.find('}');
    if (rest.starts_with("\\p{") && close != std::string_view::npos) {
      for (const Property& property : kProperties) {
        if (rest.substr(3, close - 3) != property.name) continue;
        if (classes_ == 0) out_ += '[';
        take(close + 1);
        out_ += recent_ranges(property.set);
        if (classes_ == 0) out_ += ']';
        return;
      }
    }
    take(std::min<size_t>(2, rest.size()));
  }

  // Classes inside classes are unions: their brackets go, unless they are named ones.
  void open_class(std::string_view rest) {
    if (classes_ > 0 && rest.starts_with("[:")) {
      const size_t close = rest.find(":]");
      take(close == std::string_view::npos ? 1 : close + 2);
      return;
    }
    if (classes_ > 0 && rest.starts_with("[^")) refuse("a negated class inside a class");
    if (classes_ > 0) {
      ++at_;
    } else {
      take(rest.starts_with("[^") ? 2 : 1);
    }
    ++classes_;
    if (at_ < regex_.size() && regex_[at_] == ']') take(1);  // first in a class, it is itself
  }

  // x{2,3}+ is (?:x{2,3})+, that is x{2,} when every count from 2 is a sum of such parts.
  void interval(std::string_view rest) {
    int least = 0, most = 0, length = 0;
    if (std::sscanf(std::string(rest.substr(0, 32)).c_str(), "{%4d,%4d}+%n", &least, &most,
                    &length) == 2 &&
        length > 0) {
      if (most < 2 * least - 1) refuse("a repeated interval");
      out_ += cat("{", least, ",}");
      at_ += static_cast<size_t>(length);
      return;
    }
    take(1);
  }

  std::string_view regex_, where_;
  size_t at_ = 0;
  int classes_ = 0;  // how many [ are open
  std::string out_;
};

class PcrePattern final : public Pattern {
 public:
  PcrePattern(std::string_view regex, std::string_view where) : where_(where) {
    const std::string translated = Translator(regex, where).translate();
    int error = 0;
    size_t offset = 0;
    code_.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()), translated.size(),
                              PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_MATCH_INVALID_UTF,
                              &error, &offset, nullptr));
    if (code_ == nullptr) {
      fail(where, ": the regular expression '", regex, "' cannot be compiled: ", text_of(error),
           " at offset ", offset);
    }
    pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);  // without it, matching is slower only
  }

  Span find(std::string_view text, size_t from) const override {
    const std::unique_ptr<pcre2_match_data, MatchDeleter> match(
        pcre2_match_data_create(1, nullptr));
    while (from < text.size()) {
      int result = run(text, from, 0, match.get());
      if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
        result = run(text, from, PCRE2_NO_JIT, match.get());
      }
      if (result == PCRE2_ERROR_NOMATCH) break;
      if (result < 0) fail(where_, ": matching failed: ", text_of(result));
      const size_t* ends = pcre2_get_ovector_pointer(match.get());
      if (ends[1] > ends[0]) return {ends[0], ends[1]};
      if (ends[0] >= text.size()) break;
      from = ends[0] + code_point_at(text, ends[0]).length;
    }
    return {text.size(), text.size()};
  }

 private:
  struct CodeDeleter {
    void operator()(pcre2_code* code) const { pcre2_code_free(code); }
  };
  struct MatchDeleter {
    void operator()(pcre2_match_data* match) const { pcre2_match_data_free(match); }
  };

  int run(std::string_view text, size_t from, uint32_t options, pcre2_match_data* match) const {
    return pcre2_match(code_.get(), reinterpret_cast<PCRE2_SPTR>(text.data()), text.size(), from,
                       options, match, nullptr);
  }

  static std::string text_of(int error) {
    char text[256] = {};
    pcre2_get_error_message(error, reinterpret_cast<PCRE2_UCHAR*>(text), sizeof text);
    return text;
  }

  std::string where_;
  std::unique_ptr<pcre2_code, CodeDeleter> code_;
};

}  // namespace

std::unique_ptr<Pattern> make_pcre_pattern(std::string_view regex, std::string_view where) {
  return std::make_unique<PcrePattern>(regex, where);
}

}  // namespace spate
