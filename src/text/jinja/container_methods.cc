// The methods of dicts, lists, tuples, ranges, numbers and cyclers. What would change a dict or a
// list is in the tables without an implementation: the sandbox hides it.
#include <cmath>

#include "text/jinja/arguments.h"
#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/iterate.h"

namespace spate::jinja {
namespace {

template <View::What what>
Value view_method(CallFrame& frame) {
  Value value;
  value.kind = Kind::view;
  value.view = frame.heap().make<View>(frame[0].dict, what);
  return value;
}

Value get_method(CallFrame& frame) {
  if (const Value* found = find(frame.runtime, *frame[0].dict, frame[1])) return *found;
  return frame.has(2) ? frame[2] : none();
}

Value fromkeys_method(CallFrame& frame) {
  Dict* dict = frame.heap().make<Dict>();
  for (const Value& key : items_of(frame.runtime, frame[1])) {
    insert(frame.runtime, *dict, key, frame.has(2) ? frame[2] : none());
  }
  return dict_value(dict);
}

Value copy_method(CallFrame& frame) { return frame[0]; }  // nothing can change either of the two

Value count_method(CallFrame& frame) {
  int64_t found = 0;
  for (const Value& item : items_of(frame.runtime, frame[0])) {
    if (equal(frame.runtime, item, frame[1])) ++found;
  }
  return integer(found);
}

Value index_method(CallFrame& frame) {
  const std::span<const Value> items = items_of(frame.runtime, frame[0]);
  const auto size = static_cast<int64_t>(items.size());
  const auto bound = [&](size_t i, int64_t otherwise) {
    const int64_t index = integer_argument(frame, i, otherwise);
    return index < 0 ? std::max<int64_t>(0, index + size) : std::min(index, size);
  };
  for (int64_t i = bound(2, 0); i < bound(3, size); ++i) {
    if (equal(frame.runtime, items[static_cast<size_t>(i)], frame[1])) return integer(i);
  }
  if (frame[0].is(Kind::tuple)) raise("tuple.index(x): x not in tuple");
  raise(repr(frame.runtime, frame[1]), " is not in ", type_name(frame[0]));
}

Value bit_length_method(CallFrame& frame) {
  const int64_t value = frame[0].as_integer();
  uint64_t magnitude =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  int64_t bits = 0;
  for (; magnitude != 0; magnitude >>= 1) ++bits;
  return integer(bits);
}

Value is_integer_method(CallFrame& frame) {
  return boolean(frame[0].is_integral() || (std::isfinite(frame[0].number) &&
                                            std::floor(frame[0].number) == frame[0].number));
}

Value next_method(CallFrame& frame) {
  Cycler& cycler = *frame[0].cycler;
  const Value value = cycler.items[cycler.position];
  cycler.position = (cycler.position + 1) % cycler.items.size();
  return value;
}

Value reset_method(CallFrame& frame) {
  frame[0].cycler->position = 0;
  return none();
}

const MethodEntry kDictMethods[] = {
    {"get", {"get", "self key default? /"}, get_method},
    {"items", {"dict.items", "self /"}, view_method<View::What::items>},
    {"keys", {"dict.keys", "self /"}, view_method<View::What::keys>},
    {"values", {"dict.values", "self /"}, view_method<View::What::values>},
    {"copy", {"dict.copy", "self /"}, copy_method},
    {"fromkeys", {"fromkeys", "self iterable value? /"}, fromkeys_method},
    {"clear", {"", ""}, nullptr},
    {"pop", {"", ""}, nullptr},
    {"popitem", {"", ""}, nullptr},
    {"setdefault", {"", ""}, nullptr},
    {"update", {"", ""}, nullptr},
};

const MethodEntry kListMethods[] = {
    {"count", {"list.count", "self value /"}, count_method},
    {"index", {"index", "self value start? stop? /"}, index_method},
    {"copy", {"list.copy", "self /"}, copy_method},
    {"append", {"", ""}, nullptr},
    {"clear", {"", ""}, nullptr},
    {"extend", {"", ""}, nullptr},
    {"insert", {"", ""}, nullptr},
    {"pop", {"", ""}, nullptr},
    {"remove", {"", ""}, nullptr},
    {"reverse", {"", ""}, nullptr},
    {"sort", {"", ""}, nullptr},
};

const MethodEntry kSequenceMethods[] = {
    {"count", {"count", "self value /"}, count_method},
    {"index", {"index", "self value start? stop? /"}, index_method},
};

const MethodEntry kIntegerMethods[] = {
    {"bit_length", {"int.bit_length", "self /"}, bit_length_method},
    {"conjugate", {"int.conjugate", "self /"}, [](CallFrame& frame) { return frame[0]; }},
};

const MethodEntry kNumberMethods[] = {
    {"is_integer", {"float.is_integer", "self /"}, is_integer_method},
    {"conjugate", {"float.conjugate", "self /"}, [](CallFrame& frame) { return frame[0]; }},
};

const MethodEntry kCyclerMethods[] = {
    {"next", {"Cycler.next", "self /"}, next_method},
    {"reset", {"Cycler.reset", "self /"}, reset_method},
};

}  // namespace

std::span<const MethodEntry> container_methods(Kind kind) {
  switch (kind) {
    case Kind::dict: return kDictMethods;
    case Kind::list: return kListMethods;
    case Kind::tuple:
    case Kind::range: return kSequenceMethods;
    case Kind::boolean:
    case Kind::integer: return kIntegerMethods;
    case Kind::number: return kNumberMethods;
    case Kind::cycler: return kCyclerMethods;
    default: return {};
  }
}

}  // namespace spate::jinja
