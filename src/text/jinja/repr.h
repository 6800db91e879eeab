// Values as text: Python's str() and repr().
#pragma once

#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

void append_str(Runtime& runtime, std::string& out, const Value& value);
void append_repr(Runtime& runtime, std::string& out, const Value& value);
std::string repr(Runtime& runtime, const Value& value);

// str(value) as a string value; strings stay what they are.
Value to_string(Runtime& runtime, const Value& value);

std::string repr_string(std::string_view text);                // 'it', "it's"
std::string ascii_repr(Runtime& runtime, const Value& value);  // Python's ascii()
std::string repr_number(double value);                         // 0.1, 1e+16, inf

}  // namespace spate::jinja
