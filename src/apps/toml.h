// The part of TOML that configuration files need: comments, [tables], keys, and as values texts
// (all four kinds), whole numbers, numbers, booleans and lists of these. No dates, no dotted keys,
// no inline tables; each is refused with its line. Own code, because toml++ 3.3 runs into undefined
// behaviour on malformed keys and numbers, and CLI11's reader cannot tell lines.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace spate {

struct TomlItem {
  int64_t line = 0;   // 1-based
  std::string table;  // "engine"; empty before the first [table]
  std::string key;
  Json value;        // a string, integer, number, boolean, or an array of these
  std::string text;  // the value as it stands there, for numbers
};

// Throws Error "<name>:<line>: ..." (exit code 2).
std::vector<TomlItem> parse_toml(std::string_view text, const std::string& name);

std::string toml_string(std::string_view text);  // as a quoted TOML text

}  // namespace spate
