// Python's operators on values.
#pragma once

#include "text/jinja/ast.h"
#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

bool truth(const Value& value);
bool equal(Runtime& runtime, const Value& a, const Value& b);
bool same(const Value& a, const Value& b);  // Python's `is`
bool less(Runtime& runtime, const Value& a, const Value& b);
bool compare(Runtime& runtime, Comparison op, const Value& a, const Value& b);
bool contains(Runtime& runtime, const Value& container, const Value& item);

Value binary(Runtime& runtime, BinaryOperator op, const Value& a, const Value& b);
Value add(Runtime& runtime, const Value& a, const Value& b);
Value negative(const Value& value);
Value positive(const Value& value);

// The message of an undefined value, and raising it.
std::string undefined_message(const Value& value);
[[noreturn]] void raise_undefined(const Value& value);
inline void check_defined(const Value& value) {
  if (value.is_undefined()) [[unlikely]]
    raise_undefined(value);
}

std::string escape_html(std::string_view text);

}  // namespace spate::jinja
