#include "text/jinja/lookup.h"

#include <algorithm>
#include <charconv>
#include <limits>

#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/loop.h"
#include "text/jinja/macro.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

// What every Python object has and no template may see.
constexpr std::string_view kHidden[] = {
    "__class__",         "__delattr__",      "__dir__",         "__doc__",     "__eq__",
    "__format__",        "__ge__",           "__gt__",          "__hash__",    "__init__",
    "__init_subclass__", "__le__",           "__lt__",          "__ne__",      "__new__",
    "__reduce__",        "__reduce_ex__",    "__repr__",        "__setattr__", "__sizeof__",
    "__str__",           "__subclasshook__", "__getattribute__"};

Value unsafe_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  const std::string hint = cat("access to attribute ", repr_string(name), " of ",
                               repr_string(type_name(object)), " object is unsafe.");
  return undefined_value(runtime.heap(), runtime.heap().copy(hint), object, string(name));
}

Value macro_attribute(Runtime& runtime, const Macro& macro, std::string_view name) {
  const MacroDefinition& definition = *macro.definition;
  if (name == "name") return definition.name.empty() ? none() : string(definition.name);
  if (name == "catch_kwargs") return boolean(definition.kwargs_slot >= 0);
  if (name == "catch_varargs") return boolean(definition.varargs_slot >= 0);
  if (name == "caller") return boolean(definition.caller_slot >= 0);
  if (name != "arguments") return {};
  std::vector<Value> names;
  for (const Parameter& parameter : definition.parameters) {
    names.push_back(string(parameter.name->name));
  }
  return tuple_value(runtime.heap(), names);
}

Value range_attribute(const Range& range, std::string_view name) {
  if (name == "start") return integer(range.start);
  if (name == "stop") return integer(range.stop);
  if (name == "step") return integer(range.step);
  return {};
}

Value number_attribute(const Value& value, std::string_view name) {
  if (name == "real") return value.is(Kind::number) ? value : integer(value.as_integer());
  if (name == "imag") return value.is(Kind::number) ? number(0) : integer(0);
  if (value.is_integral() && name == "numerator") return integer(value.as_integer());
  if (value.is_integral() && name == "denominator") return integer(1);
  return {};
}

Value cycler_attribute(Runtime& runtime, const Cycler& cycler, std::string_view name) {
  if (name == "current") return cycler.items[cycler.position];
  if (name == "pos") return integer(static_cast<int64_t>(cycler.position));
  if (name == "items") return tuple_value(runtime.heap(), cycler.items);
  return {};
}

Value data_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  switch (object.kind) {
    case Kind::boolean:
    case Kind::integer:
    case Kind::number: return number_attribute(object, name);
    case Kind::tuple:
      if (object.list->group && name == "grouper") return object.list->items[0];
      if (object.list->group && name == "list") return object.list->items[1];
      return {};
    case Kind::range: return range_attribute(*object.range, name);
    case Kind::loop: return object.loop->attribute(runtime, name);
    case Kind::macro: return macro_attribute(runtime, *object.macro, name);
    case Kind::cycler: return cycler_attribute(runtime, *object.cycler, name);
    case Kind::joiner:
      if (name == "sep") return object.joiner->separator;
      if (name == "used") return boolean(object.joiner->used);
      return {};
    case Kind::view:
      if (name == "mapping") return dict_value(object.view->dict);
      return {};
    default: return {};
  }
}

