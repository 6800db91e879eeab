// The methods of Python's str.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/format.h"
#include "text/jinja/format_spec.h"
#include "text/jinja/iterate.h"
#include "text/jinja/text.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

std::string_view receiver(const CallFrame& frame) { return frame[0].string(); }

// The result is HTML when the receiver is.
Value result(CallFrame& frame, std::string_view text) {
  return string_value(frame.heap(), text, frame[0].safe);
}
// The same for a part of the receiver, which needs no copy.
Value part(CallFrame& frame, std::string_view text) { return string(text, frame[0].safe); }

std::string_view string_argument(const CallFrame& frame, size_t i, std::string_view what) {
  check_defined(frame[i]);
  if (!frame[i].is_string()) raise(what, "must be str, not ", type_name(frame[i]));
  return frame[i].string();
}

std::string_view separator_argument(const CallFrame& frame) {
  check_defined(frame[1]);
  if (!frame[1].is_string()) raise("must be str or None, not ", type_name(frame[1]));
  if (frame[1].size == 0) raise("empty separator");
  return frame[1].string();
}

template <Ends ends>
Value strip_method(CallFrame& frame) {
  if (!is_given(frame, 1)) return part(frame, strip(receiver(frame), ends));
  if (!frame[1].is_string()) {
    raise(ends.left && ends.right ? "" : ends.left ? "l" : "r", "strip arg must be None or str");
  }
  return part(frame, strip(receiver(frame), frame[1].string(), ends));
}

template <bool from_right>
Value split_method(CallFrame& frame) {
  const int64_t most = integer_argument(frame, 2, -1);
  if (!is_given(frame, 1)) {
    return pieces_value(frame.runtime, split_words(receiver(frame), most, from_right),
                        frame[0].safe);
  }
  const std::string_view separator = separator_argument(frame);
  return pieces_value(frame.runtime, split(receiver(frame), separator, most, from_right),
                      frame[0].safe);
}

// startswith and endswith, with a tuple of possibilities and bounds.
template <bool at_start>
Value matches(CallFrame& frame) {
  const std::string_view name = at_start ? "startswith" : "endswith";
  const Window window = find_window(receiver(frame), frame, 2);
  const auto matches_one = [&](std::string_view affix) {
    if (!window.valid) return false;
    return at_start ? window.text.starts_with(affix) : window.text.ends_with(affix);
  };
  if (frame[1].is(Kind::tuple)) {
    for (const Value& affix : frame[1].list->items) {
      if (!affix.is_string()) {
        raise("tuple for ", name, " must only contain str, not ", type_name(affix));
      }
      if (matches_one(affix.string())) return boolean(true);
    }
    return boolean(false);
  }
  if (!frame[1].is_string()) {
    raise(name, " first arg must be str or a tuple of str, not ", type_name(frame[1]));
  }
  return boolean(matches_one(frame[1].string()));
}

enum class Missing { minus_one, fails };

template <bool from_right, Missing missing>
Value find_method(CallFrame& frame) {
  const std::string_view wanted = string_argument(frame, 1, "");
  const Window window = find_window(receiver(frame), frame, 2);
  const size_t found = !window.valid ? std::string_view::npos
                       : from_right  ? window.text.rfind(wanted)
                                     : window.text.find(wanted);
  if (found == std::string_view::npos) {
    if (missing == Missing::fails) raise("substring not found");
    return integer(-1);
  }
  return integer(window.start +
                 static_cast<int64_t>(count_code_points(window.text.substr(0, found))));
}

Value count_method(CallFrame& frame) {
  const std::string_view wanted = string_argument(frame, 1, "");
  const Window window = find_window(receiver(frame), frame, 2);
  if (!window.valid) return integer(0);
  return integer(count(window.text, wanted));
}

Value replace_method(CallFrame& frame) {
  for (const size_t i : {1, 2}) {
    check_defined(frame[i]);
    if (!frame[i].is_string()) {
      raise("replace() argument ", i, " must be str, not ", type_name(frame[i]));
    }
  }
  std::string escaped;
  std::string_view replacement = frame[2].string();
  if (frame[0].safe && !frame[2].safe) replacement = escaped = escape_html(replacement);
  return result(frame, replace(receiver(frame), frame[1].string(), replacement,
                               integer_argument(frame, 3, -1)));
}

