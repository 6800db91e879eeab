#include "text/jinja/value.h"

#include "text/jinja/calls.h"
#include "text/jinja/dict.h"
#include "text/jinja/failure.h"
#include "text/jinja/limits.h"

namespace spate::jinja {

Value none() {
  Value value;
  value.kind = Kind::none;
  return value;
}

Value boolean(bool truth) {
  Value value;
  value.kind = Kind::boolean;
  value.truth = truth;
  return value;
}

Value integer(int64_t number) {
  Value value;
  value.kind = Kind::integer;
  value.integer = number;
  return value;
}

Value number(double number) {
  Value value;
  value.kind = Kind::number;
  value.number = number;
  return value;
}

Value string(std::string_view bytes, bool safe) {
  if (bytes.size() > kMaxOutput) {
    raise("a text of more than ", kMaxOutput >> 20, " MiB cannot be used in a template");
  }
  Value value;
  value.kind = Kind::string;
  value.safe = safe;
  value.size = static_cast<uint32_t>(bytes.size());
  value.text = bytes.data();
  return value;
}

Value string_value(Heap& heap, std::string_view bytes, bool safe) {
  return string(heap.copy(bytes), safe);
}

namespace {

Value make_sequence(Heap& heap, Kind kind, std::span<const Value> items) {
  const std::span<Value> copy = heap.array<Value>(items.size());
  for (size_t i = 0; i < items.size(); ++i) copy[i] = items[i];
  Value value;
  value.kind = kind;
  value.list = heap.make<List>(copy);
  return value;
}

}  // namespace

Value list_value(Heap& heap, std::span<const Value> items) {
  return make_sequence(heap, Kind::list, items);
}

Value tuple_value(Heap& heap, std::span<const Value> items) {
  return make_sequence(heap, Kind::tuple, items);
}

Value undefined_value(Heap& heap, std::string_view hint, Value object, Value name) {
  Value value;
  value.kind = Kind::undefined;
  value.undefined = heap.make<UndefinedInfo>(hint, object, name);
  return value;
}

Value undefined_variable(Heap& heap, std::string_view name) {
  return undefined_value(heap, {}, {}, string(name));
}

Value dict_value(const Dict* dict) {
  Value value;
  value.kind = Kind::dict;
  value.dict = dict;
  return value;
}

std::string_view type_name(const Value& value) {
  switch (value.kind) {
    case Kind::missing: return "missing";
    case Kind::undefined: return "Undefined";
    case Kind::none: return "NoneType";
    case Kind::boolean: return "bool";
    case Kind::integer: return "int";
    case Kind::number: return "float";
    case Kind::string: return value.safe ? "Markup" : "str";
    case Kind::list: return "list";
    case Kind::tuple: return value.list->group ? "_GroupTuple" : "tuple";
    case Kind::dict: return "dict";
    case Kind::range: return "range";
    case Kind::iterator: return value.iterator->type_name();
    case Kind::view:
      return value.view->what == View::What::keys     ? "dict_keys"
             : value.view->what == View::What::values ? "dict_values"
                                                      : "dict_items";
    case Kind::space: return "TemplateNamespace";
    case Kind::loop: return "LoopContext";
    case Kind::macro: return "Macro";
    case Kind::function: return value.function->is_type ? "type" : "function";
    case Kind::method: return "builtin_function_or_method";
    case Kind::cycler: return "Cycler";
    case Kind::joiner: return "Joiner";
  }
  return "";
}

}  // namespace spate::jinja