const MethodEntry* find_method(const Value& object, std::string_view name) {
  const bool is_dict_function = object.is(Kind::function) && object.function->name == "dict";
  const std::span<const MethodEntry> table = object.is_string() ? string_methods()
                                             : is_dict_function ? container_methods(Kind::dict)
                                                                : container_methods(object.kind);
  if (is_dict_function && name != "fromkeys") return nullptr;
  for (const MethodEntry& entry : table) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

int64_t clamp_index(const Value& key, int64_t length) {
  const int64_t index = key.as_integer();
  return index < 0 ? index + length : index;
}

// The element, or missing where Python raises TypeError or LookupError.
Value find_item(Runtime& runtime, const Value& object, const Value& key) {
  switch (object.kind) {
    case Kind::undefined: raise_undefined(object);
    case Kind::dict: {
      if (key.is(Kind::list) || key.is(Kind::dict)) return {};
      const Value* found = find(runtime, *object.dict, key);
      return found == nullptr ? Value{} : *found;
    }
    case Kind::list:
    case Kind::tuple: {
      if (!key.is_integral()) return {};
      const std::span<const Value> items = object.list->items;
      const int64_t index = clamp_index(key, static_cast<int64_t>(items.size()));
      if (index < 0 || index >= static_cast<int64_t>(items.size())) return {};
      return items[static_cast<size_t>(index)];
    }
    case Kind::range: {
      if (!key.is_integral()) return {};
      const int64_t index = clamp_index(key, object.range->length);
      return index < 0 || index >= object.range->length ? Value{} : integer((*object.range)[index]);
    }
    case Kind::string: {
      if (!key.is_integral()) return {};
      const std::string_view text = object.string();
      const auto length = static_cast<int64_t>(count_code_points(text));
      const int64_t index = clamp_index(key, length);
      if (index < 0 || index >= length) return {};
      size_t at = byte_offset(text, static_cast<size_t>(index));
      return character_at(text, at, object.safe);
    }
    default: return {};
  }
}

}  // namespace

Value find_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  if (object.is(Kind::space)) {
    const Value* found = find(object.space->attributes, name);
    return found == nullptr ? Value{} : *found;
  }
  if (name.starts_with("_")) {
    for (const std::string_view hidden : kHidden) {
      if (hidden == name) return unsafe_attribute(runtime, object, name);
    }
    return {};
  }
  const Value data = data_attribute(runtime, object, name);
  if (!data.is_missing()) return data;
  const MethodEntry* method = find_method(object, name);
  if (method == nullptr) return {};
  if (method->call == nullptr) return unsafe_attribute(runtime, object, name);
  Value value;
  value.kind = Kind::method;
  value.method = runtime.heap().make<Method>(object, method);
  return value;
}

Value get_attribute(Runtime& runtime, const Value& object, std::string_view name) {
  check_defined(object);
  Value found = find_attribute(runtime, object, name);
  if (found.is_missing() && object.is(Kind::dict)) {
    if (const Value* value = find(*object.dict, name)) return *value;
  }
  if (!found.is_missing()) return found;
  return undefined_value(runtime.heap(), {}, object, string(name));
}

Value get_item(Runtime& runtime, const Value& object, const Value& key) {
  Value found = find_item(runtime, object, key);
  if (found.is_missing() && key.is_string()) found = find_attribute(runtime, object, key.string());
  if (!found.is_missing()) return found;
  return undefined_value(runtime.heap(), {}, object, key);
}

namespace {

struct Cut {
  int64_t start, step, count;
};

int64_t slice_index(const Value& value, int64_t otherwise) {
  if (value.is_missing() || value.is_none()) return otherwise;
  if (!value.is_integral()) {
    raise("slice indices must be integers or None or have an __index__ method");
  }
  return value.as_integer();
}

Cut cut(const Value& start, const Value& stop, const Value& step, int64_t length) {
  const int64_t by = slice_index(step, 1);
  if (by == 0) raise("slice step cannot be zero");
  const int64_t lowest = by > 0 ? 0 : -1, highest = by > 0 ? length : length - 1;
  const auto bound = [&](const Value& value, int64_t otherwise) {
    if (value.is_missing() || value.is_none()) return otherwise;
    int64_t index = slice_index(value, 0);
    if (index < 0) index = index < -length ? lowest : index + length;
    return std::clamp(index, lowest, highest);
  };
  const int64_t first = bound(start, by > 0 ? 0 : length - 1);
  const int64_t last = bound(stop, by > 0 ? length : -1);
  int64_t count = 0;
  if (by > 0 && first < last) {
    count = (last - first - 1) / by + 1;
  } else if (by < 0 && last < first) {
    const uint64_t distance = static_cast<uint64_t>(first - last - 1);
    count = static_cast<int64_t>(distance / (uint64_t{0} - static_cast<uint64_t>(by))) + 1;
  }
  return {first, by, count};
}

Value slice_string(Runtime& runtime, const Value& object, const Cut& part) {
  const std::string_view text = object.string();
  if (part.count == 0) return string({}, object.safe);
  if (part.step == 1) {
    const size_t begin = byte_offset(text, static_cast<size_t>(part.start));
    const size_t bytes = byte_offset(text.substr(begin), static_cast<size_t>(part.count));
    return string(text.substr(begin, bytes), object.safe);
  }
  const std::u32string points = decode(text);
  runtime.step(part.count);
  std::string out;
  for (int64_t i = 0; i < part.count; ++i) {
    append_code_point(out, points[static_cast<size_t>(part.start + i * part.step)]);
  }
  return string_value(runtime.heap(), out, object.safe);
}

}  // namespace

