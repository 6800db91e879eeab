// Walks over the expressions of a template; used by the analysis of scopes.
#pragma once

#include "text/jinja/ast.h"

namespace spate::jinja {

// Calls visit(Expression*&) for each direct child, in jinja2's order.
template <class Visit>
void for_each_child(CallArguments& arguments, const Visit& visit) {
  for (Expression*& argument : arguments.positional) visit(argument);
  for (NamedArgument& argument : arguments.named) visit(argument.value);
  if (arguments.more_positional != nullptr) visit(arguments.more_positional);
  if (arguments.more_named != nullptr) visit(arguments.more_named);
}

template <class Visit>
void for_each_child(Expression* node, const Visit& visit) {
  switch (node->kind) {
    case ExpressionKind::constant:
    case ExpressionKind::name:
    case ExpressionKind::space_attribute: break;
    case ExpressionKind::list:
    case ExpressionKind::tuple:
    case ExpressionKind::concat:
      for (Expression*& item : static_cast<Items*>(node)->items) visit(item);
      break;
    case ExpressionKind::dict:
      for (Pair& pair : static_cast<DictDisplay*>(node)->pairs) {
        visit(pair.key);
        visit(pair.value);
      }
      break;
    case ExpressionKind::logical_not:
    case ExpressionKind::negative:
    case ExpressionKind::positive: visit(static_cast<Unary*>(node)->operand); break;
    case ExpressionKind::logical_and:
    case ExpressionKind::logical_or:
    case ExpressionKind::binary:
      visit(static_cast<Binary*>(node)->left);
      visit(static_cast<Binary*>(node)->right);
      break;
    case ExpressionKind::compare:
      visit(static_cast<Compare*>(node)->first);
      for (Comparand& comparand : static_cast<Compare*>(node)->rest) visit(comparand.operand);
      break;
    case ExpressionKind::conditional: {
      auto* conditional = static_cast<Conditional*>(node);
      visit(conditional->test);
      visit(conditional->then);
      if (conditional->otherwise != nullptr) visit(conditional->otherwise);
      break;
    }
    case ExpressionKind::attribute: visit(static_cast<Attribute*>(node)->object); break;
    case ExpressionKind::item:
      visit(static_cast<Item*>(node)->object);
      visit(static_cast<Item*>(node)->key);
      break;
    case ExpressionKind::slice:
      for (Expression** part : {&static_cast<Slice*>(node)->start, &static_cast<Slice*>(node)->stop,
                                &static_cast<Slice*>(node)->step}) {
        if (*part != nullptr) visit(*part);
      }
      break;
    case ExpressionKind::call:
      visit(static_cast<Call*>(node)->callee);
      for_each_child(static_cast<Call*>(node)->arguments, visit);
      break;
    case ExpressionKind::filter:
      if (static_cast<FilterCall*>(node)->operand != nullptr) {
        visit(static_cast<FilterCall*>(node)->operand);
      }
      for_each_child(static_cast<FilterCall*>(node)->arguments, visit);
      break;
    case ExpressionKind::test:
      visit(static_cast<TestCall*>(node)->operand);
      for_each_child(static_cast<TestCall*>(node)->arguments, visit);
      break;
  }
}

// Walks over all names of statements in jinja2's order, inner scopes too. Calls use(name) where a
// name is read and define(name, by_set) where it is written: by set or for, or as a parameter.
template <class Use, class Define>
class NameWalk {
 public:
  NameWalk(const Use& use, const Define& define) : use_(use), define_(define) {}

  void body(Body statements) const {
    for (Statement* statement : statements) this->statement(statement);
  }

  void read(Expression* node) const {
    if (node->kind == ExpressionKind::name) use_(static_cast<Name*>(node)->name);
    for_each_child(node, [&](Expression*& child) { read(child); });
  }

 private:
  void target(Expression* node, bool by_set) const {
    if (node->kind == ExpressionKind::name) define_(static_cast<Name*>(node)->name, by_set);
    for_each_child(node, [&](Expression*& child) { target(child, by_set); });
  }

  void macro(MacroDefinition& macro) const {
    for (Parameter& parameter : macro.parameters) define_(parameter.name->name, false);
    for (Parameter& parameter : macro.parameters) {
      if (parameter.default_value != nullptr) read(parameter.default_value);
    }
    body(macro.body);
  }

  void statement(Statement* node) const {
    switch (node->kind) {
      case StatementKind::text:
      case StatementKind::break_:
      case StatementKind::continue_: break;
      case StatementKind::print: read(static_cast<Print*>(node)->value); break;
      case StatementKind::if_:
        for (Branch& branch : static_cast<If*>(node)->branches) {
          read(branch.test);
          body(branch.body);
        }
        body(static_cast<If*>(node)->otherwise);
        break;
      case StatementKind::for_: {
        auto* loop = static_cast<For*>(node);
        target(loop->target, true);
        read(loop->iterable);
        body(loop->body);
        body(loop->otherwise);
        if (loop->test != nullptr) read(loop->test);
        break;
      }
      case StatementKind::set:
        target(static_cast<Set*>(node)->target, true);
        read(static_cast<Set*>(node)->value);
        break;
      case StatementKind::set_block: {
        auto* block = static_cast<SetBlock*>(node);
        target(block->target, true);
        if (block->filter != nullptr) read(block->filter);
        body(block->body);
        break;
      }
      case StatementKind::macro: macro(static_cast<MacroStatement*>(node)->macro); break;
      case StatementKind::call_block:
        if (static_cast<CallBlock*>(node)->call != nullptr) {
          read(static_cast<CallBlock*>(node)->call);
        }
        macro(static_cast<CallBlock*>(node)->macro);
        break;
      case StatementKind::filter_block:
        body(static_cast<FilterBlock*>(node)->body);
        read(static_cast<FilterBlock*>(node)->filter);
        break;
      case StatementKind::with:
        for (WithTarget& entry : static_cast<With*>(node)->targets) target(entry.target, false);
        for (WithTarget& entry : static_cast<With*>(node)->targets) read(entry.value);
        body(static_cast<With*>(node)->body);
        break;
    }
  }

  const Use& use_;
  const Define& define_;
};

}  // namespace spate::jinja
