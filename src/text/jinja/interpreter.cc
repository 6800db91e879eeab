// Statements; expressions are in evaluate.cc.
#include "text/jinja/interpreter.h"

#include <algorithm>

#include "text/jinja/dict.h"
#include "text/jinja/iterate.h"
#include "text/jinja/loop.h"
#include "text/jinja/operators.h"
#include "text/jinja/repr.h"

namespace spate::jinja {

// The items of a loop that its condition lets through; asked for one by one, so that the condition
// sees what the body did before.
class LoopCondition final : public Iterator {
 public:
  LoopCondition(Interpreter& interpreter, const For& node, const Value& iterable)
      : Iterator("generator"),
        interpreter_(interpreter),
        node_(node),
        outside_(interpreter.here_),
        source_(iterate(interpreter.runtime_, iterable)) {}

  bool next(Runtime& runtime, Value& item) override {
    Activation* const caller = interpreter_.here_;
    if (own_ == nullptr) {
      own_ = interpreter_.activate(outside_, node_.test_function);
      interpreter_.here_ = own_;
      interpreter_.enter(node_.test_loads);
    }
    interpreter_.here_ = own_;
    bool found = false;
    while (!found && source_->next(runtime, item)) {
      interpreter_.assign(*node_.test_target, item);
      found = truth(interpreter_.evaluate(*node_.test));
    }
    if (found) item = interpreter_.read_target(*node_.test_target);
    interpreter_.here_ = caller;
    return found;
  }

