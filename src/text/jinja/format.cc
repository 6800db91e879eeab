#include "text/jinja/format.h"

#include <charconv>
#include <cmath>

#include "text/jinja/dict.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/lookup.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

// ---- "%-5s" % values

// The values that a % format takes one after the other, or by name from a dict.
class PercentValues {
 public:
  explicit PercentValues(const Value& arguments)
      : whole_(arguments), is_tuple_(arguments.is(Kind::tuple)) {}

  Value next() {
    if (is_tuple_) {
      if (at_ < whole_.list->items.size()) return whole_.list->items[at_++];
    } else if (at_++ == 0) {
      return whole_;
    }
    raise("not enough arguments for format string");
  }

  Value named(Runtime& runtime, std::string_view name) {
    if (!whole_.is(Kind::dict)) raise("format requires a mapping");
    const Value* found = find(*whole_.dict, name);
    if (found == nullptr) raise(repr_string(name));  // KeyError
    (void)runtime;
    used_names_ = true;
    return *found;
  }

  bool all_used() const {
    if (used_names_ || whole_.is(Kind::dict) || whole_.is(Kind::list) || whole_.is_undefined()) {
      return true;
    }
    return at_ >= (is_tuple_ ? whole_.list->items.size() : 1);
  }

 private:
  Value whole_;
  bool is_tuple_;
  size_t at_ = 0;
  bool used_names_ = false;
};

std::string percent_value(Runtime& runtime, FormatSpec spec, const Value& value, bool safe) {
  switch (spec.type) {
    case 's':
    case 'r':
    case 'a': {
      std::string text;
      if (spec.type == 's') {
        append_str(runtime, text, value);
      } else {
        append_repr(runtime, text, value);
      }
      if (spec.type == 'a') {
        std::string ascii;
        for (const char32_t c : decode(text)) {
          if (c < 0x80) {
            ascii += static_cast<char>(c);
          } else {
            std::string one;
            append_code_point(one, c);
            const std::string quoted = repr_string_ascii(one);
            ascii += quoted.substr(1, quoted.size() - 2);
          }
        }
        text = ascii;
      }
      if (safe && !(value.is_string() && value.safe)) text = escape_html(text);
      spec.type = 's';
      if (spec.align == 0 || spec.align == '=') spec.align = '>';
      spec.fill = ' ';
      return format_text(spec, text);
    }
    case 'c':
      if (value.is_string()) {
        if (count_code_points(value.string()) != 1) raise("%c requires int or char");
        spec.type = 's';
        return format_text(spec, value.string());
      }
      if (!value.is_integral()) raise("%c requires int or char");
      return format_integer(spec, value.as_integer());
    case 'd':
    case 'i':
    case 'u':
    case 'x':
    case 'X':
    case 'o': {
      check_defined(value);
      const bool decimal = spec.type == 'd' || spec.type == 'i' || spec.type == 'u';
      if (!value.is_integral() && !(decimal && value.is(Kind::number))) {
        raise("%", spec.type, " format: ", decimal ? "a real number" : "an integer",
              " is required, not ", type_name(value));
      }
      if (value.is(Kind::number) && !std::isfinite(value.number)) {
        raise(std::isnan(value.number) ? "cannot convert float NaN to integer"
                                       : "cannot convert float infinity to integer");
      }
      if (value.is(Kind::number) && std::abs(value.number) >= 9.2e18) {
        raise("the result of an operation on integers is past 64 bits");
      }
      if (decimal) spec.type = 'd';
      const int64_t digits = spec.precision;
      spec.precision = -1;
      const int64_t whole =
          value.is_integral() ? value.as_integer() : static_cast<int64_t>(value.number);
      if (digits < 0) return format_integer(spec, whole);
      // A precision is the least number of digits.
      FormatSpec inner = spec;
      inner.fill = '0';
      inner.align = '=';
      inner.sign = '-';
      inner.width = digits;
      const uint64_t magnitude =
          whole < 0 ? uint64_t{0} - static_cast<uint64_t>(whole) : static_cast<uint64_t>(whole);
      if (magnitude > static_cast<uint64_t>(INT64_MAX)) return format_integer(spec, whole);
      const std::string body = format_integer(inner, static_cast<int64_t>(magnitude));
      return pad(spec,
                 whole < 0          ? "-"
                 : spec.sign == '-' ? ""
                                    : std::string(1, spec.sign),
                 body, '>');
    }
    case 'e':
    case 'E':
    case 'f':
    case 'F':
    case 'g':
    case 'G':
      check_defined(value);
      if (!value.is_numeric()) raise("must be real number, not ", type_name(value));
      return format_number(spec, value.as_number());
    default: return {};
  }
}

