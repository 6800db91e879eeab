// Calling things by Python's rules: positional and named arguments, signatures, and the tables of
// filters, tests, globals and methods.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

struct NamedValue {
  std::string_view name;
  Value value;
};

struct Arguments {
  std::span<const Value> positional;
  std::span<const NamedValue> named;
};

// Parameters of a Python function, written as "value old new count?": names in order, a question
// mark behind those that may be left out. A leading "@" counts as one argument more in messages
// (jinja2 passes its context to some filters); "*" takes any arguments as they are; "/" marks a
// function that Python has in C, without names for its arguments and with messages of its own.
struct Signature {
  static constexpr size_t kMost = 7;

  std::string_view function;  // Python's name of it, in messages
  std::array<std::string_view, kMost> names{};
  size_t count = 0, required = 0, hidden = 0;
  bool any = false, in_c = false;

  constexpr Signature(std::string_view python_name, std::string_view parameters)
      : function(python_name) {
    while (!parameters.empty()) {
      const size_t space = parameters.find(' ');
      std::string_view word = parameters.substr(0, space);
      parameters = space == parameters.npos ? std::string_view() : parameters.substr(space + 1);
      if (word == "@") {
        ++hidden;
      } else if (word == "*") {
        any = true;
      } else if (word == "/") {
        in_c = true;
      } else {
        if (word.back() == '?') {
          word.remove_suffix(1);
        } else {
          ++required;
        }
        names[count++] = word;
      }
    }
  }
};

// What a function gets: one value a parameter, missing where none was given; `raw` for functions
// that take any arguments.
struct CallFrame {
  Runtime& runtime;
  std::array<Value, Signature::kMost> values{};
  Arguments raw;

  const Value& operator[](size_t i) const { return values[i]; }
  bool has(size_t i) const { return !values[i].is_missing(); }
  Heap& heap() const { return runtime.heap(); }
};

using Implementation = Value (*)(CallFrame&);

struct Filter {  // the first value is what is filtered
  std::string_view name;
  Signature signature;
  Implementation apply;
};

struct Test {
  std::string_view name;
  Signature signature;
  bool (*holds)(CallFrame&);
};

struct Function {  // a global
  std::string_view name;
  Signature signature;
  Implementation call;
  bool is_type = false;  // what Python calls it in messages
};

struct MethodEntry {  // the first value is the receiver
  std::string_view name;
  Signature signature;
  Implementation call;  // null: jinja2's sandbox does not let templates have it
};

struct Method {
  Value receiver;
  const MethodEntry* entry;
};

// Binds arguments to the signature, or raises Python's TypeError. `first`, when not missing, comes
// before the positional ones.
void bind(const Signature& signature, const Value& first, const Arguments& arguments,
          CallFrame& frame);

Value apply_filter(Runtime& runtime, const Filter& filter, const Value& value,
                   const Arguments& arguments);
bool apply_test(Runtime& runtime, const Test& test, const Value& value, const Arguments& arguments);

// By name; null when there is none.
const Filter* find_filter(std::string_view name);
const Test* find_test(std::string_view name);
Value find_global(std::string_view name);  // missing when there is none

// The tables, one a file.
std::span<const Filter> text_filters();
std::span<const Filter> sequence_filters();
std::span<const Filter> lazy_filters();
std::span<const Filter> number_filters();
std::span<const MethodEntry> string_methods();
std::span<const MethodEntry> container_methods(Kind kind);  // of list, tuple, dict, range, numbers

}  // namespace spate::jinja
