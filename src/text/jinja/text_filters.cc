// Filters on text.
#include <algorithm>

#include "text/jinja/arguments.h"
#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/format.h"
#include "text/jinja/iterate.h"
#include "text/jinja/json_text.h"
#include "text/jinja/lookup.h"
#include "text/jinja/text.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

// What a filter makes of a text that may be HTML.
Value like(CallFrame& frame, const Value& source, std::string_view text) {
  return string_value(frame.heap(), text, source.safe);
}

template <std::string (*convert)(std::string_view)>
Value cased(CallFrame& frame) {
  const Value text = text_argument(frame, 0);
  return like(frame, text, convert(text.string()));
}

// Words start after whitespace, hyphens and opening brackets.
std::string title_words(std::string_view text) {
  std::u32string word;
  std::string out;
  const auto flush = [&] {
    if (word.empty()) return;
    const std::string lower = encode(word);
    size_t first = 0;
    read_code_point(lower, first);
    out += to_upper(std::string_view(lower).substr(0, first));
    out += to_lower(std::string_view(lower).substr(first));
    word.clear();
  };
  for (const char32_t c : decode(text)) {
    if (is_space(c) || std::u32string_view(U"-({[<").find(c) != std::u32string_view::npos) {
      flush();
      append_code_point(out, c);
    } else {
      word += c;
    }
  }
  flush();
  return out;
}

Value trim(CallFrame& frame) {
  const Value text = text_argument(frame, 0);
  if (!is_given(frame, 1)) return string(strip(text.string(), Ends{}), text.safe);
  if (!frame[1].is_string()) raise("strip arg must be None or str");
  return string(strip(text.string(), frame[1].string(), Ends{}), text.safe);
}

Value replace_filter(CallFrame& frame) {
  const Value text = text_argument(frame, 0), from = text_argument(frame, 1),
              to = text_argument(frame, 2);
  const int64_t most = is_given(frame, 3) ? integer_argument(frame, 3, -1) : -1;
  return string_value(frame.heap(), replace(text.string(), from.string(), to.string(), most));
}

Value indent(CallFrame& frame) {
  check_defined(frame[0]);
  if (frame[0].is(Kind::list)) raise("'list' object has no attribute 'splitlines'");
  if (frame[0].is(Kind::tuple)) add(frame.runtime, frame[0], string("\n"));  // for its message
  if (!frame[0].is_string()) {
    raise("unsupported operand type(s) for +=: '", type_name(frame[0]), "' and 'str'");
  }
  std::string indention;
  if (frame.has(1) && frame[1].is_string()) {
    indention = frame[1].string();
  } else {
    append(indention, static_cast<size_t>(std::max<int64_t>(0, integer_argument(frame, 1, 4))),
           ' ');
  }
  std::string source(frame[0].string());
  append(source, "\n");
  const bool blank = truth_argument(frame, 3, false);
  std::string out;
  if (truth_argument(frame, 2, false)) append(out, indention);
  bool first = true;
  for (const std::string_view line : split_lines(source, false)) {
    if (!first) {
      append(out, "\n");
      if (blank || !line.empty()) append(out, indention);
    }
    first = false;
    append(out, line);
  }
  return like(frame, frame[0], out);
}

Value truncate(CallFrame& frame) {
  const int64_t length = integer_argument(frame, 1, 255);
  const Value end = frame.has(3) ? frame[3] : string("...");
  const int64_t leeway = is_given(frame, 4) ? integer_argument(frame, 4, 5) : 5;
  const int64_t end_length = length_of(end);
  if (length < end_length) raise("expected length >= ", end_length, ", got ", length);
  if (leeway < 0) raise("expected leeway >= 0, got ", leeway);
  const int64_t size = length_of(frame[0]);
  if (size < 0) raise("object of type '", type_name(frame[0]), "' has no len()");
  if (size <= leeway || size - leeway <= length) return frame[0];
  Value kept = get_slice(frame.runtime, frame[0], {}, integer(length - end_length), {});
  if (!truth_argument(frame, 2, false)) {
    if (!kept.is_string()) raise("'", type_name(kept), "' object has no attribute 'rsplit'");
    kept = string(kept.string().substr(0, kept.string().rfind(' ')), kept.safe);
  }
  return add(frame.runtime, kept, end);
}

Value word_count(CallFrame& frame) {
  int64_t words = 0;
  bool inside = false;
  for (const char32_t c : decode(text_argument(frame, 0).string())) {
    if (is_word(c) && !inside) ++words;
    inside = is_word(c);
  }
  return integer(words);
}