// ---- "{0.name!r:>10}".format(values)

class BraceFormat {
 public:
  BraceFormat(Runtime& runtime, const Value& pattern, const Arguments& arguments)
      : runtime_(runtime), safe_(pattern.safe), arguments_(arguments) {}

  std::string run(std::string_view pattern, int depth) {
    if (depth < 0) raise("Max string recursion exceeded");
    std::string out;
    for (size_t at = 0; at < pattern.size();) {
      const char c = pattern[at++];
      if (c != '{' && c != '}') {
        append(out, std::string_view(&c, 1));
      } else if (at < pattern.size() && pattern[at] == c) {
        append(out, std::string_view(&c, 1));
        ++at;
      } else if (c == '}') {
        raise("Single '}' encountered in format string");
      } else {
        append(out, field(pattern, at, depth));
      }
    }
    return out;
  }

 private:
  // From behind "{" to behind its "}".
  std::string field(std::string_view pattern, size_t& at, int depth) {
    const size_t start = at;
    int open = 1;
    for (; at < pattern.size(); ++at) {
      if (pattern[at] == '{') ++open;
      if (pattern[at] == '}' && --open == 0) break;
    }
    if (start == pattern.size()) raise("Single '{' encountered in format string");
    if (open > 0) raise("expected '}' before end of string");
    const std::string_view inside = pattern.substr(start, at++ - start);

    size_t end = 0;  // of the name: at ! or : outside of brackets
    bool in_brackets = false;
    for (; end < inside.size(); ++end) {
      if (inside[end] == '[') in_brackets = true;
      if (inside[end] == ']') in_brackets = false;
      if (!in_brackets && (inside[end] == '!' || inside[end] == ':')) break;
    }
    Value value = lookup(inside.substr(0, end));
    if (end < inside.size() && inside[end] == '!') {
      if (end + 1 >= inside.size()) raise("end of string while looking for conversion specifier");
      value = convert(value, inside[end + 1]);
      end += 2;
      if (end < inside.size() && inside[end] != ':') {
        raise("expected ':' after conversion specifier");
      }
    }
    const std::string specification =
        end < inside.size() ? run(inside.substr(end + 1), depth - 1) : std::string();
    std::string text = format_value(runtime_, value, specification);
    if (safe_ && !(value.is_string() && value.safe)) text = escape_html(text);
    return text;
  }

  Value convert(const Value& value, char conversion) {
    std::string text;
    switch (conversion) {
      case 's': append_str(runtime_, text, value); break;
      case 'r': append_repr(runtime_, text, value); break;
      case 'a': text = percent_value(runtime_, {.type = 'a'}, value, false); break;
      default: raise("Unknown conversion specifier ", conversion);
    }
    return string_value(runtime_.heap(), text);
  }

  Value lookup(std::string_view name) {
    size_t end = std::min(name.find_first_of(".["), name.size());
    Value value = first(name.substr(0, end));
    while (end < name.size()) {
      if (name[end] == '.') {
        const size_t stop = std::min(name.find_first_of(".[", end + 1), name.size());
        value = get_attribute(runtime_, value, copy(name.substr(end + 1, stop - end - 1)));
        end = stop;
      } else if (name[end] == '[') {
        const size_t stop = name.find(']', end);
        if (stop == name.npos) raise("Missing ']' in format string");
        value = get_item(runtime_, value, key(name.substr(end + 1, stop - end - 1)));
        end = stop + 1;
      } else {
        raise("Only '.' or '[' may follow ']' in format field specifier");
      }
    }
    return value;
  }

  Value first(std::string_view name) {
    int64_t index = 0;
    const bool is_number = read_index(name, index);
    if (name.empty() || is_number) {
      if (name.empty() ? numbered_ : automatic_ > 0) {
        raise(name.empty()
                  ? "cannot switch from manual field specification to automatic field numbering"
                  : "cannot switch from automatic field numbering to manual field specification");
      }
      numbered_ = numbered_ || is_number;
      const size_t position =
          name.empty() ? static_cast<size_t>(automatic_++) : static_cast<size_t>(index);
      if (position >= arguments_.positional.size()) {
        raise("tuple index out of range");
      }
      return arguments_.positional[position];
    }
    for (const NamedValue& argument : arguments_.named) {
      if (argument.name == name) return argument.value;
    }
    raise(repr_string(name));  // KeyError
  }

