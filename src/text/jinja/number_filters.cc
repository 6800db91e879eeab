// Filters that read, round and show numbers.
#include <charconv>
#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/calls.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

// Drops whitespace around digits and single underscores between them, as Python's int() and float()
// do; false when the text has other underscores.
bool plain_digits(std::string_view text, std::string& out) {
  text = strip(text, Ends{});
  const auto is_digit = [](char c) {
    return ('0' <= c && c <= '9') || ('a' <= (c | 0x20) && (c | 0x20) <= 'z');
  };
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '_') {
      out += text[i];
    } else if (i == 0 || i + 1 == text.size() || !is_digit(text[i - 1]) || !is_digit(text[i + 1])) {
      return false;
    }
  }
  return true;
}

bool read_float(std::string_view text, double& value) {
  std::string digits;
  if (!plain_digits(text, digits) || digits.empty()) return false;
  const char* start = digits.data();
  const char* end = start + digits.size();
  if (*start == '+') ++start;
  if (start == end || (start != digits.data() && *start == '-')) return false;
  const auto result = std::from_chars(start, end, value);
  if (result.ec == std::errc::result_out_of_range) {
    // Too large or too small for a double: Python gives infinity or zero.
    const bool small = digits.find("e-") != digits.npos || digits.find("E-") != digits.npos;
    value = small ? 0.0 : *start == '-' ? -HUGE_VAL : HUGE_VAL;
    return true;
  }
  return result.ec == std::errc() && result.ptr == end;
}

bool read_integer(std::string_view text, int64_t base, int64_t& value) {
  std::string digits;
  if (!plain_digits(text, digits)) return false;
  const bool is_negative = digits.starts_with('-');
  std::string_view rest = digits;
  if (is_negative || digits.starts_with('+')) rest.remove_prefix(1);
  struct Prefix {
    std::string_view lower, upper;
    int64_t base;
  };
  constexpr Prefix kPrefixes[] = {{"0x", "0X", 16}, {"0o", "0O", 8}, {"0b", "0B", 2}};
  for (const Prefix& prefix : kPrefixes) {
    if (base != prefix.base && base != 0) continue;
    if (rest.starts_with(prefix.lower) || rest.starts_with(prefix.upper)) {
      rest.remove_prefix(2);
      base = prefix.base;
    }
  }
  if (base == 0) base = 10;
  if (base < 2 || base > 36) return false;
  const std::string signed_digits = cat(is_negative ? "-" : "", rest);
  if (rest.empty() || rest[0] == '-') return false;
  const auto result =
      std::from_chars(signed_digits.data(), signed_digits.data() + signed_digits.size(), value,
                      static_cast<int>(base));
  if (result.ptr != signed_digits.data() + signed_digits.size()) return false;
  if (result.ec == std::errc::result_out_of_range)
    raise("the integer ", digits, " is past 64 bits");
  return result.ec == std::errc();
}

bool truncate_to_integer(double number, int64_t& value) {
  if (!std::isfinite(number)) return false;
  if (std::abs(number) >= 9223372036854775808.0) {
    raise("the integer ", repr_number(number), " is past 64 bits");
  }
  value = static_cast<int64_t>(number);
  return true;
}

Value int_filter(CallFrame& frame) {
  const Value otherwise = frame.has(1) ? frame[1] : integer(0);
  const Value& value = frame[0];
  int64_t result = 0;
  double number = 0;
  check_defined(value);
  if (value.is_string()) {
    if (read_integer(value.string(), integer_argument(frame, 2, 10), result))
      return integer(result);
    if (read_float(value.string(), number) && truncate_to_integer(number, result)) {
      return integer(result);
    }
    return otherwise;
  }
  if (value.is_integral()) return integer(value.as_integer());
  if (value.is(Kind::number)) {
    if (std::isinf(value.number)) raise("cannot convert float infinity to integer");
    if (truncate_to_integer(value.number, result)) return integer(result);
  }
  return otherwise;
}

Value float_filter(CallFrame& frame) {
  check_defined(frame[0]);
  double value = 0;
  if (frame[0].is_numeric()) return number(frame[0].as_number());
  if (frame[0].is_string() && read_float(frame[0].string(), value)) return number(value);
  return frame.has(1) ? frame[1] : number(0);
}

