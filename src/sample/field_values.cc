#include "sample/field_values.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"

namespace spate {
namespace {

template <class... Parts>
[[noreturn]] void expected(const Json& found, const Parts&... parts) {
  fail("expected ", parts..., ", found ", shown(found));
}

// 5 and 5.0 are the same number to most JSON writers.
bool is_whole(const Json& value) {
  if (value.is_integer()) return true;
  if (!value.is_number()) return false;
  constexpr double kExact = 9007199254740992.0;  // 2^53: beyond, doubles skip whole numbers
  const double number = value.as_number();
  return std::abs(number) <= kExact && std::floor(number) == number;
}

}  // namespace

std::string shown(const Json& value) {
  if (value.is_array() || value.is_object()) return std::string(type_name(value.type()));
  constexpr size_t kLongest = 60;
  std::string text = value.dump();
  if (text.size() > kLongest) text = text.substr(0, kLongest) + "...";
  return text;
}

double read_number(const Json& value, double least, double most) {
  if (!value.is_number()) expected(value, "a number from ", least, " to ", most);
  const double number = value.as_number();
  if (!(number >= least && number <= most)) {
    expected(value, "a number from ", least, " to ", most);
  }
  return number;
}

int64_t read_integer(const Json& value, int64_t least, int64_t most) {
  if (is_whole(value) && value.as_integer() >= least && value.as_integer() <= most) {
    return value.as_integer();
  }
  const bool open = most == std::numeric_limits<int64_t>::max();
  expected(value, "a whole number",
           least == std::numeric_limits<int64_t>::min() ? " of 64 bits"
           : open                                       ? cat(" from ", least, " on")
                                                        : cat(" from ", least, " to ", most));
}

bool read_on_off(const Json& value) {
  if (!value.is_bool()) expected(value, "true or false");
  return value.as_bool();
}

Token read_token(const Json& value) {
  constexpr int64_t kMost = std::numeric_limits<Token>::max();
  if (!is_whole(value) || value.as_integer() < 0 || value.as_integer() > kMost) {
    expected(value, "a token id");
  }
  return static_cast<Token>(value.as_integer());
}

std::vector<Token> read_tokens(const Json& value) {
  if (!value.is_array()) expected(value, "a list of token ids");
  std::vector<Token> tokens;
  tokens.reserve(value.as_array().size());
  for (const Json& entry : value.as_array()) tokens.push_back(read_token(entry));
  return tokens;
}

std::vector<std::string> read_texts(const Json& value) {
  const auto read_one = [](const Json& entry) {
    if (!entry.is_string()) expected(entry, "a string");
    if (entry.as_string().empty()) fail("expected texts that are not empty, found an empty one");
    return entry.as_string();
  };
  if (value.is_string()) return {read_one(value)};
  if (!value.is_array()) expected(value, "a string or a list of strings");
  std::vector<std::string> texts;
  for (const Json& entry : value.as_array()) texts.push_back(read_one(entry));
  return texts;
}

}  // namespace spate