Value join_method(CallFrame& frame) {
  if (!is_iterable(frame[1])) raise("can only join an iterable");
  std::string out;
  size_t position = 0;
  for (const Value& item : items_of(frame.runtime, frame[1])) {
    if (position > 0) append(out, receiver(frame));
    if (!item.is_string() && !frame[0].safe) {
      raise("sequence item ", position, ": expected str instance, ", type_name(item), " found");
    }
    const Value text = to_string(frame.runtime, item);
    append(out,
           frame[0].safe && !text.safe ? escape_html(text.string()) : std::string(text.string()));
    ++position;
  }
  return result(frame, out);
}

Value format_method(CallFrame& frame) { return format_braces(frame.runtime, frame[0], frame.raw); }

Value format_map_method(CallFrame& frame) {
  if (!frame[1].is(Kind::dict)) {
    raise("format_map() argument must be a mapping, not ", type_name(frame[1]));
  }
  std::vector<NamedValue> named;
  for (const DictEntry& entry : frame[1].dict->entries()) {
    if (entry.key.is_string()) named.push_back({entry.key.string(), entry.value});
  }
  return format_braces(frame.runtime, frame[0], {.named = named});
}

template <char align>
Value pad_method(CallFrame& frame) {
  FormatSpec spec{.align = align, .width = integer_argument(frame, 1, 0)};
  if (frame.has(2)) {
    if (!frame[2].is_string() || count_code_points(frame[2].string()) != 1) {
      raise("The fill character must be exactly one character long");
    }
    size_t at = 0;
    spec.fill = read_code_point(frame[2].string(), at);
  }
  if (align == '^') return result(frame, center(receiver(frame), spec.width, spec.fill));
  return result(frame, pad(spec, "", receiver(frame), align));
}

Value zfill_method(CallFrame& frame) {
  const std::string_view text = receiver(frame);
  const bool has_sign = text.starts_with('+') || text.starts_with('-');
  const FormatSpec spec{.fill = '0', .align = '=', .width = integer_argument(frame, 1, 0)};
  return result(frame,
                pad(spec, text.substr(0, has_sign ? 1 : 0), text.substr(has_sign ? 1 : 0), '='));
}

Value splitlines_method(CallFrame& frame) {
  return pieces_value(frame.runtime, split_lines(receiver(frame), truth_argument(frame, 1, false)),
                      frame[0].safe);
}

template <bool from_right>
Value partition_method(CallFrame& frame) {
  const std::string_view separator = string_argument(frame, 1, "");
  if (separator.empty()) raise("empty separator");
  const std::string_view text = receiver(frame);
  const size_t at = from_right ? text.rfind(separator) : text.find(separator);
  std::string_view parts[3] = {text, {}, {}};
  if (at != text.npos) {
    parts[0] = text.substr(0, at);
    parts[1] = text.substr(at, separator.size());
    parts[2] = text.substr(at + separator.size());
  } else if (from_right) {
    std::swap(parts[0], parts[2]);
  }
  const Value values[] = {part(frame, parts[0]), part(frame, parts[1]), part(frame, parts[2])};
  return tuple_value(frame.heap(), values);
}

Value removeprefix_method(CallFrame& frame) {
  const std::string_view prefix = string_argument(frame, 1, "removeprefix() argument ");
  std::string_view text = receiver(frame);
  if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
  return part(frame, text);
}

Value removesuffix_method(CallFrame& frame) {
  const std::string_view suffix = string_argument(frame, 1, "removesuffix() argument ");
  std::string_view text = receiver(frame);
  if (text.ends_with(suffix)) text.remove_suffix(suffix.size());
  return part(frame, text);
}

Value expandtabs_method(CallFrame& frame) {
  const int64_t size = integer_argument(frame, 1, 8);
  std::string out;
  int64_t column = 0;
  for (const char32_t c : decode(receiver(frame))) {
    if (c == '\t') {
      const int64_t spaces = size > 0 ? size - column % size : 0;
      append(out, static_cast<size_t>(spaces), ' ');
      column += spaces;
    } else {
      append_code_point(out, c);
      column = c == '\n' || c == '\r' ? 0 : column + 1;
    }
  }
  return result(frame, out);
}

template <std::string (*convert)(std::string_view)>
Value cased(CallFrame& frame) {
  return result(frame, convert(receiver(frame)));
}

// True when the text is not empty and all its code points are of the class.
template <bool (*belongs)(char32_t)>
Value all_of(CallFrame& frame) {
  const std::u32string points = decode(receiver(frame));
  return boolean(!points.empty() && std::all_of(points.begin(), points.end(), belongs));
}

bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_numeric(c); }

template <bool (*right)(char32_t), bool (*wrong)(char32_t)>
Value all_cased(CallFrame& frame) {
  bool any = false;
  for (const char32_t c : decode(receiver(frame))) {
    if (wrong(c) || is_title(c)) return boolean(false);
    any = any || right(c);
  }
  return boolean(any);
}