Value center_filter(CallFrame& frame) {
  const Value text = text_argument(frame, 0);
  return like(frame, text, center(text.string(), integer_argument(frame, 1, 80), ' '));
}

Value format_filter(CallFrame& frame) {
  if (!frame.raw.positional.empty() && !frame.raw.named.empty()) {
    raise("can't handle positional and keyword arguments at the same time");
  }
  const Value pattern = text_argument(frame, 0);
  if (frame.raw.named.empty()) {
    return format_percent(frame.runtime, pattern, tuple_value(frame.heap(), frame.raw.positional));
  }
  Dict* dict = frame.heap().make<Dict>();
  for (const NamedValue& argument : frame.raw.named) {
    insert(frame.runtime, *dict, string(argument.name), argument.value);
  }
  return format_percent(frame.runtime, pattern, dict_value(dict));
}

Value escape_filter(CallFrame& frame) {
  if (frame[0].is_string() && frame[0].safe) return frame[0];
  return string_value(frame.heap(), escape_html(text_argument(frame, 0).string()), true);
}

Value force_escape(CallFrame& frame) {
  return string_value(frame.heap(), escape_html(text_argument(frame, 0).string()), true);
}

Value mark_safe(CallFrame& frame) { return string(text_argument(frame, 0).string(), true); }

Value string_filter(CallFrame& frame) { return text_argument(frame, 0); }

// Percent-encodes what is not plain; "/" stays in paths, spaces become "+" in queries.
std::string quote_url(std::string_view text, bool for_query) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = byte < 0x80 && (is_word(byte) || c == '.' || c == '-' || c == '~');
    if (plain || (c == '/' && !for_query)) {
      append(out, std::string_view(&c, 1));
    } else if (c == ' ' && for_query) {
      append(out, "+");
    } else {
      const char code[] = {'%', kHex[byte >> 4], kHex[byte & 15]};
      append(out, std::string_view(code, 3));
    }
  }
  return out;
}

Value urlencode(CallFrame& frame) {
  if (frame[0].is_string() || !is_iterable(frame[0])) {
    return string_value(frame.heap(), quote_url(text_argument(frame, 0).string(), false));
  }
  std::string out;
  const auto pair = [&](const Value& key, const Value& value) {
    if (!out.empty()) append(out, "&");
    append(out, quote_url(to_string(frame.runtime, key).string(), true));
    append(out, "=");
    append(out, quote_url(to_string(frame.runtime, value).string(), true));
  };
  if (frame[0].is(Kind::dict)) {
    for (const DictEntry& entry : frame[0].dict->entries()) pair(entry.key, entry.value);
  } else {
    for (const Value& item : items_of(frame.runtime, frame[0])) {
      if (!is_iterable(item)) raise("cannot unpack non-iterable ", type_name(item), " object");
      const std::span<const Value> both = items_of(frame.runtime, item);
      if (both.size() != 2) raise_unpack(both.size(), 2);
      pair(both[0], both[1]);
    }
  }
  return string_value(frame.heap(), out);
}

Value xmlattr(CallFrame& frame) {
  if (!frame[0].is(Kind::dict)) {
    check_defined(frame[0]);
    raise("'", type_name(frame[0]), "' object has no attribute 'items'");
  }
  std::string out;
  for (const DictEntry& entry : frame[0].dict->entries()) {
    if (entry.value.is_none() || entry.value.is_undefined()) continue;
    if (!entry.key.is_string()) {
      raise("expected string or bytes-like object, got '", type_name(entry.key), "'");
    }
    if (entry.key.string().find_first_of(" \t\n\r\f\v/>=") != std::string_view::npos) {
      raise("Invalid character in attribute name: ", repr_string(entry.key.string()));
    }
    const Value value = to_string(frame.runtime, entry.value);
    if (!out.empty() || truth_argument(frame, 1, true)) append(out, " ");
    append(out, cat(escape_html(entry.key.string()), "=\"",
                    value.safe ? std::string(value.string()) : escape_html(value.string()), "\""));
  }
  return string_value(frame.heap(), out);
}

