// A format specification, "[[fill]align][sign][#][0][width][,][.precision][type]", and how numbers
// and texts look under it; shared by % and str.format.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

struct FormatSpec {
  char32_t fill = ' ';
  char align = 0;   // one of <>=^, or 0: by the kind of value
  char sign = '-';  // one of +- and space
  bool alternate = false;
  char grouping = 0;  // one of ,_ or 0
  int64_t width = 0;
  int64_t precision = -1;
  char type = 0;
};

FormatSpec parse_format_spec(std::string_view text, std::string_view type_name);

// Pads to the width; `prefix` is what stays in front of zeros: sign and 0x.
std::string pad(const FormatSpec& spec, std::string_view prefix, std::string_view body,
                char default_align);

std::string format_integer(const FormatSpec& spec, int64_t value);
std::string format_number(const FormatSpec& spec, double value);
std::string format_text(const FormatSpec& spec, std::string_view value);

}  // namespace spate::jinja
