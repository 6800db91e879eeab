#include "text/jinja/json_text.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/dict.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

class JsonWriter {
 public:
  JsonWriter(Runtime& runtime, std::string& out, const JsonStyle& style)
      : runtime_(runtime), out_(out), style_(style) {}

  void value(const Value& value) {
    runtime_.step();
    const Runtime::Level level(runtime_);
    switch (value.kind) {
      case Kind::none: append(out_, "null"); break;
      case Kind::boolean: append(out_, value.truth ? "true" : "false"); break;
      case Kind::integer: append(out_, std::to_string(value.integer)); break;
      case Kind::number: append(out_, number_text(value.number)); break;
      case Kind::string: text(value.string()); break;
      case Kind::list:
      case Kind::tuple: array(value.list->items); break;
      case Kind::dict: object(*value.dict); break;
      default: raise("Object of type ", type_name(value), " is not JSON serializable");
    }
  }

 private:
  static std::string number_text(double number) {
    if (std::isnan(number)) return "NaN";
    if (std::isinf(number)) return number > 0 ? "Infinity" : "-Infinity";
    return repr_number(number);
  }

  void line(int depth) {
    if (!style_.has_indent) return;
    append(out_, "\n");
    for (int i = 0; i < depth; ++i) append(out_, style_.indent);
  }

  void array(std::span<const Value> items) {
    if (items.empty()) return append(out_, "[]");
    append(out_, "[");
    ++depth_;
    for (size_t i = 0; i < items.size(); ++i) {
      if (i > 0) append(out_, style_.item_separator);
      line(depth_);
      value(items[i]);
    }
    line(--depth_);
    append(out_, "]");
  }

  void object(const Dict& dict) {
    if (dict.size == 0) return append(out_, "{}");
    std::vector<DictEntry> entries(dict.entries().begin(), dict.entries().end());
    if (style_.sort_keys) {
      std::stable_sort(entries.begin(), entries.end(),
                       [&](const auto& a, const auto& b) { return less(runtime_, a.key, b.key); });
    }
    append(out_, "{");
    ++depth_;
    bool first = true;
    for (const DictEntry& entry : entries) {
      if (!first) append(out_, style_.item_separator);
      first = false;
      line(depth_);
      key(entry.key);
      append(out_, style_.key_separator);
      value(entry.value);
    }
    line(--depth_);
    append(out_, "}");
  }

  void key(const Value& key) {
    switch (key.kind) {
      case Kind::string: return text(key.string());
      case Kind::none: return append(out_, "\"null\"");
      case Kind::boolean: return append(out_, key.truth ? "\"true\"" : "\"false\"");
      case Kind::integer: return append(out_, cat('"', key.integer, '"'));
      case Kind::number: return append(out_, cat('"', number_text(key.number), '"'));
      default: raise("keys must be str, int, float, bool or None, not ", type_name(key));
    }
  }

  void unicode_escape(uint32_t unit) {
    constexpr char kHex[] = "0123456789abcdef";
    const char escape[] = {'\\',
                           'u',
                           kHex[(unit >> 12) & 15],
                           kHex[(unit >> 8) & 15],
                           kHex[(unit >> 4) & 15],
                           kHex[unit & 15]};
    append(out_, std::string_view(escape, sizeof escape));
  }

  void text(std::string_view text) {
    append(out_, "\"");
    size_t plain = 0;  // start of what needs no escape
    for (size_t at = 0; at < text.size();) {
      const auto c = static_cast<unsigned char>(text[at]);
      const bool wide = c >= 0x80 && style_.ascii_only;
      if (c >= 0x20 && c != '"' && c != '\\' && !wide) {
        ++at;
        continue;
      }
      append(out_, text.substr(plain, at - plain));
      if (wide) {
        const uint32_t code = read_code_point(text, at);
        if (code > 0xFFFF) unicode_escape(0xD800 + ((code - 0x10000) >> 10));
        unicode_escape(code > 0xFFFF ? 0xDC00 + ((code - 0x10000) & 0x3FF) : code);
      } else {
        escape(c);
        ++at;
      }
      plain = at;
    }
    append(out_, text.substr(plain));
    append(out_, "\"");
  }

  void escape(unsigned char c) {
    switch (c) {
      case '"': append(out_, "\\\""); break;
      case '\\': append(out_, "\\\\"); break;
      case '\b': append(out_, "\\b"); break;
      case '\f': append(out_, "\\f"); break;
      case '\n': append(out_, "\\n"); break;
      case '\r': append(out_, "\\r"); break;
      case '\t': append(out_, "\\t"); break;
      default: unicode_escape(c);
    }
  }

  Runtime& runtime_;
  std::string& out_;
  const JsonStyle& style_;
  int depth_ = 0;
};

}  // namespace

void append_json(Runtime& runtime, std::string& out, const Value& value, const JsonStyle& style) {
  JsonWriter(runtime, out, style).value(value);
}

}  // namespace spate::jinja
