// The names below are those of jinja2's analysis where it has one: a scope knows its names
// (`refs`), what it must do with each when it is entered (`loads`) and which ones it writes
// (`stores`).
#include "text/jinja/scope.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "text/jinja/calls.h"
#include "text/jinja/failure.h"
#include "text/jinja/limits.h"
#include "text/jinja/repr.h"
#include "text/jinja/scope_names.h"
#include "text/jinja/visit.h"

namespace spate::jinja {
namespace {

// Whether `body` reads `name` before writing it anywhere, at any depth.
bool uses_undeclared(Body body, std::string_view name) {
  bool used = false, open = true;
  const auto use = [&](std::string_view read) { used = used || (open && read == name); };
  const auto define = [&](std::string_view written, bool) { open = open && written != name; };
  NameWalk(use, define).body(body);
  return used;
}

class Resolver {
 public:
  explicit Resolver(Heap& heap) : heap_(heap) {}

  Program program(Body body) {
    FunctionScope function;
    Scope scope(nullptr, &function);
    Analysis(scope).body(body);
    this->body(body, scope);
    Program result;
    result.body = body;
    result.loads = loads(scope);
    result.function.slots = static_cast<int>(function.slots.size());
    result.variables = heap_.copy(variables_);
    return result;
  }

 private:
  class Nesting {
   public:
    Nesting(Resolver& resolver, int line) : resolver_(resolver) {
      if (++resolver_.nesting_ > kMaxDepth) {
        raise_at(line, "nested deeper than ", kMaxDepth, " levels");
      }
    }
    ~Nesting() { --resolver_.nesting_; }
    Nesting(const Nesting&) = delete;
    Nesting& operator=(const Nesting&) = delete;

   private:
    Resolver& resolver_;
  };

  int variable(std::string_view name) {
    for (size_t i = 0; i < variables_.size(); ++i) {
      if (variables_[i].name == name) return static_cast<int>(i);
    }
    variables_.push_back({name, find_global(name)});
    return static_cast<int>(variables_.size() - 1);
  }

  // Names that are only read need no slot: they are read where they come from.
  static bool is_read_only(const Scope& scope, const Scope::Entry& entry) {
    return entry.how == Scope::How::resolve && scope.stores.count(entry.name) == 0;
  }

  Place place(std::string_view name, const Scope& scope) {
    Place place;
    if (!scope.find(name, place))
      return {-1, variable(name)};  // only in odd places: filters of set
    for (const Scope* owner = &scope; owner != nullptr; owner = owner->parent) {
      const auto found = owner->refs.find(name);
      if (found == owner->refs.end()) continue;
      if (is_read_only(*owner, owner->loads.at(found->second))) return {-1, variable(name)};
      break;
    }
    return place;
  }

  // In the scopes around `scope`, but counted from it.
  Place place_outside(std::string_view name, const Scope& scope) {
    Place place = this->place(name, *scope.parent);
    if (place.up >= 0 && scope.function != scope.parent->function) ++place.up;
    return place;
  }

  Loads loads(const Scope& scope) {
    std::vector<Load> result;
    for (const auto& [slot, entry] : scope.loads) {
      switch (entry.how) {
        case Scope::How::parameter: break;
        case Scope::How::nothing: result.push_back({slot, false, {}}); break;
        case Scope::How::alias:
          result.push_back({slot, true, place_outside(entry.name, scope)});
          break;
        case Scope::How::resolve:
          if (!is_read_only(scope, entry)) {
            result.push_back({slot, true, {-1, variable(entry.name)}});
          }
          break;
      }
    }
    return heap_.copy(result);
  }

