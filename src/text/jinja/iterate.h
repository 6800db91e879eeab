// Reading values item by item, as Python's iter() and list() do.
#pragma once

#include <vector>

#include "text/jinja/runtime.h"
#include "text/jinja/value.h"

namespace spate::jinja {

// Raises "'int' object is not iterable". Iterators give themselves.
Iterator* iterate(Runtime& runtime, const Value& value);
bool is_iterable(const Value& value);

// All items; those of lists and tuples are not copied.
std::span<const Value> items_of(Runtime& runtime, const Value& value);

// len(value), or -1 for values without one.
int64_t length_of(const Value& value);

// When `found` items cannot be put into `expected` names.
[[noreturn]] void raise_unpack(size_t found, size_t expected);

// One code point of a string as a string value.
Value character_at(std::string_view text, size_t& at, bool safe);

// Reads a list from the end to the front.
Value reversed(Runtime& runtime, std::span<const Value> items, std::string_view type_name);

Value iterator_value(Iterator* iterator);

}  // namespace spate::jinja
