// Runs a program: walks its statements and writes text.
#pragma once

#include <span>
#include <string>

#include "text/jinja/ast.h"
#include "text/jinja/calls.h"
#include "text/jinja/macro.h"
#include "text/jinja/runtime.h"

namespace spate::jinja {

class Interpreter {
 public:
  // `variables`: a value, or missing, for each of the program's variables. All must outlive this.
  Interpreter(const Program& program, Runtime& runtime, std::span<const Value> variables)
      : program_(program), runtime_(runtime), variables_(variables) {}

  // Raises a Failure; line() is then where it happened.
  void run(std::string& out);
  int line() const { return line_; }

 private:
  friend class LoopCondition;
  enum class Flow { on, break_, continue_ };

  // interpreter.cc: statements
  Flow execute(Body body);
  Flow execute(const Statement& statement);
  Flow execute_if(const If& node);
  Flow execute_for(const For& node);
  Flow run_loop(const For& node, const Value& iterable, int depth0, Activation* outside);
  Flow execute_set_block(const SetBlock& node);
  Flow execute_filter_block(const FilterBlock& node);
  Flow execute_with(const With& node);
  void execute_call_block(const CallBlock& node);
  Value make_macro(const MacroDefinition& definition);
  Value call_macro(const Macro& macro, const Arguments& arguments);
  void fill_parameters(const Macro& macro, const Arguments& arguments);
  Value call_loop(Loop& loop, const Arguments& arguments);
  void enter(Loads loads);
  void assign(const Expression& target, const Value& value);
  void check_spaces(const Expression& target);
  Value read_target(const Expression& target);
  Activation* activate(Activation* parent, const FunctionInfo& function);

  // Runs `work` with its output going to a text of its own.
  template <class Work>
  Flow capture(std::string& text, const Work& work);

  // evaluate.cc: expressions
  Value evaluate(const Expression& node);
  Value evaluate_name(const Name& node);
  Value evaluate_items(const Items& node);
  Value evaluate_dict(const DictDisplay& node);
  Value evaluate_concat(const Items& node);
  Value evaluate_compare(const Compare& node);
  Value evaluate_conditional(const Conditional& node);
  Value evaluate_item(const Item& node);
  Value evaluate_call(const Call& node, const Value* caller);
  Value evaluate_filter(const FilterCall& node, const Value* block);
  Value evaluate_test(const TestCall& node);
  Arguments evaluate_arguments(const CallArguments& arguments, const Value* caller);
  Value call(const Value& callee, const Arguments& arguments);

  const Value& value_at(const Place& place) const;
  Value& slot(const Place& place);

  const Program& program_;
  Runtime& runtime_;
  std::span<const Value> variables_;
  Activation* here_ = nullptr;
  std::string* out_ = nullptr;
  int line_ = 1;
};

}  // namespace spate::jinja