  void expression(Expression* node, Scope& scope) {
    const Nesting nesting(*this, node->line);
    const bool soft = scope.soft;
    switch (node->kind) {
      case ExpressionKind::name: {
        auto* name = static_cast<Name*>(node);
        name->place = place(name->name, scope);
        break;
      }
      case ExpressionKind::space_attribute: {
        auto* attribute = static_cast<SpaceAttribute*>(node);
        attribute->place = place(attribute->name, scope);
        break;
      }
      case ExpressionKind::conditional: scope.soft = true; break;
      case ExpressionKind::filter: {
        auto* call = static_cast<FilterCall*>(node);
        call->filter = find_filter(call->name);
        if (call->filter == nullptr && !scope.soft) {
          raise_at(node->line, "No filter named ", repr_string(call->name), ".");
        }
        break;
      }
      case ExpressionKind::test: {
        auto* call = static_cast<TestCall*>(node);
        call->test = find_test(call->name);
        if (call->test == nullptr && !scope.soft) {
          raise_at(node->line, "No test named ", repr_string(call->name), ".");
        }
        break;
      }
      default: break;
    }
    for_each_child(node, [&](Expression*& child) { expression(child, scope); });
    scope.soft = soft;
  }

  void body(Body statements, Scope& scope) {
    for (Statement* statement : statements) this->statement(statement, scope);
  }

  void statement(Statement* node, Scope& scope) {
    const Nesting nesting(*this, node->line);
    switch (node->kind) {
      case StatementKind::text: break;
      case StatementKind::break_:
      case StatementKind::continue_:
        if (scope.loops == 0) {
          raise_at(node->line, node->kind == StatementKind::break_
                                   ? "'break' outside loop"
                                   : "'continue' not properly in loop");
        }
        break;
      case StatementKind::print: expression(static_cast<Print*>(node)->value, scope); break;
      case StatementKind::if_: if_(static_cast<If*>(node), scope); break;
      case StatementKind::for_: for_(static_cast<For*>(node), scope); break;
      case StatementKind::set:
        expression(static_cast<Set*>(node)->target, scope);
        expression(static_cast<Set*>(node)->value, scope);
        break;
      case StatementKind::set_block: set_block(static_cast<SetBlock*>(node), scope); break;
      case StatementKind::macro: {
        auto* statement = static_cast<MacroStatement*>(node);
        macro(statement->macro, scope, node->line);
        statement->place = place(statement->macro.name, scope);
        break;
      }
      case StatementKind::call_block: {
        auto* block = static_cast<CallBlock*>(node);
        macro(block->macro, scope, node->line);
        if (block->call != nullptr) expression(block->call, scope);
        break;
      }
      case StatementKind::filter_block: {
        auto* block = static_cast<FilterBlock*>(node);
        Scope inner(&scope, scope.function);
        Analysis(inner).body(block->body);
        Analysis(inner).read(block->filter);
        body(block->body, inner);
        expression(block->filter, inner);
        block->loads = loads(inner);
        break;
      }
      case StatementKind::with: with(static_cast<With*>(node), scope); break;
    }
  }

  void if_(If* node, Scope& scope) {
    const bool soft = scope.soft;
    scope.soft = true;
    for (Branch& branch : node->branches) {
      expression(branch.test, scope);
      body(branch.body, scope);
    }
    body(node->otherwise, scope);
    scope.soft = soft;
  }

  void for_(For* node, Scope& scope) {
    node->extended = node->recursive || uses_undeclared(node->body, "loop");
    check_loop_is_not_written(node);

    if (node->test != nullptr) {
      FunctionScope function{.parent = scope.function};
      Scope inner(&scope, &function);
      Analysis(inner).declare(node->target);
      Analysis(inner).read(node->test);
      node->test_target = copy_target(node->target);
      expression(node->test_target, inner);
      expression(node->test, inner);
      node->test_loads = loads(inner);
      node->test_function.slots = static_cast<int>(function.slots.size());
    }

    FunctionScope own{.parent = scope.function};
    FunctionScope* function = node->recursive ? &own : scope.function;
    Scope inner(&scope, function);
    if (node->extended) node->loop_slot = inner.declare("loop");
    Analysis(inner).declare(node->target);
    Analysis(inner).body(node->body);
    ++inner.loops;
    expression(node->target, inner);
    expression(node->iterable, scope);
    body(node->body, inner);
    node->loads = loads(inner);
    if (node->has_else) {
      Scope otherwise(&scope, function);
      Analysis(otherwise).body(node->otherwise);
      body(node->otherwise, otherwise);
      node->otherwise_loads = loads(otherwise);
    }
    if (node->recursive) node->function.slots = static_cast<int>(own.slots.size());
  }

