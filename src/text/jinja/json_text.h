// The filter tojson: Python's json.dumps.
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

struct JsonStyle {
  bool ascii_only = false;
  bool sort_keys = false;
  bool has_indent = false;
  std::string indent;  // of one level
  std::string_view item_separator = ", ";
  std::string_view key_separator = ": ";
};

void append_json(Runtime& runtime, std::string& out, const Value& value, const JsonStyle& style);

}  // namespace spate::jinja
