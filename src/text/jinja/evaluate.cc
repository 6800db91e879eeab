// Expressions of the Interpreter.
#include <algorithm>

#include "text/jinja/dict.h"
#include "text/jinja/interpreter.h"
#include "text/jinja/iterate.h"
#include "text/jinja/lookup.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"

namespace spate::jinja {
namespace {

constexpr std::string_view kCall = "jinja2.sandbox.SandboxedEnvironment.call()";  // in messages

}  // namespace

const Value& Interpreter::value_at(const Place& place) const {
  const auto index = static_cast<size_t>(place.index);
  if (place.up < 0) return variables_[index];
  const Activation* activation = here_;
  for (int up = place.up; up > 0; --up) activation = activation->parent;
  return activation->slots[index];
}

Value& Interpreter::slot(const Place& place) {
  check(place.up >= 0, "a variable of the request is never assigned");
  return const_cast<Value&>(value_at(place));
}

Value Interpreter::evaluate(const Expression& node) {
  runtime_.step();
  const Runtime::Level level(runtime_);
  switch (node.kind) {
    case ExpressionKind::constant: return static_cast<const Constant&>(node).value;
    case ExpressionKind::name: return evaluate_name(static_cast<const Name&>(node));
    case ExpressionKind::list:
    case ExpressionKind::tuple: return evaluate_items(static_cast<const Items&>(node));
    case ExpressionKind::dict: return evaluate_dict(static_cast<const DictDisplay&>(node));
    case ExpressionKind::concat: return evaluate_concat(static_cast<const Items&>(node));
    case ExpressionKind::logical_not:
      return boolean(!truth(evaluate(*static_cast<const Unary&>(node).operand)));
    case ExpressionKind::logical_and:
    case ExpressionKind::logical_or: {
      const auto& both = static_cast<const Binary&>(node);
      const Value left = evaluate(*both.left);
      const bool decided = truth(left) == (node.kind == ExpressionKind::logical_or);
      return decided ? left : evaluate(*both.right);
    }
    case ExpressionKind::negative:
      return negative(evaluate(*static_cast<const Unary&>(node).operand));
    case ExpressionKind::positive:
      return positive(evaluate(*static_cast<const Unary&>(node).operand));
    case ExpressionKind::binary: {
      const auto& both = static_cast<const Binary&>(node);
      const Value left = evaluate(*both.left);
      return binary(runtime_, both.op, left, evaluate(*both.right));
    }
    case ExpressionKind::compare: return evaluate_compare(static_cast<const Compare&>(node));
    case ExpressionKind::conditional:
      return evaluate_conditional(static_cast<const Conditional&>(node));
    case ExpressionKind::attribute: {
      const auto& attribute = static_cast<const Attribute&>(node);
      return get_attribute(runtime_, evaluate(*attribute.object), attribute.name);
    }
    case ExpressionKind::item: return evaluate_item(static_cast<const Item&>(node));
    case ExpressionKind::call: return evaluate_call(static_cast<const Call&>(node), nullptr);
    case ExpressionKind::filter:
      return evaluate_filter(static_cast<const FilterCall&>(node), nullptr);
    case ExpressionKind::test: return evaluate_test(static_cast<const TestCall&>(node));
    case ExpressionKind::slice: raise("a slice among several subscripts is not supported");
    case ExpressionKind::space_attribute: break;  // only ever a target
  }
  return {};
}

Value Interpreter::evaluate_name(const Name& node) {
  const Value& value = value_at(node.place);
  return value.is_missing() ? undefined_variable(runtime_.heap(), node.name) : value;
}

Value Interpreter::evaluate_items(const Items& node) {
  const std::span<Value> items = runtime_.heap().array<Value>(node.items.size());
  for (size_t i = 0; i < items.size(); ++i) items[i] = evaluate(*node.items[i]);
  Value value;
  value.kind = node.kind == ExpressionKind::list ? Kind::list : Kind::tuple;
  value.list = runtime_.heap().make<List>(items);
  return value;
}

Value Interpreter::evaluate_dict(const DictDisplay& node) {
  Dict* dict = runtime_.heap().make<Dict>();
  for (const Pair& pair : node.pairs) {
    const Value key = evaluate(*pair.key);
    insert(runtime_, *dict, key, evaluate(*pair.value));
  }
  return dict_value(dict);
}

Value Interpreter::evaluate_concat(const Items& node) {
  std::string text;
  for (const Expression* item : node.items) append_str(runtime_, text, evaluate(*item));
  return string_value(runtime_.heap(), text);
}

Value Interpreter::evaluate_compare(const Compare& node) {
  Value left = evaluate(*node.first);
  for (const Comparand& comparand : node.rest) {
    const Value right = evaluate(*comparand.operand);
    if (!compare(runtime_, comparand.op, left, right)) return boolean(false);
    left = right;
  }
  return boolean(true);
}

Value Interpreter::evaluate_conditional(const Conditional& node) {
  if (truth(evaluate(*node.test))) return evaluate(*node.then);
  if (node.otherwise != nullptr) return evaluate(*node.otherwise);
  const std::string hint = cat("the inline if-expression on line ", node.line,
                               " evaluated to false and no else section was defined.");
  return undefined_value(runtime_.heap(), runtime_.heap().copy(hint), {}, {});
}

Value Interpreter::evaluate_item(const Item& node) {
  const Value object = evaluate(*node.object);
  if (node.key->kind != ExpressionKind::slice) {
    return get_item(runtime_, object, evaluate(*node.key));
  }
  const auto& slice = static_cast<const Slice&>(*node.key);
  const auto part = [&](const Expression* expression) {
    return expression == nullptr ? Value{} : evaluate(*expression);
  };
  const Value start = part(slice.start), stop = part(slice.stop), step = part(slice.step);
  return get_slice(runtime_, object, start, stop, step);
}

Arguments Interpreter::evaluate_arguments(const CallArguments& arguments, const Value* caller) {
  Arguments result;
  if (!arguments.positional.empty() || arguments.more_positional != nullptr) {
    std::span<Value> values = runtime_.heap().array<Value>(arguments.positional.size());
    for (size_t i = 0; i < values.size(); ++i) values[i] = evaluate(*arguments.positional[i]);
    if (arguments.more_positional != nullptr) {
      const Value more = evaluate(*arguments.more_positional);
      if (!is_iterable(more)) {
        raise("Value after * must be an iterable, not ", type_name(more));
      }
      const std::span<const Value> items = items_of(runtime_, more);
      const std::span<Value> all = runtime_.heap().array<Value>(values.size() + items.size());
      std::copy(values.begin(), values.end(), all.begin());
      std::copy(items.begin(), items.end(),
                all.begin() + static_cast<std::ptrdiff_t>(values.size()));
      values = all;
    }
    result.positional = values;
  }
  if (arguments.named.empty() && arguments.more_named == nullptr && caller == nullptr) {
    return result;
  }
  std::vector<NamedValue> named;
  for (const NamedArgument& argument : arguments.named) {
    named.push_back({argument.name, evaluate(*argument.value)});
  }
  if (caller != nullptr) named.push_back({"caller", *caller});
  if (arguments.more_named != nullptr) {
    const Value more = evaluate(*arguments.more_named);
    if (!more.is(Kind::dict))
      raise(kCall, " argument after ** must be a mapping, not ", type_name(more));
    for (const DictEntry& entry : more.dict->entries()) {
      if (!entry.key.is_string()) raise("keywords must be strings");
      const bool repeated = std::any_of(named.begin(), named.end(), [&](const NamedValue& value) {
        return value.name == entry.key.string();
      });
      if (repeated) {
        raise(kCall, " got multiple values for keyword argument ", repr_string(entry.key.string()));
      }
      named.push_back({entry.key.string(), entry.value});
    }
  }
  result.named = runtime_.heap().copy(named);
  return result;
}

Value Interpreter::evaluate_call(const Call& node, const Value* caller) {
  const Value callee = evaluate(*node.callee);
  return call(callee, evaluate_arguments(node.arguments, caller));
}

Value Interpreter::call(const Value& callee, const Arguments& arguments) {
  switch (callee.kind) {
    case Kind::undefined: raise_undefined(callee);
    case Kind::macro: return call_macro(*callee.macro, arguments);
    case Kind::loop: return call_loop(*callee.loop, arguments);
    case Kind::function: {
      CallFrame frame{.runtime = runtime_};
      bind(callee.function->signature, {}, arguments, frame);
      return callee.function->call(frame);
    }
    case Kind::method: {
      CallFrame frame{.runtime = runtime_};
      const MethodEntry& entry = *callee.method->entry;
      bind(entry.signature, callee.method->receiver, arguments, frame);
      return entry.call(frame);
    }
    case Kind::joiner: {
      const bool used = callee.joiner->used;
      callee.joiner->used = true;
      return used ? callee.joiner->separator : string({});
    }
    default: raise("'", type_name(callee), "' object is not callable");
  }
}

// `block`: the text of a filter or set block, which the first filter of the chain takes.
Value Interpreter::evaluate_filter(const FilterCall& node, const Value* block) {
  Value value;
  if (node.operand == nullptr) {
    value = *block;
  } else if (block != nullptr) {  // inside such a chain, operands are filters
    value = evaluate_filter(static_cast<const FilterCall&>(*node.operand), block);
  } else {
    value = evaluate(*node.operand);
  }
  const Arguments arguments = evaluate_arguments(node.arguments, nullptr);
  if (node.filter == nullptr) raise("No filter named ", repr_string(node.name), " found.");
  return apply_filter(runtime_, *node.filter, value, arguments);
}

Value Interpreter::evaluate_test(const TestCall& node) {
  const Value value = evaluate(*node.operand);
  const Arguments arguments = evaluate_arguments(node.arguments, nullptr);
  if (node.test == nullptr) raise("No test named ", repr_string(node.name), " found.");
  return boolean(apply_test(runtime_, *node.test, value, arguments));
}

}  // namespace spate::jinja
