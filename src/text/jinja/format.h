// Python's text formatting: "..." % values, "...".format(values), and format specifications.
#pragma once

#include "text/jinja/calls.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

Value format_percent(Runtime& runtime, const Value& pattern, const Value& arguments);
Value format_braces(Runtime& runtime, const Value& pattern, const Arguments& arguments);

// format(value, "08.3f")
std::string format_value(Runtime& runtime, const Value& value, std::string_view specification);

}  // namespace spate::jinja
