// Backslash escapes in string literals of templates, as Python's "unicode-escape" reads them.
#pragma once

#include <string>
#include <string_view>

namespace spate::jinja {

// Raises a Failure with `line` for an escape that is cut short.
std::string unescape(std::string_view text, int line);

}  // namespace spate::jinja
