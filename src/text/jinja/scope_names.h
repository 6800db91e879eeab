// The names of one scope and what becomes of them; used by scope.cc alone. The words are those of
// jinja2's analysis: a scope knows its names (`refs`), what it must do with each when it is entered
// (`loads`) and which ones it writes (`stores`).
#pragma once

#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/visit.h"

namespace spate::jinja {

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

}  // namespace spate::jinja
