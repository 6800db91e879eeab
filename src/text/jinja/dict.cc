#include "text/jinja/dict.h"

#include <algorithm>
#include <cmath>
#include <functional>

#include "text/jinja/operators.h"
#include "text/jinja/runtime.h"

namespace spate::jinja {
namespace {

constexpr uint32_t kIndexed = 12;  // entries from which on an index pays

size_t mix(int64_t number) {
  uint64_t bits = static_cast<uint64_t>(number);
  bits = (bits ^ (bits >> 32)) * 0x9E3779B97F4A7C15ULL;
  return bits ^ (bits >> 29);
}

// Equal values have equal hashes: 1, 1.0 and True.
size_t hash(Runtime& runtime, const Value& value) {
  const Runtime::Level level(runtime);
  switch (value.kind) {
    case Kind::boolean:
    case Kind::integer: return mix(value.as_integer());
    case Kind::number: {
      const bool whole = std::abs(value.number) < 9e18 && value.number == std::floor(value.number);
      return whole ? mix(static_cast<int64_t>(value.number)) : std::hash<double>()(value.number);
    }
    case Kind::string: return std::hash<std::string_view>()(value.string());
    case Kind::tuple: {
      size_t result = value.list->items.size();
      for (const Value& item : value.list->items) {
        runtime.step();
        result = result * 1000003 + hash(runtime, item);
      }
      return result;
    }
    case Kind::list:
    case Kind::dict: raise("unhashable type: '", type_name(value), "'");
    case Kind::none:
    case Kind::undefined: return static_cast<size_t>(value.kind);
    default: return std::hash<const void*>()(value.text);
  }
}

bool is_plain_string(const Value& a, const Value& b) { return a.is_string() && b.is_string(); }

bool same_key(Runtime& runtime, const Value& a, const Value& b) {
  return is_plain_string(a, b) ? a.string() == b.string() : equal(runtime, a, b);
}

// The entry number, or the dict's size.
uint32_t locate(Runtime& runtime, const Dict& dict, const Value& key) {
  if (dict.index.empty()) {
    if (!key.is_string()) hash(runtime, key);  // only to refuse what cannot be a key
    for (uint32_t i = 0; i < dict.size; ++i) {
      if (same_key(runtime, dict.storage[i].key, key)) return i;
    }
    return dict.size;
  }
  const size_t mask = dict.index.size() - 1;
  for (size_t at = hash(runtime, key) & mask; dict.index[at] != 0; at = (at + 1) & mask) {
    const uint32_t entry = dict.index[at] - 1;
    if (same_key(runtime, dict.storage[entry].key, key)) return entry;
  }
  return dict.size;
}

void put_in_index(Runtime& runtime, Dict& dict, uint32_t entry) {
  const size_t mask = dict.index.size() - 1;
  size_t at = hash(runtime, dict.storage[entry].key) & mask;
  while (dict.index[at] != 0) at = (at + 1) & mask;
  dict.index[at] = entry + 1;
}

void grow(Runtime& runtime, Dict& dict) {
  const size_t capacity = std::max<size_t>(4, dict.storage.size() * 2);
  const std::span<DictEntry> larger = runtime.heap().array<DictEntry>(capacity);
  std::copy_n(dict.storage.begin(), dict.size, larger.begin());
  dict.storage = larger;
  if (capacity <= kIndexed) return;
  size_t places = 1;
  while (places < capacity * 2) places *= 2;
  dict.index = runtime.heap().array<uint32_t>(places);
  for (uint32_t i = 0; i < dict.size; ++i) put_in_index(runtime, dict, i);
}

}  // namespace

const Value* find(Runtime& runtime, const Dict& dict, const Value& key) {
  const uint32_t entry = locate(runtime, dict, key);
  return entry == dict.size ? nullptr : &dict.storage[entry].value;
}

const Value* find(const Dict& dict, std::string_view key) {
  if (dict.index.empty()) {
    for (const DictEntry& entry : dict.entries()) {
      if (entry.key.is_string() && entry.key.string() == key) return &entry.value;
    }
    return nullptr;
  }
  const size_t mask = dict.index.size() - 1;
  for (size_t at = std::hash<std::string_view>()(key) & mask; dict.index[at] != 0;
       at = (at + 1) & mask) {
    const DictEntry& entry = dict.storage[dict.index[at] - 1];
    if (entry.key.is_string() && entry.key.string() == key) return &entry.value;
  }
  return nullptr;
}

void insert(Runtime& runtime, Dict& dict, const Value& key, const Value& value) {
  const uint32_t entry = locate(runtime, dict, key);
  if (entry < dict.size) {
    dict.storage[entry].value = value;
    return;
  }
  if (dict.size == dict.storage.size()) grow(runtime, dict);
  dict.storage[dict.size] = {key, value};
  ++dict.size;
  if (!dict.index.empty()) put_in_index(runtime, dict, dict.size - 1);
}

}  // namespace spate::jinja
