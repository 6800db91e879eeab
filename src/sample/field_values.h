// JSON values as the values of fields: types and ranges checked, with texts that say what was
// expected and what was found.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/json.h"
#include "base/token.h"

namespace spate {

// The value as an error text shows it: scalars as they stand, cut when long; else the type.
std::string shown(const Json& value);

// All throw Error("expected ..., found ..."). Bounds are inclusive.
double read_number(const Json& value, double least, double most);
int64_t read_integer(const Json& value, int64_t least, int64_t most);
bool read_on_off(const Json& value);
Token read_token(const Json& value);
std::vector<Token> read_tokens(const Json& value);
std::vector<std::string> read_texts(const Json& value);  // a string, or a list; none empty

}  // namespace spate
