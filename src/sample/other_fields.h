// Members of a request that are not sampling fields of ours: read by others or without effect, and
// those that other engines know but that cannot be served here.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"

namespace spate {

// Names that a request may have and that do not concern sampling.
bool is_elsewhere(std::string_view name);

// A field of other engines that is not offered.
struct Unsupported {
  std::string_view name;
  std::string_view hint;
  std::string_view neutral;  // values that ask for nothing, as JSON; "off": see other_fields.cc
};

const Unsupported* find_unsupported(std::string_view name);  // null when it is none of them
bool asks_for_nothing(const Unsupported& field, const Json& value);

}  // namespace spate
