#include "text/jinja/repr.h"

#include <charconv>
#include <cmath>

#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/loop.h"
#include "text/jinja/macro.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

void append_hex(std::string& out, char letter, uint32_t code, size_t width) {
  char digits[8];
  const char* end = std::to_chars(digits, digits + 8, code, 16).ptr;
  out += '\\';
  out += letter;
  out.append(width - static_cast<size_t>(end - digits), '0');
  out.append(static_cast<const char*>(digits), end);
}

void append_escaped(std::string& out, char32_t c) {
  if (c <= 0xFF) {
    append_hex(out, 'x', c, 2);
  } else if (c <= 0xFFFF) {
    append_hex(out, 'u', c, 4);
  } else {
    append_hex(out, 'U', c, 8);
  }
}

void append_items(Runtime& runtime, std::string& out, std::span<const Value> items) {
  bool first = true;
  for (const Value& item : items) {
    if (!first) append(out, ", ");
    first = false;
    append_repr(runtime, out, item);
  }
}

void append_dict(Runtime& runtime, std::string& out, const Dict& dict) {
  append(out, "{");
  bool first = true;
  for (const DictEntry& entry : dict.entries()) {
    if (!first) append(out, ", ");
    first = false;
    append_repr(runtime, out, entry.key);
    append(out, ": ");
    append_repr(runtime, out, entry.value);
  }
  append(out, "}");
}

void append_view(Runtime& runtime, std::string& out, const View& view) {
  append(out, view.what == View::What::keys     ? "dict_keys(["
              : view.what == View::What::values ? "dict_values(["
                                                : "dict_items([");
  bool first = true;
  for (const DictEntry& entry : view.dict->entries()) {
    if (!first) append(out, ", ");
    first = false;
    if (view.what == View::What::items) append(out, "(");
    if (view.what != View::What::values) append_repr(runtime, out, entry.key);
    if (view.what == View::What::items) append(out, ", ");
    if (view.what != View::What::keys) append_repr(runtime, out, entry.value);
    if (view.what == View::What::items) append(out, ")");
  }
  append(out, "])");
}

}  // namespace

std::string repr_string(std::string_view text) {
  const bool has_single = text.find('\'') != text.npos, has_double = text.find('"') != text.npos;
  const char mark = has_single && !has_double ? '"' : '\'';
  std::string out(1, mark);
  for (size_t at = 0; at < text.size();) {
    const size_t start = at;
    const char32_t c = read_code_point(text, at);
    if (c == static_cast<unsigned char>(mark) || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\r') {
      out += "\\r";
    } else if (c == '\t') {
      out += "\\t";
    } else if (is_printable(c)) {
      out.append(text.substr(start, at - start));
    } else {
      append_escaped(out, c);
    }
  }
  out += mark;
  return out;
}

std::string repr_number(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  // The shortest digits that read back as this number, then Python's choice of notation.
  char scientific[40];
  const char* end = std::to_chars(scientific, scientific + sizeof scientific, value,
                                  std::chars_format::scientific)
                        .ptr;
  const std::string_view text(scientific, static_cast<size_t>(end - scientific));
  const size_t mark = text.find('e');
  int exponent = 0;
  const char* digits = text.data() + mark + (text[mark + 1] == '+' ? 2 : 1);
  std::from_chars(digits, end, exponent);
  if (exponent < -4 || exponent >= 16) return std::string(text);
  char fixed[64];
  end = std::to_chars(fixed, fixed + sizeof fixed, value, std::chars_format::fixed).ptr;
  std::string result(static_cast<const char*>(fixed), end);
  if (result.find('.') == result.npos) result += ".0";
  return result;
}

void append_repr(Runtime& runtime, std::string& out, const Value& value) {
  runtime.step();
  const Runtime::Level level(runtime);
  switch (value.kind) {
    case Kind::string:
      if (value.safe) append(out, "Markup(");
      append(out, repr_string(value.string()));
      if (value.safe) append(out, ")");
      break;
    case Kind::undefined: append(out, "Undefined"); break;
    case Kind::list:
      append(out, "[");
      append_items(runtime, out, value.list->items);
      append(out, "]");
      break;
    case Kind::tuple:
      append(out, "(");
      append_items(runtime, out, value.list->items);
      append(out, value.list->items.size() == 1 ? ",)" : ")");
      break;
    case Kind::dict: append_dict(runtime, out, *value.dict); break;
    case Kind::view: append_view(runtime, out, *value.view); break;
    case Kind::space:
      append(out, "<Namespace ");
      append_dict(runtime, out, value.space->attributes);
      append(out, ">");
      break;
    default: append_str(runtime, out, value);
  }
}

void append_str(Runtime& runtime, std::string& out, const Value& value) {
  switch (value.kind) {
    case Kind::missing:
    case Kind::undefined: break;
    case Kind::none: append(out, "None"); break;
    case Kind::boolean: append(out, value.truth ? "True" : "False"); break;
    case Kind::integer: append(out, std::to_string(value.integer)); break;
    case Kind::number: append(out, repr_number(value.number)); break;
    case Kind::string: append(out, value.string()); break;
    case Kind::range: {
      const Range& range = *value.range;
      append(out, cat("range(", range.start, ", ", range.stop));
      if (range.step != 1) append(out, cat(", ", range.step));
      append(out, ")");
      break;
    }
    case Kind::iterator: append(out, cat("<", value.iterator->type_name(), " object>")); break;
    case Kind::loop:
      append(out,
             cat("<LoopContext ", value.loop->index0() + 1, "/", value.loop->length(runtime), ">"));
      break;
    case Kind::macro:
      append(out, value.macro->definition->name.empty()
                      ? "<Macro anonymous>"
                      : cat("<Macro ", repr_string(value.macro->definition->name), ">"));
      break;
    case Kind::function: append(out, cat("<function ", value.function->name, ">")); break;
    case Kind::method:
      append(out, cat("<built-in method ", value.method->entry->name, " of ",
                      type_name(value.method->receiver), " object>"));
      break;
    case Kind::cycler: append(out, "<jinja2.utils.Cycler object>"); break;
    case Kind::joiner: append(out, "<jinja2.utils.Joiner object>"); break;
    default: append_repr(runtime, out, value);
  }
}

std::string repr(Runtime& runtime, const Value& value) {
  std::string out;
  append_repr(runtime, out, value);
  return out;
}

std::string ascii_repr(Runtime& runtime, const Value& value) {
  const std::string text = repr(runtime, value);
  if (is_ascii(text)) return text;
  std::string out;
  for (const char32_t c : decode(text)) {
    if (c < 0x80) {
      out += static_cast<char>(c);
    } else {
      append_escaped(out, c);
    }
  }
  return out;
}

Value to_string(Runtime& runtime, const Value& value) {
  if (value.is_string()) return value;
  std::string out;
  append_str(runtime, out, value);
  return string_value(runtime.heap(), out);
}

}  // namespace spate::jinja
