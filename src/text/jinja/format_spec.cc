#include "text/jinja/format_spec.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

constexpr int64_t kMostDigits =
    1000;  // after the point: doubles have at most 1074, nobody reads them

bool is_align(char c) { return c == '<' || c == '>' || c == '=' || c == '^'; }

int64_t read_integer(std::string_view text, size_t& at, int64_t otherwise) {
  int64_t value = otherwise;
  const auto result = std::from_chars(text.data() + at, text.data() + text.size(), value);
  if (result.ec == std::errc::result_out_of_range) {
    raise("Too many decimal digits in format string");
  }
  at = static_cast<size_t>(result.ptr - text.data());
  return value;
}

std::string sign_of(const FormatSpec& spec, bool is_negative) {
  if (is_negative) return "-";
  return spec.sign == '-' ? "" : std::string(1, spec.sign);
}

// Separators between groups of three digits (four for hexadecimal and binary).
std::string group_digits(std::string_view digits, char separator, size_t size) {
  std::string out;
  for (size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % size == 0) out += separator;
    out += digits[i];
  }
  return out;
}

std::string group_number(const FormatSpec& spec, std::string_view digits) {
  if (spec.grouping == 0) return std::string(digits);
  const size_t end = std::min(digits.find_first_not_of("0123456789"), digits.size());
  return group_digits(digits.substr(0, end), spec.grouping, 3) + std::string(digits.substr(end));
}

std::string digits_of(double value, char type, int64_t precision, bool alternate) {
  const auto with = [&](std::chars_format format, int64_t digits) {
    std::string text(static_cast<size_t>(digits) + 400, '\0');
    const auto result = std::to_chars(text.data(), text.data() + text.size(), value, format,
                                      static_cast<int>(digits));
    text.resize(static_cast<size_t>(result.ptr - text.data()));
    return text;
  };
  std::string text;
  switch (type) {
    case 'e': text = with(std::chars_format::scientific, precision); break;
    case 'f': text = with(std::chars_format::fixed, precision); break;
    default: text = with(std::chars_format::general, std::max<int64_t>(precision, 1)); break;
  }
  if (alternate && text.find('.') == text.npos) {
    const size_t end = std::min(text.find('e'), text.size());
    text = cat(text.substr(0, end), ".", text.substr(end));
  }
  return text;
}

}  // namespace

FormatSpec parse_format_spec(std::string_view text, std::string_view type_name) {
  FormatSpec spec;
  size_t at = 0;
  if (!text.empty()) {
    size_t after = 0;
    const char32_t fill = read_code_point(text, after);
    if (after < text.size() && is_align(text[after])) {
      spec.fill = fill;
      spec.align = text[after];
      at = after + 1;
    } else if (is_align(text[0])) {
      spec.align = text[0];
      at = 1;
    }
  }
  const auto peek = [&] { return at < text.size() ? text[at] : '\0'; };
  if (peek() == '+' || peek() == '-' || peek() == ' ') spec.sign = text[at++];
  if (peek() == '#') {
    spec.alternate = true;
    ++at;
  }
  if (peek() == '0') {
    if (spec.align == 0) {
      spec.fill = '0';
      spec.align = '=';
    }
    ++at;
  }
  if ('0' <= peek() && peek() <= '9') spec.width = read_integer(text, at, 0);
  if (peek() == ',' || peek() == '_') spec.grouping = text[at++];
  if (peek() == '.') {
    ++at;
    if (peek() < '0' || peek() > '9') raise("Format specifier missing precision");
    spec.precision = read_integer(text, at, 0);
  }
  if (text.size() - at > 1) {
    raise("Invalid format specifier '", text, "' for object of type '", type_name, "'");
  }
  if (at < text.size()) spec.type = text[at];
  return spec;
}

