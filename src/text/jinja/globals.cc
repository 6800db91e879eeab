// The functions that every template can call.
#include <ctime>

#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/iterate.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

int64_t range_bound(const Value& value) {
  if (!value.is_integral()) {
    check_defined(value);
    raise("'", type_name(value), "' object cannot be interpreted as an integer");
  }
  return value.as_integer();
}

Value make_range(CallFrame& frame) {
  const std::span<const Value> arguments = frame.raw.positional;
  if (!frame.raw.named.empty()) raise("range() takes no keyword arguments");
  if (arguments.empty()) raise("range expected at least 1 argument, got 0");
  if (arguments.size() > 3) raise("range expected at most 3 arguments, got ", arguments.size());
  Range range;
  range.stop = range_bound(arguments[arguments.size() == 1 ? 0 : 1]);
  if (arguments.size() > 1) range.start = range_bound(arguments[0]);
  if (arguments.size() > 2) range.step = range_bound(arguments[2]);
  if (range.step == 0) raise("range() arg 3 must not be zero");
  // Unsigned, because the distance of two int64 may need 64 bits.
  const auto start = static_cast<uint64_t>(range.start), stop = static_cast<uint64_t>(range.stop);
  uint64_t length = 0;
  if (range.step > 0 && range.start < range.stop) {
    length = (stop - start - 1) / static_cast<uint64_t>(range.step) + 1;
  } else if (range.step < 0 && range.start > range.stop) {
    length = (start - stop - 1) / (uint64_t{0} - static_cast<uint64_t>(range.step)) + 1;
  }
  if (length > static_cast<uint64_t>(kMaxRange)) {
    raise("Range too big. The sandbox blocks ranges larger than MAX_RANGE (", kMaxRange, ").");
  }
  range.length = static_cast<int64_t>(length);
  Value value;
  value.kind = Kind::range;
  value.range = frame.heap().make<Range>(range);
  return value;
}

void insert_pair(Runtime& runtime, Dict& dict, const Value& pair, size_t position) {
  if (!is_iterable(pair)) {
    raise("cannot convert dictionary update sequence element #", position, " to a sequence");
  }
  const std::span<const Value> items = items_of(runtime, pair);
  if (items.size() != 2) {
    raise("dictionary update sequence element #", position, " has length ", items.size(),
          "; 2 is required");
  }
  insert(runtime, dict, items[0], items[1]);
}

// Python's dict(mapping or pairs, name=value, ...).
Dict* collect_dict(CallFrame& frame) {
  Dict* dict = frame.heap().make<Dict>();
  if (frame.raw.positional.size() > 1) {
    raise("dict expected at most 1 argument, got ", frame.raw.positional.size());
  }
  if (!frame.raw.positional.empty()) {
    const Value& from = frame.raw.positional[0];
    if (from.is(Kind::dict)) {
      for (const DictEntry& entry : from.dict->entries()) {
        insert(frame.runtime, *dict, entry.key, entry.value);
      }
    } else {
      Iterator* pairs = iterate(frame.runtime, from);
      size_t position = 0;
      for (Value pair; pairs->next(frame.runtime, pair);) {
        insert_pair(frame.runtime, *dict, pair, position++);
      }
    }
  }
  for (const NamedValue& argument : frame.raw.named) {
    insert(frame.runtime, *dict, string(argument.name), argument.value);
  }
  return dict;
}

Value make_namespace(CallFrame& frame) {
  Space* space = frame.heap().make<Space>(*collect_dict(frame));
  for (const DictEntry& entry : space->attributes.entries()) {
    if (entry.key.is_string()) check_space_name(entry.key.string());
  }
  Value value;
  value.kind = Kind::space;
  value.space = space;
  return value;
}

Value make_cycler(CallFrame& frame) {
  if (frame.raw.positional.empty()) raise("at least one item has to be provided");
  const Value items = tuple_value(frame.heap(), frame.raw.positional);
  Value value;
  value.kind = Kind::cycler;
  value.cycler = frame.heap().make<Cycler>(items.list->items);
  return value;
}

Value make_joiner(CallFrame& frame) {
  Value value;
  value.kind = Kind::joiner;
  value.joiner = frame.heap().make<Joiner>(frame.has(0) ? frame[0] : string(", "));
  return value;
}

Value raise_exception(CallFrame& frame) {
  std::string message;
  append_str(frame.runtime, message, frame[0]);
  throw Failure{.message = message, .by_template = true};
}

// datetime.now().strftime(format): C's strftime, where a time without a zone has no %z and %Z.
Value strftime_now(CallFrame& frame) {
  if (!frame[0].is_string()) {
    raise("strftime() argument 1 must be str, not ", type_name(frame[0]));
  }
  const std::time_t now = frame.runtime.now();
  std::tm local{};
  localtime_r(&now, &local);
  std::string out;
  const std::string_view format = frame[0].string();
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      append(out, format.substr(i, 1));
      continue;
    }
    ++i;
    const bool has_flag = format[i] == '-' && i + 1 < format.size();
    const std::string pattern = cat("%", format.substr(i, has_flag ? 2 : 1), " ");
    if (has_flag) ++i;
    if (format[i] == 'z' || format[i] == 'Z') continue;
    if (format[i] == 'f') {
      append(out, "000000");
      continue;
    }
    char text[256];
    const size_t size = std::strftime(text, sizeof text, pattern.c_str(), &local);
    append(out,
           std::string_view(text, size > 0 ? size - 1 : 0));  // the space tells empty from failed
  }
  return string_value(frame.heap(), out);
}

const Function kFunctions[] = {
    {"range", {"range", "*"}, make_range},
    {"dict", {"dict", "*"}, [](CallFrame& frame) { return dict_value(collect_dict(frame)); }},
    {"namespace", {"namespace", "*"}, make_namespace, true},
    {"cycler", {"Cycler.__init__", "*"}, make_cycler, true},
    {"joiner", {"Joiner.__init__", "@ sep?"}, make_joiner, true},
    {"raise_exception",
     {"_cached_compile_jinja_template.<locals>.raise_exception", "message"},
     raise_exception},
    {"strftime_now",
     {"_cached_compile_jinja_template.<locals>.strftime_now", "format"},
     strftime_now},
};

}  // namespace

void check_space_name(std::string_view name) {
  if (name.starts_with("_")) {
    raise("Chat templates cannot store underscore-prefixed attributes on a namespace, but got ",
          repr_string(name), ". Please rename the attribute.");
  }
}

Value find_global(std::string_view name) {
  for (const Function& function : kFunctions) {
    if (function.name != name) continue;
    Value value;
    value.kind = Kind::function;
    value.function = &function;
    return value;
  }
  return {};
}

}  // namespace spate::jinja