Value istitle_method(CallFrame& frame) {
  bool inside = false, any = false;
  for (const char32_t c : decode(receiver(frame))) {
    const bool upper = is_upper(c) || is_title(c);
    if ((upper && inside) || (is_lower(c) && !inside)) return boolean(false);
    inside = upper || is_lower(c);
    any = any || inside;
  }
  return boolean(any);
}

Value isidentifier_method(CallFrame& frame) {
  const std::u32string points = decode(receiver(frame));
  const bool good = !points.empty() && !is_numeric(points[0]) &&
                    std::all_of(points.begin(), points.end(), is_word);
  return boolean(good);
}

constexpr Ends kBoth, kLeft{.right = false}, kRight{.left = false};

const MethodEntry kMethods[] = {
    {"strip", {"strip", "self chars? /"}, strip_method<kBoth>},
    {"lstrip", {"lstrip", "self chars? /"}, strip_method<kLeft>},
    {"rstrip", {"rstrip", "self chars? /"}, strip_method<kRight>},
    {"split", {"split", "self sep? maxsplit?"}, split_method<false>},
    {"rsplit", {"rsplit", "self sep? maxsplit?"}, split_method<true>},
    {"startswith", {"startswith", "self prefix start? end? /"}, matches<true>},
    {"endswith", {"endswith", "self suffix start? end? /"}, matches<false>},
    {"replace", {"replace", "self old new count? /"}, replace_method},
    {"upper", {"str.upper", "self /"}, cased<to_upper>},
    {"lower", {"str.lower", "self /"}, cased<to_lower>},
    {"title", {"str.title", "self /"}, cased<to_title>},
    {"capitalize", {"str.capitalize", "self /"}, cased<to_capital>},
    {"swapcase", {"str.swapcase", "self /"}, cased<to_swapped>},
    {"casefold", {"str.casefold", "self /"}, cased<to_folded>},
    {"join", {"str.join", "self iterable /"}, join_method},
    {"format", {"format", "self *"}, format_method},
    {"format_map", {"format_map", "self mapping /"}, format_map_method},
    {"find", {"find", "self sub start? end? /"}, find_method<false, Missing::minus_one>},
    {"rfind", {"rfind", "self sub start? end? /"}, find_method<true, Missing::minus_one>},
    {"index", {"index", "self sub start? end? /"}, find_method<false, Missing::fails>},
    {"rindex", {"rindex", "self sub start? end? /"}, find_method<true, Missing::fails>},
    {"count", {"count", "self sub start? end? /"}, count_method},
    {"splitlines", {"splitlines", "self keepends?"}, splitlines_method},
    {"partition", {"str.partition", "self sep /"}, partition_method<false>},
    {"rpartition", {"str.rpartition", "self sep /"}, partition_method<true>},
    {"removeprefix", {"str.removeprefix", "self prefix /"}, removeprefix_method},
    {"removesuffix", {"str.removesuffix", "self suffix /"}, removesuffix_method},
    {"center", {"center", "self width fillchar? /"}, pad_method<'^'>},
    {"ljust", {"ljust", "self width fillchar? /"}, pad_method<'<'>},
    {"rjust", {"rjust", "self width fillchar? /"}, pad_method<'>'>},
    {"zfill", {"str.zfill", "self width /"}, zfill_method},
    {"expandtabs", {"expandtabs", "self tabsize?"}, expandtabs_method},
    {"isalpha", {"str.isalpha", "self /"}, all_of<is_alphabetic>},
    {"isalnum", {"str.isalnum", "self /"}, all_of<is_alphanumeric>},
    {"isdigit", {"str.isdigit", "self /"}, all_of<is_digit>},
    {"isdecimal", {"str.isdecimal", "self /"}, all_of<is_decimal>},
    {"isnumeric", {"str.isnumeric", "self /"}, all_of<is_numeric>},
    {"isspace", {"str.isspace", "self /"}, all_of<is_space>},
    {"islower", {"str.islower", "self /"}, all_cased<is_lower, is_upper>},
    {"isupper", {"str.isupper", "self /"}, all_cased<is_upper, is_lower>},
    {"istitle", {"str.istitle", "self /"}, istitle_method},
    {"isidentifier", {"str.isidentifier", "self /"}, isidentifier_method},
    {"isascii",
     {"str.isascii", "self /"},
     [](CallFrame& frame) { return boolean(is_ascii(receiver(frame))); }},
};

}  // namespace

std::span<const MethodEntry> string_methods() { return kMethods; }

}  // namespace spate::jinja