std::string pad(const FormatSpec& spec, std::string_view prefix, std::string_view body,
                char default_align) {
  const auto used = static_cast<int64_t>(count_code_points(prefix) + count_code_points(body));
  const int64_t missing = std::max<int64_t>(0, spec.width - used);
  if (missing > static_cast<int64_t>(kMaxOutput)) {
    raise("the template writes a text of more than ", kMaxOutput >> 20, " MiB");
  }
  std::string fill;
  append_code_point(fill, spec.fill);
  const auto filled = [&](int64_t count) {
    std::string out;
    for (int64_t i = 0; i < count; ++i) append(out, fill);
    return out;
  };
  std::string out;
  switch (spec.align == 0 ? default_align : spec.align) {
    case '<': return cat(prefix, body, filled(missing));
    case '^': return cat(filled(missing / 2), prefix, body, filled(missing - missing / 2));
    case '=': return cat(prefix, filled(missing), body);
    default: return cat(filled(missing), prefix, body);
  }
}

std::string format_text(const FormatSpec& spec, std::string_view value) {
  if (spec.type != 0 && spec.type != 's') {
    raise("Unknown format code '", spec.type, "' for object of type 'str'");
  }
  if (spec.align == '=') raise("'=' alignment not allowed in string format specifier");
  if (spec.precision >= 0) {
    value = value.substr(0, byte_offset(value, static_cast<size_t>(spec.precision)));
  }
  return pad(spec, "", value, '<');
}

std::string format_integer(const FormatSpec& spec, int64_t value) {
  struct Base {
    char type;
    int base;
    std::string_view prefix;
  };
  constexpr Base kBases[] = {{0, 10, ""},    {'d', 10, ""},   {'n', 10, ""},  {'b', 2, "0b"},
                             {'o', 8, "0o"}, {'x', 16, "0x"}, {'X', 16, "0X"}};
  if (std::string_view("eEfFgG%").find(spec.type) != std::string_view::npos && spec.type != 0) {
    return format_number(spec, static_cast<double>(value));
  }
  if (spec.precision >= 0) raise("Precision not allowed in integer format specifier");
  if (spec.type == 'c') {
    std::string out;
    if (value < 0 || value > 0x10FFFF) raise("%c arg not in range(0x110000)");
    append_code_point(out, static_cast<char32_t>(value));
    return pad(spec, "", out, '<');
  }
  for (const Base& entry : kBases) {
    if (entry.type != spec.type) continue;
    char text[72];
    const uint64_t magnitude =
        value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
    const char* end = std::to_chars(text, text + sizeof text, magnitude, entry.base).ptr;
    std::string digits(static_cast<const char*>(text), end);
    if (spec.type == 'X') digits = to_upper(digits);
    if (spec.grouping != 0) {
      digits = group_digits(digits, spec.grouping, entry.base == 10 ? 3 : 4);
    }
    const std::string prefix =
        cat(sign_of(spec, value < 0), spec.alternate ? entry.prefix : std::string_view());
    return pad(spec, prefix, digits, '>');
  }
  raise("Unknown format code '", spec.type, "' for object of type 'int'");
}

std::string format_number(const FormatSpec& spec, double value) {
  if (spec.type != 0 && std::string_view("eEfFgGn%").find(spec.type) == std::string_view::npos) {
    raise("Unknown format code '", spec.type, "' for object of type 'float'");
  }
  const bool is_negative = std::signbit(value) && !std::isnan(value);
  const double magnitude = std::abs(value);
  const int64_t precision = std::min(spec.precision < 0 ? int64_t{6} : spec.precision, kMostDigits);
  std::string digits;
  if (!std::isfinite(value)) {
    digits = std::isnan(value) ? "nan" : "inf";
    if (spec.type == '%') digits += '%';
  } else if (spec.type == '%') {
    digits = digits_of(magnitude * 100, 'f', precision, spec.alternate) + "%";
  } else if (spec.type == 0 && spec.precision < 0) {
    digits = repr_number(magnitude);
  } else if (spec.type == 0) {  // like 'g', with a digit behind the point
    digits = digits_of(magnitude, 'g', precision, spec.alternate);
    if (digits.find_first_of(".e") == digits.npos) digits += ".0";
  } else {
    digits = digits_of(magnitude, static_cast<char>(spec.type | 0x20), precision, spec.alternate);
  }
  if (spec.type == 'E' || spec.type == 'G' || spec.type == 'F') digits = to_upper(digits);
  return pad(spec, sign_of(spec, is_negative), group_number(spec, digits), '>');
}

}  // namespace spate::jinja
