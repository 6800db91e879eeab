// Arguments of filters and methods as plain C++ values, with Python's errors for wrong types.
#pragma once

#include "text/jinja/calls.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"

namespace spate::jinja {

inline int64_t integer_argument(const CallFrame& frame, size_t i, int64_t otherwise) {
  if (!frame.has(i)) return otherwise;
  check_defined(frame[i]);
  if (!frame[i].is_integral()) {
    raise("'", type_name(frame[i]), "' object cannot be interpreted as an integer");
  }
  return frame[i].as_integer();
}

inline bool truth_argument(const CallFrame& frame, size_t i, bool otherwise) {
  return frame.has(i) ? truth(frame[i]) : otherwise;
}

inline bool is_given(const CallFrame& frame, size_t i) {
  return frame.has(i) && !frame[i].is_none();
}

// str(value) of the argument.
inline Value text_argument(const CallFrame& frame, size_t i) {
  return to_string(frame.runtime, frame[i]);
}

}  // namespace spate::jinja
