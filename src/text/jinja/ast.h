// A parsed template: statements and expressions as plain nodes in the template's heap. The parser
// makes them, scope.cc fills in where each name lives (the fields marked "scope"), the interpreter
// reads them.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "text/jinja/value.h"

namespace spate::jinja {

struct Filter;  // calls.h
struct Test;

// ---- Expressions

enum class ExpressionKind : uint8_t {
  constant,
  name,
  list,
  tuple,
  dict,
  concat,
  logical_not,
  logical_and,
  logical_or,
  negative,
  positive,
  binary,
  compare,
  conditional,
  attribute,
  item,
  slice,
  call,
  filter,
  test,
  space_attribute,
};

struct Expression {
  ExpressionKind kind;
  int line;
};

struct Constant : Expression {
  Value value;
};

// Where a name's value is at run time. up < 0: a variable of the request or a global, at `index` of
// the template's list; otherwise slot `index` of the function that encloses this one `up` times.
struct Place {
  int up = -1;
  int index = 0;
};

struct Name : Expression {
  std::string_view name;
  Place place;  // scope
};

struct Items : Expression {  // list, tuple, concat
  std::span<Expression*> items;
};

struct Pair {
  Expression* key;
  Expression* value;
};

struct DictDisplay : Expression {
  std::span<Pair> pairs;
};

struct Unary : Expression {
  Expression* operand;
};

enum class BinaryOperator : uint8_t { add, sub, mul, div, floordiv, mod, pow };

struct Binary : Expression {  // binary, logical_and, logical_or
  BinaryOperator op;
  Expression* left;
  Expression* right;
};

enum class Comparison : uint8_t { eq, ne, lt, lteq, gt, gteq, in, not_in };

struct Comparand {
  Comparison op;
  Expression* operand;
};

struct Compare : Expression {  // a < b < c
  Expression* first;
  std::span<Comparand> rest;
};

struct Conditional : Expression {
  Expression* test;
  Expression* then;
  Expression* otherwise;  // or null
};

struct Attribute : Expression {
  Expression* object;
  std::string_view name;
};

struct Item : Expression {
  Expression* object;
  Expression* key;  // a Slice in x[a:b]
};

struct Slice : Expression {
  Expression* start;  // each or null
  Expression* stop;
  Expression* step;
};

struct NamedArgument {
  std::string_view name;
  Expression* value;
};

struct CallArguments {
  std::span<Expression*> positional;
  std::span<NamedArgument> named;
  Expression* more_positional = nullptr;  // *args
  Expression* more_named = nullptr;       // **kwargs
};

struct Call : Expression {
  Expression* callee;
  CallArguments arguments;
};

struct FilterCall : Expression {
  Expression* operand;  // null in filter blocks: the text of the block
  std::string_view name;
  CallArguments arguments;
  const Filter* filter = nullptr;  // scope; null when there is none and it may never run
};

struct TestCall : Expression {
  Expression* operand;
  std::string_view name;
  CallArguments arguments;
  const Test* test = nullptr;  // scope
};

struct SpaceAttribute : Expression {  // the target of {% set space.name = ... %}
  std::string_view name, attribute;
  Place place;  // scope
};

// ---- Scopes

// What a scope does with one of its names when it is entered.
struct Load {
  int slot = 0;
  bool copies = false;  // from `source`; otherwise the name starts without a value
  Place source;
};

using Loads = std::span<const Load>;

// Code that runs with slots of its own: the template, a macro, a call block, a recursive loop, the
// condition of a loop.
struct FunctionInfo {
  int slots = 0;
};

// ---- Statements

enum class StatementKind : uint8_t {
  text,
  print,
  if_,
  for_,
  set,
  set_block,
  macro,
  call_block,
  filter_block,
  with,
  break_,
  continue_,
};

struct Statement {
  StatementKind kind;
  int line;
};

using Body = std::span<Statement*>;

struct Text : Statement {
  std::string_view text;
};

struct Print : Statement {
  Expression* value;
};

struct Branch {
  int line;
  Expression* test;
  Body body;
};

struct If : Statement {
  std::span<Branch> branches;
  Body otherwise;
};

struct For : Statement {
  Expression* target;
  Expression* iterable;
  Expression* test;  // or null
  Body body, otherwise;
  bool recursive;
  bool has_else;
  // scope:
  bool extended = false;  // the body looks at `loop`
  int loop_slot = 0;
  Loads loads, otherwise_loads, test_loads;
  FunctionInfo function;              // of a recursive loop
  FunctionInfo test_function;         // of the condition
  Expression* test_target = nullptr;  // the target with its places in test_function
};

struct Set : Statement {
  Expression* target;
  Expression* value;
};

struct SetBlock : Statement {
  Expression* target;
  FilterCall* filter;  // or null
  Body body;
  Loads loads;  // scope
};

struct Parameter {
  Name* name;
  Expression* default_value;  // or null
};

struct MacroDefinition {
  int line = 0;
  std::string_view name;  // empty for call blocks
  std::span<Parameter> parameters;
  Body body;
  // scope:
  Loads loads;
  FunctionInfo function;
  int caller_slot = -1, kwargs_slot = -1, varargs_slot = -1;  // -1: the body does not look at it
  bool explicit_caller = false;                               // "caller" is among the parameters
};

struct MacroStatement : Statement {
  MacroDefinition macro;
  Place place;  // scope: where the macro is stored
};

struct CallBlock : Statement {
  Call* call;  // null: the generation tag, which calls the body itself
  MacroDefinition macro;
};

struct FilterBlock : Statement {
  FilterCall* filter;
  Body body;
  Loads loads;  // scope
};

struct WithTarget {
  Expression* target;
  Expression* value;
};

struct With : Statement {
  std::span<WithTarget> targets;
  Body body;
  Loads loads;  // scope
};

// ---- The whole

struct Variable {  // of the request, or a global
  std::string_view name;
  Value global;  // missing when there is no global of this name
};

struct Program {
  Body body;
  // scope:
  FunctionInfo function;
  Loads loads;
  std::span<Variable> variables;
};

}  // namespace spate::jinja
