// See unicode.h. ASCII, which is nearly all text, never reaches utf8proc.
#include "text/jinja/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstring>

#include "text/jinja/casing.h"

namespace spate::jinja {
namespace {

constexpr char32_t kStray = 0xDC00;  // a byte that is no UTF-8 reads as kStray + byte

utf8proc_category_t category(char32_t c) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(c));
}

bool is_between(char32_t c, char32_t first, char32_t last) { return first <= c && c <= last; }

char32_t lower_ascii(char32_t c) { return is_between(c, 'A', 'Z') ? c + 32 : c; }
char32_t upper_ascii(char32_t c) { return is_between(c, 'a', 'z') ? c - 32 : c; }

char32_t simple_lower(char32_t c) {
  return c < 0x80 ? lower_ascii(c)
                  : static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c)));
}

bool is_cased(char32_t c) { return is_lower(c) || is_upper(c) || is_title(c); }

bool is_case_ignorable(char32_t c) {
  switch (category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK: return true;
    default:
      return std::u32string_view(U"'.:\u00B7\u2018\u2019\u2024\u2027").find(c) !=
             std::u32string_view::npos;
  }
}

void append_upper(std::u32string& out, char32_t c) {
  if (c < 0x80) {
    out += upper_ascii(c);
  } else if (const LongCase* found = find_long_case(c)) {
    out += found->upper;
  } else {
    out += static_cast<char32_t>(utf8proc_toupper(static_cast<utf8proc_int32_t>(c)));
  }
}

void append_title(std::u32string& out, char32_t c) {
  if (c < 0x80) {
    out += upper_ascii(c);
  } else if (const LongCase* found = find_long_case(c)) {
    out += found->title;
  } else {
    out += static_cast<char32_t>(utf8proc_totitle(static_cast<utf8proc_int32_t>(c)));
  }
}

// A sigma at the end of a word has its own lower case.
bool ends_word(std::u32string_view text, size_t at) {
  size_t before = at;
  while (before > 0 && is_case_ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = at + 1;
  while (after < text.size() && is_case_ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

void append_lower(std::u32string& out, std::u32string_view text, size_t at) {
  const char32_t c = text[at];
  if (c == 0x3A3) {
    out += ends_word(text, at) ? U'\u03C2' : U'\u03C3';
  } else if (c == 0x130) {
    out += U"i\u0307";
  } else {
    out += simple_lower(c);
  }
}

}  // namespace

bool is_ascii(std::string_view text) {
  size_t i = 0;
  for (; i + 8 <= text.size(); i += 8) {
    uint64_t word = 0;
    std::memcpy(&word, text.data() + i, 8);
    if ((word & 0x8080808080808080ULL) != 0) return false;
  }
  for (; i < text.size(); ++i) {
    if (static_cast<unsigned char>(text[i]) >= 0x80) return false;
  }
  return true;
}

size_t count_code_points(std::string_view text) {
  if (is_ascii(text)) return text.size();
  size_t count = 0;
  for (size_t at = 0; at < text.size(); ++count) read_code_point(text, at);
  return count;
}

char32_t read_code_point(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) {
    ++at;
    return lead;
  }
  utf8proc_int32_t c = 0;
  const utf8proc_ssize_t length =
      utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()) + at,
                       static_cast<utf8proc_ssize_t>(text.size() - at), &c);
  if (length <= 0) {
    ++at;
    return kStray + lead;
  }
  at += static_cast<size_t>(length);
  return static_cast<char32_t>(c);
}

void append_code_point(std::string& out, char32_t c) {
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (is_between(c, kStray + 0x80, kStray + 0xFF)) {
    out += static_cast<char>(c - kStray);
  } else {
    if (c > 0x10FFFF || is_between(c, 0xD800, 0xDFFF)) c = 0xFFFD;
    utf8proc_uint8_t bytes[4];
    const utf8proc_ssize_t length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
    out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
  }
}

std::u32string decode(std::string_view text) {
  std::u32string result;
  result.reserve(text.size());
  for (size_t at = 0; at < text.size();) result += read_code_point(text, at);
  return result;
}

std::string encode(std::u32string_view text) {
  std::string result;
  result.reserve(text.size());
  for (const char32_t c : text) append_code_point(result, c);
  return result;
}

size_t byte_offset(std::string_view text, size_t index) {
  if (is_ascii(text)) return std::min(index, text.size());
  size_t at = 0;
  for (; index > 0 && at < text.size(); --index) read_code_point(text, at);
  return at;
}

