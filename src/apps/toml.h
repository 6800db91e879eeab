// TOML as configuration files use it: keys with values, grouped by [tables]. toml++ reads it, in
// toml.cc alone.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace spate {

struct TomlItem {
  int64_t line = 0;  // 1-based
  std::string key;   // without its table
  Json value;        // a string, integer, number, boolean, or an array of these
};

// In the order of the file. Tables only group: those in tables, dates, and lists of lists or tables
// have no meaning here and are refused. Throws Error "<name>:<line>: ..." (exit code 2).
std::vector<TomlItem> parse_toml(std::string_view text, const std::string& name);

std::string toml_string(std::string_view text);  // as a quoted TOML text

}  // namespace spate
