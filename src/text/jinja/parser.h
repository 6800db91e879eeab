// Tokens -> statements and expressions, by jinja2's grammar and with its messages.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/ast.h"
#include "text/jinja/lexer.h"

namespace spate::jinja {

class Parser {
 public:
  // `source` is normalised; it and `heap` must outlive the program.
  Parser(std::string_view source, Heap& heap) : heap_(heap), lexer_(source, heap) {
    current_ = lexer_.next();
  }

  // Raises a Failure with a line.
  Body parse();

 private:
  using Words = std::vector<std::string_view>;

  // parser.cc: the token stream and statements
  Token next();
  const Token& look();
  bool at(TokenType type) const { return current_.type == type; }
  bool at_word(std::string_view word) const { return at(TokenType::name) && current_.text == word; }
  bool skip(TokenType type);
  bool skip_word(std::string_view word);
  Token expect(TokenType type);
  Token expect_word(std::string_view word);
  [[noreturn]] void fail_expecting(std::string_view expected);
  [[noreturn]] void fail_at_tag(const Token* unknown);  // null: the template ended

  Body parse_until(const Words& ends);  // data and tags up to one of these tags or the end
  Body parse_block(const Words& ends);  // from the end of a tag; the ending word is current_
  Statement* parse_statement();
  Statement* parse_set();
  Statement* parse_for();
  Statement* parse_if();
  Statement* parse_with();
  Statement* parse_macro();
  Statement* parse_call_block();
  Statement* parse_filter_block();
  Statement* parse_generation();
  void parse_print(std::vector<Statement*>& body);
  std::span<Parameter> parse_parameters();

  // parse_expression.cc
  struct TupleRules {
    bool simple = false;         // names and literals only: assignment targets
    bool conditional = true;     // a if b else c is allowed
    bool parenthesised = false;  // () is the empty tuple
    bool space_attributes = false;
    std::string_view end_word;  // also ends the tuple
  };
  enum class Target { name, any, with_space };

  Expression* parse_target(Target allowed, std::string_view end_word);
  Expression* parse_tuple(const TupleRules& rules);
  Expression* parse_expression(bool conditional = true);
  Expression* parse_conditional();
  Expression* parse_or();
  Expression* parse_and();
  Expression* parse_not();
  Expression* parse_compare();
  Expression* parse_sum();
  Expression* parse_concat();
  Expression* parse_product();
  Expression* parse_power();
  Expression* parse_unary(bool with_filter);
  Expression* parse_primary(bool space_attributes);
  Expression* parse_list();
  Expression* parse_dict();
  Expression* parse_postfix(Expression* node);
  Expression* parse_filters_and_tests(Expression* node);
  Expression* parse_subscript(Expression* node);
  Expression* parse_subscribed();
  Expression* parse_call(Expression* callee);
  CallArguments parse_arguments();
  FilterCall* parse_filter(Expression* operand, bool at_name);
  Expression* parse_test(Expression* operand);

  Expression* binary(ExpressionKind kind, BinaryOperator op, Expression* left, Expression* right,
                     int line);
  Expression* constant(Value value, int line);

  class Nesting;  // counts how deep the parser is
  void link();    // counts operators in a row, which nest to the left

  Heap& heap_;
  Lexer lexer_;
  Token current_;
  Token ahead_;
  bool has_ahead_ = false;
  int nesting_ = 0;
  int links_ = 0;                 // in the current tag
  Words open_tags_;               // names of the tags that are being parsed
  std::vector<Words> end_words_;  // that would close them
};

class Parser::Nesting {
 public:
  explicit Nesting(Parser& parser);
  ~Nesting() { --parser_.nesting_; }
  Nesting(const Nesting&) = delete;
  Nesting& operator=(const Nesting&) = delete;

 private:
  Parser& parser_;
};

}  // namespace spate::jinja
