// Characters of UTF-8 text and the Unicode classes that pre-tokenizers ask for. The classes come
// from character_ranges.cc, which tools/make_unicode_classes.py writes; one table of 16-bit sets
// answers all of them with one load.
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <string_view>
#include <vector>

namespace spate {

// Sets of classes; the bit order is that of the script.
using CharacterSet = uint16_t;
constexpr CharacterSet kUpper = 1 << 0;             // \p{Lu}
constexpr CharacterSet kTitle = 1 << 1;             // \p{Lt}
constexpr CharacterSet kLower = 1 << 2;             // \p{Ll}
constexpr CharacterSet kModifier = 1 << 3;          // \p{Lm}
constexpr CharacterSet kOtherLetter = 1 << 4;       // \p{Lo}
constexpr CharacterSet kMark = 1 << 5;              // \p{M}
constexpr CharacterSet kNumber = 1 << 6;            // \p{N}
constexpr CharacterSet kPunctuation = 1 << 7;       // \p{P}
constexpr CharacterSet kSymbol = 1 << 8;            // \p{S}
constexpr CharacterSet kSpace = 1 << 9;             // \s
constexpr CharacterSet kHan = 1 << 10;              // \p{Han}
constexpr CharacterSet kWord = 1 << 11;             // \w of the Whitespace pre-tokenizer
constexpr CharacterSet kNumeric = 1 << 12;          // what the Digits pre-tokenizer cuts
constexpr CharacterSet kBertPunctuation = 1 << 13;  // what the Punctuation pre-tokenizer cuts
constexpr CharacterSet kRecent = 1 << 14;  // newer than Unicode 14, which PCRE2 10.42 knows
constexpr CharacterSet kLetter = kUpper | kTitle | kLower | kModifier | kOtherLetter;  // \p{L}

struct CharacterRange {
  char32_t begin, end;
  CharacterSet classes;
};
extern const CharacterRange kCharacterRanges[];
extern const size_t kCharacterRangeCount;

struct CodePoint {
  char32_t value;
  uint32_t length;  // bytes
};

// The character at `at`; a byte that starts no valid one counts as U+FFFD of length 1.
inline CodePoint code_point_at(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  constexpr CodePoint kInvalid = {0xFFFD, 1};
  const size_t left = text.size() - at;
  const auto follows = [&](size_t i) { return i < left && (byte(i) & 0xC0) == 0x80; };
  if (lead < 0xC2 || lead > 0xF4 || !follows(1)) return kInvalid;
  if (lead < 0xE0) return {static_cast<char32_t>((lead & 0x1F) << 6 | (byte(1) & 0x3F)), 2};
  if (!follows(2)) return kInvalid;
  if (lead < 0xF0) {
    const char32_t value = (lead & 0x0F) << 12 | (byte(1) & 0x3F) << 6 | (byte(2) & 0x3F);
    if (value < 0x800 || (value >= 0xD800 && value < 0xE000)) return kInvalid;
    return {value, 3};
  }
  if (!follows(3)) return kInvalid;
  const char32_t value =
      (lead & 0x07) << 18 | (byte(1) & 0x3F) << 12 | (byte(2) & 0x3F) << 6 | (byte(3) & 0x3F);
  if (value < 0x10000 || value > 0x10FFFF) return kInvalid;
  return {value, 4};
}

// The classes of every code point. One object serves the process; it is made on first use.
class CharacterClasses {
 public:
  static const CharacterClasses& get();
  CharacterSet of(char32_t value) const { return sets_[value]; }

 private:
  CharacterClasses();
  std::vector<CharacterSet> sets_;
};

}  // namespace spate
