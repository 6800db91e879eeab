// Searching and cutting texts as Python's str does; shared by methods and filters.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/calls.h"
#include "text/jinja/runtime.h"

namespace spate::jinja {

// Pieces are parts of `text`; `most` cuts at most that many times when it is not negative.
std::vector<std::string_view> split(std::string_view text, std::string_view separator, int64_t most,
                                    bool from_right);
std::vector<std::string_view> split_words(std::string_view text, int64_t most, bool from_right);
Value pieces_value(Runtime& runtime, const std::vector<std::string_view>& pieces, bool safe);

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t most);
int64_t count(std::string_view text, std::string_view wanted);
std::string center(std::string_view text, int64_t width, char32_t fill);

// The part of a text that the optional arguments [start, end) of find and its like choose.
struct Window {
  std::string_view text;
  int64_t start = 0;  // in code points
  bool valid = true;  // false: start is past the end, where not even "" is found
};
Window find_window(std::string_view text, const CallFrame& frame, size_t first_argument);

}  // namespace spate::jinja
