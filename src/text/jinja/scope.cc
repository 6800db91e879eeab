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
#include "text/jinja/visit.h"

namespace spate::jinja {
namespace {

// Something that gets slots of its own.
struct FunctionScope {
  const FunctionScope* parent = nullptr;
  std::map<std::pair<int, std::string_view>, int> slots;  // (level of the scope, name) -> slot

  int slot(int level, std::string_view name) {
    return slots.try_emplace({level, name}, static_cast<int>(slots.size())).first->second;
  }
};

struct Scope {
  enum class How { parameter, resolve, alias, nothing };
  struct Entry {
    How how;
    std::string_view name;
  };

  Scope* parent = nullptr;
  FunctionScope* function = nullptr;
  int level = 0;
  std::map<std::string_view, int> refs;
  std::map<int, Entry> loads;
  std::set<std::string_view> stores;
  // Of the frame, not of the names:
  bool soft = false;  // inside an if: unknown filters fail only when they run
  int loops = 0;      // for statements around, within the function

  Scope(Scope* parent_scope, FunctionScope* owner)
      : parent(parent_scope),
        function(owner),
        level(parent_scope == nullptr ? 0 : parent_scope->level + 1),
        loops(parent_scope != nullptr && parent_scope->function == owner ? parent_scope->loops
                                                                         : 0) {}

  // Where a name is, seen from this scope; false when no scope knows it.
  bool find(std::string_view name, Place& place) const {
    place.up = 0;
    const FunctionScope* seen = function;
    for (const Scope* scope = this; scope != nullptr; scope = scope->parent) {
      while (seen != scope->function) {
        seen = seen->parent;
        ++place.up;
      }
      const auto found = scope->refs.find(name);
      if (found != scope->refs.end()) {
        place.index = found->second;
        return true;
      }
    }
    return false;
  }

  bool is_known_outside(std::string_view name) const {
    Place place;
    return parent != nullptr && parent->find(name, place);
  }

  int define(std::string_view name, Entry entry) {
    const int slot = function->slot(level, name);
    refs[name] = slot;
    loads[slot] = entry;
    return slot;
  }

  void store(std::string_view name) {
    stores.insert(name);
    if (refs.count(name) > 0) return;
    define(name, {is_known_outside(name) ? How::alias : How::nothing, name});
  }

  int declare(std::string_view name) {
    stores.insert(name);
    return define(name, {How::parameter, name});
  }

  void load(std::string_view name) {
    Place place;
    if (!find(name, place)) define(name, {How::resolve, name});
  }

  // After an if: what only some branches write starts with its value from outside.
  void merge(const std::vector<Scope>& branches) {
    std::set<std::string_view> written;
    for (const Scope& branch : branches) written.insert(branch.stores.begin(), branch.stores.end());
    for (const std::string_view name : stores) written.erase(name);
    for (const Scope& branch : branches) {
      for (const auto& [name, slot] : branch.refs) refs[name] = slot;
      for (const auto& [slot, entry] : branch.loads) loads[slot] = entry;
      stores.insert(branch.stores.begin(), branch.stores.end());
    }
    for (const std::string_view name : written) {
      loads[refs[name]] = {is_known_outside(name) ? How::alias : How::resolve, name};
    }
  }
};

// Fills a scope with the names that its statements use, without entering inner scopes.
class Analysis {
 public:
  explicit Analysis(Scope& scope) : scope_(scope) {}

  void body(Body statements) {
    for (Statement* statement : statements) this->statement(statement);
  }

  void read(Expression* node) {
    if (node->kind == ExpressionKind::name) scope_.load(static_cast<Name*>(node)->name);
    for_each_child(node, [&](Expression*& child) { read(child); });
  }

  void write(Expression* node) {
    if (node->kind == ExpressionKind::name) {
      scope_.store(static_cast<Name*>(node)->name);
    } else if (node->kind == ExpressionKind::space_attribute) {
      scope_.load(static_cast<SpaceAttribute*>(node)->name);
    }
    for_each_child(node, [&](Expression*& child) { write(child); });
  }

  void declare(Expression* node) {
    if (node->kind == ExpressionKind::name) scope_.declare(static_cast<Name*>(node)->name);
    for_each_child(node, [&](Expression*& child) { declare(child); });
  }

  void macro(MacroDefinition& macro) {
    for (Parameter& parameter : macro.parameters) scope_.declare(parameter.name->name);
    for (Parameter& parameter : macro.parameters) {
      if (parameter.default_value != nullptr) read(parameter.default_value);
    }
    body(macro.body);
  }

 private:
  void statement(Statement* node) {
    switch (node->kind) {
      case StatementKind::text:
      case StatementKind::break_:
      case StatementKind::continue_: break;
      case StatementKind::print: read(static_cast<Print*>(node)->value); break;
      case StatementKind::if_: if_(static_cast<If*>(node)); break;
      case StatementKind::for_: read(static_cast<For*>(node)->iterable); break;
      case StatementKind::set:
        read(static_cast<Set*>(node)->value);
        write(static_cast<Set*>(node)->target);
        break;
      case StatementKind::set_block: write(static_cast<SetBlock*>(node)->target); break;
      case StatementKind::macro:
        scope_.store(static_cast<MacroStatement*>(node)->macro.name);
        break;
      case StatementKind::call_block:
        if (static_cast<CallBlock*>(node)->call != nullptr) {
          read(static_cast<CallBlock*>(node)->call);
        }
        break;
      case StatementKind::filter_block: read(static_cast<FilterBlock*>(node)->filter); break;
      case StatementKind::with:
        for (WithTarget& entry : static_cast<With*>(node)->targets) read(entry.value);
        break;
    }
  }

  // jinja2 nests each elif in a branch of its own, beside the first body and the else.
  void if_(If* node) {
    read(node->branches[0].test);
    std::vector<Scope> branches;
    const auto branch = [&](const auto& visit) {
      Scope copy = scope_;
      Analysis inner(copy);
      visit(inner);
      branches.push_back(std::move(copy));
    };
    branch([&](Analysis& inner) { inner.body(node->branches[0].body); });
    branch([&](Analysis& inner) {
      for (size_t i = 1; i < node->branches.size(); ++i) {
        inner.read(node->branches[i].test);
        std::vector<Scope> only = {inner.scope_, inner.scope_, inner.scope_};
        Analysis(only[0]).body(node->branches[i].body);
        inner.scope_.merge(only);
      }
    });
    branch([&](Analysis& inner) { inner.body(node->otherwise); });
    scope_.merge(branches);
  }

  Scope& scope_;
};

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
