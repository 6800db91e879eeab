// "%-5s and %(name)d" % values
#include <charconv>
#include <cmath>

#include "text/jinja/dict.h"
#include "text/jinja/format.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

// The values that a format takes one after the other, or by name from a dict.
class Values {
 public:
  explicit Values(const Value& whole) : whole_(whole), is_tuple_(whole.is(Kind::tuple)) {}

  Value next() {
    if (is_tuple_) {
      if (at_ < whole_.list->items.size()) return whole_.list->items[at_++];
    } else if (at_++ == 0) {
      return whole_;
    }
    raise("not enough arguments for format string");
  }

  Value named(std::string_view name) const {
    if (!whole_.is(Kind::dict)) raise("format requires a mapping");
    const Value* found = find(*whole_.dict, name);
    if (found == nullptr) raise(repr_string(name));  // Python's KeyError
    return *found;
  }

  // Whatever could be a mapping may stay unused.
  bool all_used() const {
    if (whole_.is(Kind::dict) || whole_.is(Kind::list) || whole_.is_undefined()) return true;
    return at_ >= (is_tuple_ ? whole_.list->items.size() : 1);
  }

 private:
  Value whole_;
  bool is_tuple_;
  size_t at_ = 0;
};

std::string as_text(Runtime& runtime, FormatSpec spec, const Value& value, bool escapes) {
  std::string text;
  switch (spec.type) {
    case 's': append_str(runtime, text, value); break;
    case 'r': append_repr(runtime, text, value); break;
    default: text = ascii_repr(runtime, value); break;
  }
  if (escapes && !(value.is_string() && value.safe)) text = escape_html(text);
  spec.type = 's';
  if (spec.align != '<') spec.align = '>';
  spec.fill = ' ';
  return format_text(spec, text);
}

std::string as_character(FormatSpec spec, const Value& value) {
  if (value.is_string()) {
    if (count_code_points(value.string()) != 1) raise("%c requires int or char");
    spec.type = 's';
    return format_text(spec, value.string());
  }
  if (!value.is_integral()) raise("%c requires int or char");
  return format_integer(spec, value.as_integer());
}

int64_t whole_number(const Value& value, char type, bool is_decimal) {
  check_defined(value);
  if (value.is_integral()) return value.as_integer();
  if (!is_decimal || !value.is(Kind::number)) {
    raise("%", type, " format: ", is_decimal ? "a real number" : "an integer", " is required, not ",
          type_name(value));
  }
  if (std::isnan(value.number)) raise("cannot convert float NaN to integer");
  if (std::isinf(value.number)) raise("cannot convert float infinity to integer");
  if (std::abs(value.number) >= 9223372036854775808.0) {
    raise("the integer ", repr_number(value.number), " is past 64 bits");
  }
  return static_cast<int64_t>(value.number);
}

std::string as_integer(FormatSpec spec, const Value& value) {
  const bool is_decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
  const int64_t number = whole_number(value, spec.type, is_decimal);
  if (is_decimal) spec.type = 'd';
  const int64_t least_digits = spec.precision;
  spec.precision = -1;
  if (least_digits < 0 || number == INT64_MIN) return format_integer(spec, number);
  FormatSpec digits = spec;
  digits.fill = '0';
  digits.align = '=';
  digits.sign = '-';
  digits.width = least_digits;
  const std::string sign = number < 0         ? "-"
                           : spec.sign == '-' ? std::string()
                                              : std::string(1, spec.sign);
  return pad(spec, sign, format_integer(digits, std::abs(number)), '>');
}

std::string as_number(const FormatSpec& spec, const Value& value) {
  check_defined(value);
  if (!value.is_numeric()) raise("must be real number, not ", type_name(value));
  return format_number(spec, value.as_number());
}

class PercentFormat {
 public:
  PercentFormat(Runtime& runtime, const Value& pattern, const Value& values)
      : runtime_(runtime), text_(pattern.string()), escapes_(pattern.safe), values_(values) {}

