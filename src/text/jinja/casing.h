// Letters whose upper or title case is more than one code point, as "ß".
#pragma once

#include <string_view>

namespace spate::jinja {

struct LongCase {
  char32_t letter;
  std::u32string_view upper, title;
};

const LongCase* find_long_case(char32_t c);  // null for all other letters

}  // namespace spate::jinja