  static bool read_index(std::string_view text, int64_t& index) {
    const auto result = std::from_chars(text.data(), text.data() + text.size(), index);
    return !text.empty() && text[0] != '-' && result.ec == std::errc() &&
           result.ptr == text.data() + text.size();
  }

  Value key(std::string_view text) {
    int64_t index = 0;
    return read_index(text, index) ? integer(index) : string(copy(text));
  }

  std::string_view copy(std::string_view text) { return runtime_.heap().copy(text); }

  Runtime& runtime_;
  bool safe_;
  const Arguments& arguments_;
  int64_t automatic_ = 0;
  bool numbered_ = false;
};

}  // namespace

std::string format_value(Runtime& runtime, const Value& value, std::string_view specification) {
  std::string text;
  if (specification.empty()) {
    append_str(runtime, text, value);
    return text;
  }
  const FormatSpec spec = parse_format_spec(specification, type_name(value));
  if (value.is_string()) return format_text(spec, value.string());
  if (value.is(Kind::boolean) && (spec.type == 0 || spec.type == 's')) {
    return format_integer(spec, value.as_integer());
  }
  if (value.is_integral()) return format_integer(spec, value.as_integer());
  if (value.is(Kind::number)) return format_number(spec, value.number);
  raise("unsupported format string passed to ", type_name(value), ".__format__");
}

Value format_percent(Runtime& runtime, const Value& pattern, const Value& arguments) {
  const std::string_view text = pattern.string();
  PercentValues values(arguments);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const size_t percent = text.find('%', at);
    append(out, text.substr(at, percent - at));
    if (percent == text.npos) break;
    at = percent + 1;
    const auto peek = [&] {
      if (at >= text.size()) raise("incomplete format");
      return text[at];
    };
    std::string_view name;
    bool has_name = false;
    if (peek() == '(') {
      const size_t close = text.find(')', at);
      if (close == text.npos) raise("incomplete format key");
      name = text.substr(at + 1, close - at - 1);
      has_name = true;
      at = close + 1;
    }
    FormatSpec spec;
    for (bool more = true; more;) {
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
        default: more = false; break;
      }
      if (more) ++at;
    }
    const auto amount = [&](int64_t otherwise) {
      if (peek() == '*') {
        ++at;
        const Value value = values.next();
        if (!value.is_integral()) raise("* wants int");
        return value.as_integer();
      }
      int64_t number = otherwise;
      const auto result = std::from_chars(text.data() + at, text.data() + text.size(), number);
      if (result.ec == std::errc::result_out_of_range) raise("width too big");
      if (peek() >= '0' && peek() <= '9') {
        at = static_cast<size_t>(result.ptr - text.data());
        return number;
      }
      return otherwise;
    };
    spec.width = amount(0);
    if (spec.width < 0) {
      spec.align = '<';
      spec.width = spec.width < -int64_t{kMaxOutput} ? int64_t{kMaxOutput} + 1 : -spec.width;
    }
    if (spec.align == '<') spec.fill = ' ';
    if (peek() == '.') {
      ++at;
      spec.precision = std::max<int64_t>(amount(0), 0);
    }
    while (peek() == 'l' || peek() == 'h' || peek() == 'L') ++at;
    spec.type = peek();
    ++at;
    if (spec.type == '%') {
      append(out, "%");
      continue;
    }
    if (std::string_view("sracdiuxXoeEfFgG").find(spec.type) == std::string_view::npos) {
      size_t position = at - 1;
      const char32_t c = read_code_point(text, position);
      char code[12];
      const char* end = std::to_chars(code, code + 12, static_cast<uint32_t>(c), 16).ptr;
      std::string shown;
      append_code_point(shown, c);
      raise("unsupported format character '", shown, "' (0x", std::string_view(code, end),
            ") at index ", count_code_points(text.substr(0, at - 1)));
    }
    const Value value = has_name ? values.named(runtime, name) : values.next();
    append(out, percent_value(runtime, spec, value, pattern.safe));
  }
  if (!values.all_used()) raise("not all arguments converted during string formatting");
  return string_value(runtime.heap(), out, pattern.safe);
}

Value format_braces(Runtime& runtime, const Value& pattern, const Arguments& arguments) {
  BraceFormat format(runtime, pattern, arguments);
  return string_value(runtime.heap(), format.run(pattern.string(), 2), pattern.safe);
}

}  // namespace spate::jinja