Value get_slice(Runtime& runtime, const Value& object, const Value& start, const Value& stop,
                const Value& step) {
  check_defined(object);
  if (object.is_string()) {
    const auto length = static_cast<int64_t>(count_code_points(object.string()));
    return slice_string(runtime, object, cut(start, stop, step, length));
  }
  if (object.is_sequence()) {
    const std::span<const Value> items = object.list->items;
    const Cut part = cut(start, stop, step, static_cast<int64_t>(items.size()));
    Value result = object;
    if (part.step == 1) {  // a view of the same items
      result.list = runtime.heap().make<List>(items.subspan(
          part.count == 0 ? 0 : static_cast<size_t>(part.start), static_cast<size_t>(part.count)));
      return result;
    }
    runtime.step(part.count);
    const std::span<Value> chosen = runtime.heap().array<Value>(static_cast<size_t>(part.count));
    for (int64_t i = 0; i < part.count; ++i) {
      chosen[static_cast<size_t>(i)] = items[static_cast<size_t>(part.start + i * part.step)];
    }
    result.list = runtime.heap().make<List>(chosen);
    return result;
  }
  if (object.is(Kind::range)) {
    const Range& range = *object.range;
    const Cut part = cut(start, stop, step, range.length);
    Value result = object;
    const int64_t first = part.count == 0 ? range.start : range[part.start];
    int64_t by = 0, stop = 0;
    if (__builtin_mul_overflow(part.step, range.step, &by) ||
        __builtin_mul_overflow(part.count, by, &stop) ||
        __builtin_add_overflow(first, stop, &stop)) {
      raise("a slice of a range is past 64 bits");
    }
    result.range = runtime.heap().make<Range>(first, stop, by, part.count);
    return result;
  }
  if (object.is(Kind::dict)) raise("unhashable type: 'slice'");
  raise("'", type_name(object), "' object is not subscriptable");
}

Value get_path(Runtime& runtime, const Value& object, const Value& path,
               const Value& default_value) {
  const auto step_into = [&](const Value& from, const Value& key) {
    const Value found = get_item(runtime, from, key);
    const bool replace =
        found.is_undefined() && !default_value.is_missing() && !default_value.is_none();
    return replace ? default_value : found;
  };
  if (path.is_missing() || path.is_none()) return object;
  if (!path.is_string()) return step_into(object, path);
  Value value = object;
  std::string_view rest = path.string();
  while (true) {
    const size_t dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    int64_t index = 0;
    const auto parsed = std::from_chars(part.data(), part.data() + part.size(), index);
    const bool is_index = !part.empty() && part[0] != '-' && parsed.ec == std::errc() &&
                          parsed.ptr == part.data() + part.size();
    value = step_into(value, is_index ? integer(index) : string(part));
    if (dot == rest.npos) return value;
    rest.remove_prefix(dot + 1);
  }
}

}  // namespace spate::jinja