  std::string run() {
    std::string out;
    while (true) {
      const size_t percent = text_.find('%', at_);
      append(out, text_.substr(at_, percent - at_));
      if (percent == text_.npos) break;
      at_ = percent + 1;
      append(out, conversion());
    }
    if (!values_.all_used()) raise("not all arguments converted during string formatting");
    return out;
  }

 private:
  char peek() const {
    if (at_ >= text_.size()) raise("incomplete format");
    return text_[at_];
  }

  // From behind "%" to behind its type.
  std::string conversion() {
    const bool has_name = peek() == '(';
    const std::string_view name = has_name ? key() : std::string_view();
    FormatSpec spec;
    flags(spec);
    spec.width = amount();
    if (spec.width < 0) {  // from "*"
      spec.align = '<';
      spec.width = spec.width < -int64_t{kMaxOutput} ? int64_t{kMaxOutput} + 1 : -spec.width;
    }
    if (spec.align == '<') spec.fill = ' ';
    if (peek() == '.') {
      ++at_;
      spec.precision = std::max<int64_t>(amount(), 0);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at_;
    spec.type = peek();
    ++at_;
    if (spec.type == '%') return "%";
    if (std::string_view("sracdiuxXoeEfFgG").find(spec.type) == std::string_view::npos) {
      raise_unknown_type();
    }
    return format(spec, has_name ? values_.named(name) : values_.next());
  }

  std::string format(const FormatSpec& spec, const Value& value) {
    switch (spec.type) {
      case 's':
      case 'r':
      case 'a': return as_text(runtime_, spec, value, escapes_);
      case 'c': return as_character(spec, value);
      case 'd':
      case 'i':
      case 'u':
      case 'x':
      case 'X':
      case 'o': return as_integer(spec, value);
      default: return as_number(spec, value);
    }
  }

  std::string_view key() {
    const size_t close = text_.find(')', at_);
    if (close == text_.npos) raise("incomplete format key");
    const std::string_view name = text_.substr(at_ + 1, close - at_ - 1);
    at_ = close + 1;
    return name;
  }

  void flags(FormatSpec& spec) {
    for (;; ++at_) {
      switch (peek()) {
        case '-': spec.align = '<'; break;
        case '0':
          spec.fill = '0';
          if (spec.align == 0) spec.align = '=';
          break;
        case '+': spec.sign = '+'; break;
        case ' ':
          if (spec.sign == '-') spec.sign = ' ';
          break;
        case '#': spec.alternate = true; break;
        default: return;
      }
    }
  }

  // A width or precision: digits, "*" for the next value, or nothing for 0.
  int64_t amount() {
    if (peek() == '*') {
      ++at_;
      const Value value = values_.next();
      if (!value.is_integral()) raise("* wants int");
      return value.as_integer();
    }
    if (peek() < '0' || peek() > '9') return 0;
    int64_t number = 0;
    const auto result = std::from_chars(text_.data() + at_, text_.data() + text_.size(), number);
    if (result.ec == std::errc::result_out_of_range) raise("width too big");
    at_ = static_cast<size_t>(result.ptr - text_.data());
    return number;
  }

  [[noreturn]] void raise_unknown_type() const {
    size_t after = at_ - 1;
    const char32_t c = read_code_point(text_, after);
    char code[12];
    const char* end = std::to_chars(code, code + sizeof code, static_cast<uint32_t>(c), 16).ptr;
    raise("unsupported format character '", text_.substr(at_ - 1, after - at_ + 1), "' (0x",
          std::string_view(code, static_cast<size_t>(end - code)), ") at index ",
          count_code_points(text_.substr(0, at_ - 1)));
  }

  Runtime& runtime_;
  std::string_view text_;
  bool escapes_;  // the pattern is HTML
  Values values_;
  size_t at_ = 0;
};

}  // namespace

Value format_percent(Runtime& runtime, const Value& pattern, const Value& arguments) {
  PercentFormat format(runtime, pattern, arguments);
  return string_value(runtime.heap(), format.run(), pattern.safe);
}

}  // namespace spate::jinja
