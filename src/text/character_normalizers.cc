#include "text/character_normalizers.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "text/normal_forms.h"
#include "text/utf8.h"

namespace spate {
namespace {

struct Range {
  char32_t first, last;
};

template <size_t N>
bool in_ranges(const Range (&ranges)[N], char32_t code) {
  return std::any_of(std::begin(ranges), std::end(ranges),
                     [&](const Range& range) { return range.first <= code && code <= range.last; });
}

// Calls map(code) for every character, which appends what it becomes.
template <class Map>
void map_characters(std::string_view text, std::string& out, const Map& map) {
  out.clear();
  out.reserve(text.size());
  while (!text.empty()) {
    const Character front = first_character(text);
    if (front.state == Character::State::whole) {
      map(front.code);
    } else {
      out += text.substr(0, front.length);
    }
    text.remove_prefix(front.length);
  }
}

utf8proc_category_t category(char32_t code) {
  return utf8proc_category(static_cast<utf8proc_int32_t>(code));
}

// Unicode's property White_Space.
bool is_space(char32_t code) {
  const utf8proc_category_t kind = category(code);
  return (code >= 9 && code <= 13) || code == 0x85 || kind == UTF8PROC_CATEGORY_ZS ||
         kind == UTF8PROC_CATEGORY_ZL || kind == UTF8PROC_CATEGORY_ZP;
}

bool is_bert_control(char32_t code) {
  const utf8proc_category_t kind = category(code);
  return code != '\t' && code != '\n' && code != '\r' &&
         (kind == UTF8PROC_CATEGORY_CC || kind == UTF8PROC_CATEGORY_CF ||
          kind == UTF8PROC_CATEGORY_CO);
}

// The ideographs of BERT's own list. It leaves out U+2B820 to U+2B91F, as `tokenizers` does.
constexpr Range kIdeographs[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                                 {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
                                 {0x2F800, 0x2FA1F}};

constexpr Range kNmtDropped[] = {{0x01, 0x08}, {0x0B, 0x0B}, {0x0E, 0x1F},
                                 {0x7F, 0x7F}, {0x8F, 0x8F}, {0x9F, 0x9F}};
constexpr Range kNmtSpaces[] = {{0x09, 0x0A},     {0x0C, 0x0D},     {0x1680, 0x1680},
                                {0x200B, 0x200F}, {0x2028, 0x2029}, {0x2581, 0x2581},
                                {0xFEFF, 0xFEFF}, {0xFFFD, 0xFFFD}};

void clean_text(std::string_view text, std::string& out) {
  map_characters(text, out, [&](char32_t code) {
    if (code != 0 && code != 0xFFFD && !is_bert_control(code)) {
      append_utf8(out, is_space(code) ? U' ' : code);
    }
  });
}

void put_spaces_around_ideographs(std::string_view text, std::string& out) {
  map_characters(text, out, [&](char32_t code) {
    const bool ideograph = in_ranges(kIdeographs, code);
    out += ideograph ? " " : "";
    append_utf8(out, code);
    out += ideograph ? " " : "";
  });
}

void strip_nonspacing_marks(std::string_view text, std::string& out) {
  map_characters(text, out, [&](char32_t code) {
    if (code < 0x300 || category(code) != UTF8PROC_CATEGORY_MN) {
      append_utf8(out, code);
    }
  });
}

}  // namespace

void to_lower_case(std::string_view text, std::string& out) {
  constexpr char32_t kCapitalIWithDot = 0x130;
  map_characters(text, out, [&](char32_t code) {
    if (code < 0x80) {
      out += static_cast<char>(code >= 'A' && code <= 'Z' ? code + ('a' - 'A') : code);
    } else if (code == kCapitalIWithDot) {
      out += "i\u0307";  // the one letter that becomes two characters
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<int32_t>(code))));
    }
  });
}

void strip_accents(std::string_view text, std::string& out) {
  map_characters(text, out, [&](char32_t code) {
    const utf8proc_category_t kind = code < 0x300 ? UTF8PROC_CATEGORY_CN : category(code);
    if (kind < UTF8PROC_CATEGORY_MN || kind > UTF8PROC_CATEGORY_ME) {
      append_utf8(out, code);
    }
  });
}

void strip_spaces(bool left, bool right, std::string_view text, std::string& out) {
  size_t begin = text.size(), end = 0;  // of what is not white space
  for (size_t at = 0; at < text.size();) {
    const Character here = first_character(text.substr(at));
    if (here.state != Character::State::whole || !is_space(here.code)) {
      begin = std::min(begin, at);
      end = at + here.length;
    }
    at += here.length;
  }
  if (end == 0 && (left || right)) {
    out.clear();
    return;
  }
  text = text.substr(0, right ? end : text.size());
  out = text.substr(left ? begin : 0);
}

void nmt_normalize(std::string_view text, std::string& out) {
  map_characters(text, out, [&](char32_t code) {
    if (!in_ranges(kNmtDropped, code)) {
      append_utf8(out, in_ranges(kNmtSpaces, code) ? U' ' : code);
    }
  });
}

void bert_normalize(const BertRules& rules, std::string_view text, std::string& out) {
  out = text;
  std::string before;
  const auto pass = [&](auto&& step) {
    std::swap(before, out);
    step(before, out);
  };
  if (rules.clean_text) {
    pass(clean_text);
  }
  const bool ascii = is_ascii(out);
  if (rules.handle_chinese_chars && !ascii) {
    pass(put_spaces_around_ideographs);
  }
  if (rules.strip_accents.value_or(rules.lower_case) && !ascii) {
    pass([](const std::string& from, std::string& to) {
      to_normal_form(NormalForm::nfd, from, to);
    });
    pass(strip_nonspacing_marks);
  }
  if (rules.lower_case) {
    pass(to_lower_case);
  }
}

}  // namespace spate
