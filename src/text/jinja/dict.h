// Python's dict: insertion order, keys of any hashable kind, 1 == 1.0 == True. Small ones are
// searched from front to back, larger ones get an index.
#pragma once

#include "text/jinja/value.h"

namespace spate::jinja {

struct DictEntry {
  Value key, value;
};

struct Dict {
  std::span<DictEntry> storage;  // capacity
  uint32_t size = 0;
  std::span<uint32_t> index;  // open addressing, entry number + 1; empty for small dicts

  std::span<const DictEntry> entries() const { return storage.first(size); }
};

// The entry's value or null. Raises for keys that cannot be hashed, as a list.
const Value* find(Runtime& runtime, const Dict& dict, const Value& key);
const Value* find(const Dict& dict, std::string_view key);
// Replaces the value of an equal key, or appends.
void insert(Runtime& runtime, Dict& dict, const Value& key, const Value& value);

Value dict_value(const Dict* dict);

struct Space {
  Dict attributes;
};

// Raises for names that transformers does not let templates store.
void check_space_name(std::string_view name);

}  // namespace spate::jinja