bool is_space(char32_t c) {
  if (c < 0x80) return is_between(c, 9, 13) || is_between(c, 0x1C, 0x20);
  return c == 0x85 || c == 0xA0 || c == 0x1680 || is_between(c, 0x2000, 0x200A) || c == 0x2028 ||
         c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_alphabetic(char32_t c) {
  return is_between(category(c), UTF8PROC_CATEGORY_LU, UTF8PROC_CATEGORY_LO);
}

bool is_decimal(char32_t c) { return category(c) == UTF8PROC_CATEGORY_ND; }

bool is_digit(char32_t c) {
  return is_decimal(c) || c == 0xB2 || c == 0xB3 || c == 0xB9 || c == 0x2070 ||
         is_between(c, 0x2074, 0x2079) || is_between(c, 0x2080, 0x2089) ||
         is_between(c, 0x2460, 0x2468);
}

bool is_numeric(char32_t c) {
  return is_between(category(c), UTF8PROC_CATEGORY_ND, UTF8PROC_CATEGORY_NO);
}

bool is_lower(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LL || c == 0xAA || c == 0xBA; }

bool is_upper(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LU; }
bool is_title(char32_t c) { return category(c) == UTF8PROC_CATEGORY_LT; }

bool is_word(char32_t c) {
  if (c < 0x80) {
    return is_between(c, 'a', 'z') || is_between(c, 'A', 'Z') || is_between(c, '0', '9') ||
           c == '_';
  }
  return is_alphabetic(c) || is_numeric(c);
}

bool is_printable(char32_t c) {
  if (c < 0x7F) return c >= 0x20;
  switch (category(c)) {
    case UTF8PROC_CATEGORY_CN:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO: return false;
    default: return true;
  }
}

bool is_line_break(char32_t c) {
  return is_between(c, 10, 13) || is_between(c, 0x1C, 0x1E) || c == 0x85 || c == 0x2028 ||
         c == 0x2029;
}

std::string to_upper(std::string_view text) {
  std::string result(text);
  if (is_ascii(text)) {
    for (char& c : result) c = static_cast<char>(upper_ascii(static_cast<unsigned char>(c)));
    return result;
  }
  std::u32string upper;
  for (const char32_t c : decode(text)) append_upper(upper, c);
  return encode(upper);
}

std::string to_lower(std::string_view text) {
  std::string result(text);
  if (is_ascii(text)) {
    for (char& c : result) c = static_cast<char>(lower_ascii(static_cast<unsigned char>(c)));
    return result;
  }
  const std::u32string points = decode(text);
  std::u32string lower;
  for (size_t i = 0; i < points.size(); ++i) append_lower(lower, points, i);
  return encode(lower);
}

std::string to_title(std::string_view text) {
  const std::u32string points = decode(text);
  std::u32string result;
  bool inside = false;  // of a word
  for (size_t i = 0; i < points.size(); ++i) {
    if (inside) {
      append_lower(result, points, i);
    } else {
      append_title(result, points[i]);
    }
    inside = is_cased(points[i]);
  }
  return encode(result);
}

std::string to_capital(std::string_view text) {
  const std::u32string points = decode(text);
  std::u32string result;
  for (size_t i = 0; i < points.size(); ++i) {
    if (i == 0) {
      append_title(result, points[0]);
    } else {
      append_lower(result, points, i);
    }
  }
  return encode(result);
}

std::string to_swapped(std::string_view text) {
  const std::u32string points = decode(text);
  std::u32string result;
  for (size_t i = 0; i < points.size(); ++i) {
    if (is_upper(points[i])) {
      append_lower(result, points, i);
    } else if (is_lower(points[i])) {
      append_upper(result, points[i]);
    } else {
      result += points[i];
    }
  }
  return encode(result);
}

std::string to_folded(std::string_view text) {
  if (is_ascii(text)) return to_lower(text);
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const char32_t c = read_code_point(text, at);
    utf8proc_int32_t folded[8];
    int last_boundary = 0;
    const utf8proc_ssize_t count = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), folded,
                                                           8, UTF8PROC_CASEFOLD, &last_boundary);
    if (count <= 0 || count > 8) {
      append_code_point(result, c);
    } else {
      for (int i = 0; i < count; ++i) append_code_point(result, static_cast<char32_t>(folded[i]));
    }
  }
  return result;
}

namespace {

template <class Cut>
std::string_view strip_where(std::string_view text, Ends ends, const Cut& cut) {
  size_t first = 0;
  while (ends.left && first < text.size()) {
    size_t after = first;
    if (!cut(read_code_point(text, after))) break;
    first = after;
  }
  size_t last = text.size();
  while (ends.right && last > first) {
    size_t start = last - 1;  // back to the first byte of the last code point
    while (start > first && (static_cast<unsigned char>(text[start]) & 0xC0) == 0x80) --start;
    size_t after = start;
    char32_t c = read_code_point(text, after);
    if (after != last) {  // stray bytes: take one
      start = last - 1;
      c = kStray + static_cast<unsigned char>(text[start]);
    }
    if (!cut(c)) break;
    last = start;
  }
  return text.substr(first, last - first);
}

}  // namespace

std::string_view strip(std::string_view text, Ends ends) {
  return strip_where(text, ends, is_space);
}

std::string_view strip(std::string_view text, std::string_view characters, Ends ends) {
  const std::u32string cut = decode(characters);
  return strip_where(text, ends, [&](char32_t c) { return cut.find(c) != cut.npos; });
}

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends) {
  std::vector<std::string_view> lines;
  size_t start = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t end = at;
    const char32_t c = read_code_point(text, at);
    if (!is_line_break(c)) continue;
    if (c == '\r' && at < text.size() && text[at] == '\n') ++at;
    lines.push_back(text.substr(start, (keep_ends ? at : end) - start));
    start = at;
  }
  if (start < text.size()) lines.push_back(text.substr(start));
  return lines;
}

}  // namespace spate::jinja