Value join(CallFrame& frame) {
  std::string out;
  const Value separator = frame.has(1) ? text_argument(frame, 1) : string({});
  bool first = true;
  Iterator* source = iterate(frame.runtime, frame[0]);
  for (Value item; source->next(frame.runtime, item);) {
    if (!first) append(out, separator.string());
    first = false;
    append_str(frame.runtime, out,
               is_given(frame, 2) ? get_path(frame.runtime, item, frame[2], {}) : item);
  }
  return string_value(frame.heap(), out);
}

std::string_view separator(const Value& value) {
  if (!value.is_string()) raise("expected a text as separator, found ", type_name(value));
  return value.string();
}

Value tojson(CallFrame& frame) {
  JsonStyle style;
  style.ascii_only = truth_argument(frame, 1, false);
  if (is_given(frame, 2)) {
    style.has_indent = true;
    style.item_separator = ",";
    if (frame[2].is_string()) {
      style.indent = frame[2].string();
    } else {
      append(style.indent, static_cast<size_t>(std::max<int64_t>(0, integer_argument(frame, 2, 0))),
             ' ');
    }
  }
  if (is_given(frame, 3)) {
    const std::span<const Value> both = items_of(frame.runtime, frame[3]);
    if (both.size() != 2) raise_unpack(both.size(), 2);
    style.item_separator = separator(both[0]);
    style.key_separator = separator(both[1]);
  }
  style.sort_keys = truth_argument(frame, 4, false);
  std::string out;
  append_json(frame.runtime, out, frame[0], style);
  return string_value(frame.heap(), out);
}

Value pprint(CallFrame& frame) { return string_value(frame.heap(), repr(frame.runtime, frame[0])); }

// Tags and comments go away, whitespace becomes single spaces, entities of escape() are undone.
Value striptags(CallFrame& frame) {
  std::string text(text_argument(frame, 0).string());
  const auto cut = [&](std::string_view open, std::string_view close) {
    for (size_t at = text.find(open); at != text.npos; at = text.find(open, at)) {
      const size_t end = text.find(close, at + open.size());
      if (end == text.npos) break;
      text.erase(at, end + close.size() - at);
    }
  };
  cut("<!--", "-->");
  cut("<", ">");
  std::string out;
  for (const std::string_view word : split_words(text, -1, false)) {
    if (!out.empty()) out += ' ';
    out += word;
  }
  struct Entity {
    std::string_view name, text;
  };
  constexpr Entity kEntities[] = {{"&lt;", "<"},        {"&gt;", ">"},  {"&#34;", "\""},
                                  {"&quot;", "\""},     {"&#39;", "'"}, {"&apos;", "'"},
                                  {"&nbsp;", "\u00A0"}, {"&amp;", "&"}};
  for (const Entity& entity : kEntities) out = replace(out, entity.name, entity.text, -1);
  return string_value(frame.heap(), out);
}

const Filter kFilters[] = {
    {"string", {"soft_str", "s"}, string_filter},
    {"trim", {"do_trim", "value chars?"}, trim},
    {"upper", {"do_upper", "s"}, cased<to_upper>},
    {"lower", {"do_lower", "s"}, cased<to_lower>},
    {"capitalize", {"do_capitalize", "s"}, cased<to_capital>},
    {"title", {"do_title", "s"}, cased<title_words>},
    {"replace", {"do_replace", "@ s old new count?"}, replace_filter},
    {"join", {"sync_do_join", "@ value d? attribute?"}, join},
    {"tojson",
     {"_cached_compile_jinja_template.<locals>.tojson",
      "x ensure_ascii? indent? separators? sort_keys?"},
     tojson},
    {"indent", {"do_indent", "s width? first? blank?"}, indent},
    {"truncate", {"do_truncate", "@ s length? killwords? end? leeway?"}, truncate},
    {"wordcount", {"do_wordcount", "s"}, word_count},
    {"center", {"do_center", "value width?"}, center_filter},
    {"format", {"do_format", "value *"}, format_filter},
    {"escape", {"escape", "s /"}, escape_filter},
    {"e", {"escape", "s /"}, escape_filter},
    {"forceescape", {"do_forceescape", "value"}, force_escape},
    {"safe", {"do_mark_safe", "value"}, mark_safe},
    {"striptags", {"do_striptags", "value"}, striptags},
    {"urlencode", {"do_urlencode", "value"}, urlencode},
    {"xmlattr", {"do_xmlattr", "@ d autospace?"}, xmlattr},
    {"pprint", {"do_pprint", "value"}, pprint},
};

}  // namespace

std::span<const Filter> text_filters() { return kFilters; }

}  // namespace spate::jinja