Value abs_filter(CallFrame& frame) {
  if (!frame[0].is_numeric()) raise("bad operand type for abs(): '", type_name(frame[0]), "'");
  if (frame[0].is(Kind::number)) return number(std::abs(frame[0].number));
  return frame[0].as_integer() < 0 ? negative(frame[0]) : integer(frame[0].as_integer());
}

// Rounds to decimal places as Python does: by the decimal digits of the number, halves to even.
double round_number(double value, int64_t places) {
  if (!std::isfinite(value) || places > 308) return value;
  if (places < 0) {
    if (places < -308) return std::copysign(0.0, value);
    const double scale = std::pow(10.0, static_cast<double>(-places));
    const double scaled = value / scale;
    double rounded = std::round(scaled);
    if (std::abs(scaled - rounded) == 0.5) rounded = 2.0 * std::round(scaled / 2.0);
    return rounded * scale;
  }
  char text[700];
  const auto written = std::to_chars(text, text + sizeof text, value, std::chars_format::fixed,
                                     static_cast<int>(places));
  double result = 0;
  std::from_chars(text, written.ptr, result);
  return result;
}

int64_t round_integer(int64_t value, int64_t places) {
  if (places >= 0) return value;
  if (places < -18) return 0;
  int64_t scale = 1;
  for (int64_t i = places; i < 0; ++i) scale *= 10;
  int64_t down = value / scale * scale;
  if (value - down < 0) down -= scale;
  const int64_t rest = value - down;
  const bool up = rest > scale - rest || (rest == scale - rest && (down / scale) % 2 != 0);
  return up ? down + scale : down;
}

Value round_filter(CallFrame& frame) {
  const std::string_view method = !frame.has(2)          ? "common"
                                  : frame[2].is_string() ? frame[2].string()
                                                         : std::string_view();
  if (method != "common" && method != "ceil" && method != "floor") {
    raise("method must be common, ceil or floor");
  }
  if (!frame[0].is_numeric()) {
    raise("type ", type_name(frame[0]), " doesn't define __round__ method");
  }
  const int64_t places = integer_argument(frame, 1, 0);
  if (method == "common") {
    if (frame[0].is_integral()) return integer(round_integer(frame[0].as_integer(), places));
    return number(round_number(frame[0].number, places));
  }
  const Value scale = binary(frame.runtime, BinaryOperator::pow, integer(10), integer(places));
  const Value scaled = binary(frame.runtime, BinaryOperator::mul, frame[0], scale);
  const double whole =
      method == "ceil" ? std::ceil(scaled.as_number()) : std::floor(scaled.as_number());
  return number(whole / scale.as_number());
}

Value file_size(CallFrame& frame) {
  constexpr std::string_view kLetters = "kMGTPEZY";
  const Value converted = float_filter(frame);
  const double bytes = converted.as_number();
  const bool is_binary = truth_argument(frame, 1, false);
  const double base = is_binary ? 1024 : 1000;
  if (bytes == 1) return string("1 Byte");
  if (bytes < base) return string_value(frame.heap(), cat(static_cast<int64_t>(bytes), " Bytes"));
  double unit = base;
  for (size_t i = 0; i < kLetters.size(); ++i) {
    unit *= base;
    if (bytes >= unit && i + 1 < kLetters.size()) continue;
    const std::string digits = format_number({.precision = 1, .type = 'f'}, base * bytes / unit);
    const char letter = is_binary && i == 0 ? 'K' : kLetters[i];
    return string_value(frame.heap(), cat(digits, " ", letter, is_binary ? "iB" : "B"));
  }
  return string({});
}

const Filter kFilters[] = {
    {"int", {"do_int", "value default? base?"}, int_filter},
    {"float", {"do_float", "value default?"}, float_filter},
    {"abs", {"abs", "x /"}, abs_filter},
    {"round", {"do_round", "value precision? method?"}, round_filter},
    {"filesizeformat", {"do_filesizeformat", "value binary?"}, file_size},
};

}  // namespace

std::span<const Filter> number_filters() { return kFilters; }

}  // namespace spate::jinja