  static void check_loop_is_not_written(For* node) {
    bool written = false;
    const auto use = [](std::string_view) {};
    const auto define = [&](std::string_view name, bool by_set) {
      written = written || (by_set && name == "loop");
    };
    Statement* statements[] = {node};
    NameWalk(use, define).body(statements);
    if (written) {
      raise_at(node->line, "Can't assign to special loop variable in for-loop target");
    }
  }

  // The condition of a loop runs apart from its body, with slots of its own for the target.
  Expression* copy_target(Expression* target) {
    if (target->kind == ExpressionKind::name) {
      return heap_.make<Name>(*static_cast<Name*>(target));
    }
    std::vector<Expression*> items;
    for (Expression* item : static_cast<Items*>(target)->items) items.push_back(copy_target(item));
    return heap_.make<Items>(static_cast<Expression>(*target), heap_.copy(items));
  }

  void set_block(SetBlock* node, Scope& scope) {
    Scope inner(&scope, scope.function);
    Analysis(inner).body(node->body);
    body(node->body, inner);
    expression(node->target, scope);
    if (node->filter != nullptr) expression(node->filter, inner);
    node->loads = loads(inner);
  }

  void macro(MacroDefinition& macro, Scope& scope, int line) {
    FunctionScope function{.parent = scope.function};
    Scope inner(&scope, &function);
    Analysis(inner).macro(macro);
    bool has_kwargs = false, has_varargs = false;
    const Parameter* caller = nullptr;
    for (const Parameter& parameter : macro.parameters) {
      if (parameter.name->name == "caller") caller = &parameter;
      has_kwargs = has_kwargs || parameter.name->name == "kwargs";
      has_varargs = has_varargs || parameter.name->name == "varargs";
    }
    macro.explicit_caller = caller != nullptr;
    if (uses_undeclared(macro.body, "caller")) {
      if (caller == nullptr) {
        macro.caller_slot = inner.declare("caller");
      } else if (caller->default_value == nullptr) {
        raise_at(line,
                 "When defining macros or call blocks the special \"caller\" argument must be "
                 "omitted or be given a default.");
      }
    }
    if (!has_kwargs && uses_undeclared(macro.body, "kwargs")) {
      macro.kwargs_slot = inner.declare("kwargs");
    }
    if (!has_varargs && uses_undeclared(macro.body, "varargs")) {
      macro.varargs_slot = inner.declare("varargs");
    }
    for (Parameter& parameter : macro.parameters) {
      expression(parameter.name, inner);
      if (parameter.default_value != nullptr) expression(parameter.default_value, inner);
    }
    body(macro.body, inner);
    macro.loads = loads(inner);
    macro.function.slots = static_cast<int>(function.slots.size());
  }

  void with(With* node, Scope& scope) {
    Scope inner(&scope, scope.function);
    for (WithTarget& entry : node->targets) Analysis(inner).declare(entry.target);
    Analysis(inner).body(node->body);
    for (WithTarget& entry : node->targets) {
      expression(entry.target, inner);
      expression(entry.value, scope);
    }
    body(node->body, inner);
    node->loads = loads(inner);
  }

  Heap& heap_;
  std::vector<Variable> variables_;
  int nesting_ = 0;
};

}  // namespace

Program resolve_names(Body body, Heap& heap) { return Resolver(heap).program(body); }

}  // namespace spate::jinja
