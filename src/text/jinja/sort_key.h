// How filters compare: strings without case unless asked.
#pragma once

#include "text/jinja/runtime.h"
#include "text/jinja/unicode.h"
#include "text/jinja/value.h"

namespace spate::jinja {

inline Value sort_key(Runtime& runtime, const Value& value, bool case_sensitive) {
  if (case_sensitive || !value.is_string()) return value;
  return string_value(runtime.heap(), to_lower(value.string()), value.safe);
}

}  // namespace spate::jinja