 private:
  Interpreter& interpreter_;
  const For& node_;
  Activation* outside_;
  Activation* own_ = nullptr;
  Iterator* source_;
};

template <class Work>
Interpreter::Flow Interpreter::capture(std::string& text, const Work& work) {
  std::string* const outer = out_;
  out_ = &text;
  const Flow flow = work();
  out_ = outer;
  return flow;
}

Activation* Interpreter::activate(Activation* parent, const FunctionInfo& function) {
  return runtime_.heap().make<Activation>(
      parent, runtime_.heap().array<Value>(static_cast<size_t>(function.slots)));
}

void Interpreter::enter(Loads loads) {
  for (const Load& load : loads) {
    here_->slots[static_cast<size_t>(load.slot)] = load.copies ? value_at(load.source) : Value{};
  }
}

void Interpreter::run(std::string& out) {
  out_ = &out;
  here_ = activate(nullptr, program_.function);
  enter(program_.loads);
  execute(program_.body);
}

Interpreter::Flow Interpreter::execute(Body body) {
  for (const Statement* statement : body) {
    const Flow flow = execute(*statement);
    if (flow != Flow::on) return flow;
  }
  return Flow::on;
}

Interpreter::Flow Interpreter::execute(const Statement& statement) {
  runtime_.step();
  const Runtime::Level level(runtime_);
  line_ = statement.line;
  switch (statement.kind) {
    case StatementKind::text: append(*out_, static_cast<const Text&>(statement).text); break;
    case StatementKind::print:
      append_str(runtime_, *out_, evaluate(*static_cast<const Print&>(statement).value));
      break;
    case StatementKind::if_: return execute_if(static_cast<const If&>(statement));
    case StatementKind::for_: return execute_for(static_cast<const For&>(statement));
    case StatementKind::set: {
      const auto& set = static_cast<const Set&>(statement);
      check_spaces(*set.target);
      assign(*set.target, evaluate(*set.value));
      break;
    }
    case StatementKind::set_block:
      return execute_set_block(static_cast<const SetBlock&>(statement));
    case StatementKind::macro: {
      const auto& macro = static_cast<const MacroStatement&>(statement);
      slot(macro.place) = make_macro(macro.macro);
      break;
    }
    case StatementKind::call_block:
      execute_call_block(static_cast<const CallBlock&>(statement));
      break;
    case StatementKind::filter_block:
      return execute_filter_block(static_cast<const FilterBlock&>(statement));
    case StatementKind::with: return execute_with(static_cast<const With&>(statement));
    case StatementKind::break_: return Flow::break_;
    case StatementKind::continue_: return Flow::continue_;
  }
  return Flow::on;
}

Interpreter::Flow Interpreter::execute_if(const If& node) {
  for (const Branch& branch : node.branches) {
    line_ = branch.line;
    if (truth(evaluate(*branch.test))) return execute(branch.body);
  }
  return execute(node.otherwise);
}

Interpreter::Flow Interpreter::execute_for(const For& node) {
  const Value iterable = evaluate(*node.iterable);
  if (!node.recursive) return run_loop(node, iterable, 0, here_);
  std::string text;
  Activation* const outside = here_;
  here_ = activate(outside, node.function);
  const Flow flow = capture(text, [&] { return run_loop(node, iterable, 0, outside); });
  here_ = outside;
  append(*out_, text);
  return flow;
}

Interpreter::Flow Interpreter::run_loop(const For& node, const Value& iterable, int depth0,
                                        Activation* outside) {
  Value items = iterable;
  if (node.test != nullptr) {
    Activation* const own = here_;
    here_ = outside;
    items = iterator_value(new (runtime_.heap().allocate(sizeof(LoopCondition)))
                               LoopCondition(*this, node, iterable));
    here_ = own;
  }
  Value loop;
  Iterator* source = nullptr;
  if (node.extended) {
    loop.kind = Kind::loop;
    loop.loop = new (runtime_.heap().allocate(sizeof(Loop)))
        Loop(runtime_, items, depth0, node.recursive ? &node : nullptr, outside);
  } else {
    source = iterate(runtime_, items);
  }

  bool completed = false;  // an iteration that ran to its end: what "else" looks at
  Value item;
  while (source != nullptr ? source->next(runtime_, item) : loop.loop->next(runtime_, item)) {
    if (node.extended) here_->slots[static_cast<size_t>(node.loop_slot)] = loop;
    line_ = node.line;
    assign(*node.target, item);
    enter(node.loads);
    const Flow flow = execute(node.body);
    if (flow == Flow::break_) break;
    completed = completed || flow == Flow::on;
  }
  if (node.has_else && !completed) {
    enter(node.otherwise_loads);
    return execute(node.otherwise);
  }
  return Flow::on;
}

Value Interpreter::call_loop(Loop& loop, const Arguments& arguments) {
  if (arguments.positional.size() != 1 || !arguments.named.empty()) {
    raise("LoopContext.__call__() takes one positional argument, found ",
          arguments.positional.size() + arguments.named.size());
  }
  if (loop.recursive() == nullptr) {
    raise("The loop must have the 'recursive' marker to be called recursively.");
  }
  const For& node = *loop.recursive();
  std::string text;
  Activation* const caller = here_;
  const int line = line_;
  here_ = activate(loop.outside(), node.function);
  capture(text, [&] {
    return run_loop(node, arguments.positional[0], loop.depth0() + 1, loop.outside());
  });
  here_ = caller;
  line_ = line;
  return string_value(runtime_.heap(), text);
}

Interpreter::Flow Interpreter::execute_set_block(const SetBlock& node) {
  std::string text;
  enter(node.loads);
  const Flow flow = capture(text, [&] { return execute(node.body); });
  if (flow != Flow::on) return flow;
  Value value = string_value(runtime_.heap(), text);
  line_ = node.line;
  if (node.filter != nullptr) value = evaluate_filter(*node.filter, &value);
  check_spaces(*node.target);
  assign(*node.target, value);
  return Flow::on;
}

Interpreter::Flow Interpreter::execute_filter_block(const FilterBlock& node) {
  std::string text;
  enter(node.loads);
  const Flow flow = capture(text, [&] { return execute(node.body); });
  if (flow != Flow::on) return flow;
  const Value value = string_value(runtime_.heap(), text);
  line_ = node.line;
  append_str(runtime_, *out_, evaluate_filter(*node.filter, &value));
  return Flow::on;
}

Interpreter::Flow Interpreter::execute_with(const With& node) {
  enter(node.loads);
  for (const WithTarget& entry : node.targets) assign(*entry.target, evaluate(*entry.value));
  return execute(node.body);
}

void Interpreter::execute_call_block(const CallBlock& node) {
  const Value caller = make_macro(node.macro);
  const Value text = node.call == nullptr ? call(caller, {}) : evaluate_call(*node.call, &caller);
  append_str(runtime_, *out_, text);
}

// ---- Macros

Value Interpreter::make_macro(const MacroDefinition& definition) {
  Value value;
  value.kind = Kind::macro;
  value.macro = runtime_.heap().make<Macro>(&definition, here_);
  return value;
}

Value Interpreter::call_macro(const Macro& macro, const Arguments& arguments) {
  const Runtime::Level level(runtime_);
  Activation* const caller = here_;
  const int line = line_;
  here_ = activate(macro.outside, macro.definition->function);
  line_ = macro.definition->line;
  fill_parameters(macro, arguments);
  std::string text;
  capture(text, [&] { return execute(macro.definition->body); });
  here_ = caller;
  line_ = line;
  return string_value(runtime_.heap(), text);
}

void Interpreter::fill_parameters(const Macro& macro, const Arguments& arguments) {
  const MacroDefinition& definition = *macro.definition;
  const size_t count = definition.parameters.size();
  std::vector<NamedValue> rest(arguments.named.begin(), arguments.named.end());
  const auto take = [&](std::string_view name) {
    const auto found = std::find_if(rest.begin(), rest.end(),
                                    [&](const NamedValue& entry) { return entry.name == name; });
    if (found == rest.end()) return Value{};
    const Value value = found->value;
    rest.erase(found);
    return value;
  };
  for (size_t i = 0; i < count; ++i) {
    const Name& name = *definition.parameters[i].name;
    slot(name.place) = i < arguments.positional.size() ? arguments.positional[i] : take(name.name);
  }
  if (definition.caller_slot >= 0) {
    Value caller = take("caller");
    if (caller.is_missing() || caller.is_none()) {
      caller = undefined_value(runtime_.heap(), "No caller defined", {}, string("caller"));
    }
    here_->slots[static_cast<size_t>(definition.caller_slot)] = caller;
  }
  const std::string name = definition.name.empty() ? "None" : repr_string(definition.name);
  if (definition.kwargs_slot >= 0) {
    Dict* dict = runtime_.heap().make<Dict>();
    for (const NamedValue& entry : rest) insert(runtime_, *dict, string(entry.name), entry.value);
    here_->slots[static_cast<size_t>(definition.kwargs_slot)] = dict_value(dict);
  } else if (!rest.empty()) {
    const bool has_caller = std::any_of(
        rest.begin(), rest.end(), [](const NamedValue& entry) { return entry.name == "caller"; });
    if (has_caller) {
      raise("macro ", name,
            " was invoked with two values for the special caller argument. This is "
            "most likely a bug.");
    }
    raise("macro ", name, " takes no keyword argument ", repr_string(rest[0].name));
  }
  const std::span<const Value> more =
      arguments.positional.subspan(std::min(count, arguments.positional.size()));
  if (definition.varargs_slot >= 0) {
    here_->slots[static_cast<size_t>(definition.varargs_slot)] = tuple_value(runtime_.heap(), more);
  } else if (!more.empty()) {
    raise("macro ", name, " takes not more than ", count, " argument(s)");
  }

  enter(definition.loads);
  for (const Parameter& parameter : definition.parameters) {
    if (!slot(parameter.name->place).is_missing()) continue;
    if (parameter.default_value != nullptr) {
      const Value value = evaluate(*parameter.default_value);
      slot(parameter.name->place) = value;
    } else {
      const std::string hint =
          cat("parameter ", repr_string(parameter.name->name), " was not provided");
      slot(parameter.name->place) = undefined_value(runtime_.heap(), runtime_.heap().copy(hint), {},
                                                    string(parameter.name->name));
    }
  }
}

// ---- Assignment

void Interpreter::check_spaces(const Expression& target) {
  if (target.kind == ExpressionKind::space_attribute) {
    if (!value_at(static_cast<const SpaceAttribute&>(target).place).is(Kind::space)) {
      raise("cannot assign attribute on non-namespace object");
    }
  } else if (target.kind == ExpressionKind::tuple) {
    for (const Expression* item : static_cast<const Items&>(target).items) check_spaces(*item);
  }
}

void Interpreter::assign(const Expression& target, const Value& value) {
  switch (target.kind) {
    case ExpressionKind::name: slot(static_cast<const Name&>(target).place) = value; return;
    case ExpressionKind::space_attribute: {
      const auto& attribute = static_cast<const SpaceAttribute&>(target);
      check_space_name(attribute.attribute);
      insert(runtime_, value_at(attribute.place).space->attributes, string(attribute.attribute),
             value);
      return;
    }
    default: break;
  }
  const std::span<Expression*> targets = static_cast<const Items&>(target).items;
  if (!is_iterable(value)) raise("cannot unpack non-iterable ", type_name(value), " object");
  const std::span<const Value> values = items_of(runtime_, value);
  if (values.size() != targets.size()) raise_unpack(values.size(), targets.size());
  for (size_t i = 0; i < targets.size(); ++i) assign(*targets[i], values[i]);
}

Value Interpreter::read_target(const Expression& target) {
  if (target.kind == ExpressionKind::name) return slot(static_cast<const Name&>(target).place);
  std::vector<Value> values;
  for (const Expression* item : static_cast<const Items&>(target).items) {
    values.push_back(read_target(*item));
  }
  return tuple_value(runtime_.heap(), values);
}

}  // namespace spate::jinja
