// "{0.name!r:>10}".format(values)
#include <algorithm>
#include <charconv>

#include "text/jinja/format.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/lookup.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"

namespace spate::jinja {
namespace {

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
      case 'a': text = ascii_repr(runtime_, value); break;
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

Value format_braces(Runtime& runtime, const Value& pattern, const Arguments& arguments) {
  BraceFormat format(runtime, pattern, arguments);
  return string_value(runtime.heap(), format.run(pattern.string(), 2), pattern.safe);
}

}  // namespace spate::jinja
