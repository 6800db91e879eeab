// The expressions of parser.h, from the loosest binding to the tightest.
#include "text/jinja/failure.h"
#include "text/jinja/parser.h"
#include "text/jinja/repr.h"

namespace spate::jinja {
namespace {

struct Math {
  TokenType token;
  BinaryOperator op;
};

constexpr Math kSums[] = {{TokenType::add, BinaryOperator::add},
                          {TokenType::sub, BinaryOperator::sub}};
constexpr Math kProducts[] = {{TokenType::mul, BinaryOperator::mul},
                              {TokenType::div, BinaryOperator::div},
                              {TokenType::floordiv, BinaryOperator::floordiv},
                              {TokenType::mod, BinaryOperator::mod}};

struct Comparing {
  TokenType token;
  Comparison op;
};

constexpr Comparing kComparisons[] = {
    {TokenType::eq, Comparison::eq}, {TokenType::ne, Comparison::ne},
    {TokenType::lt, Comparison::lt}, {TokenType::lteq, Comparison::lteq},
    {TokenType::gt, Comparison::gt}, {TokenType::gteq, Comparison::gteq}};

struct Literal {
  std::string_view word;
  bool is_none, truth;
};

constexpr Literal kLiterals[] = {{"true", false, true},   {"True", false, true},
                                 {"false", false, false}, {"False", false, false},
                                 {"none", true, false},   {"None", true, false}};

template <size_t N>
const Math* find_math(const Math (&table)[N], TokenType token) {
  for (const Math& entry : table) {
    if (entry.token == token) return &entry;
  }
  return nullptr;
}

bool can_assign(const Expression* target) {
  switch (target->kind) {
    case ExpressionKind::name:
    case ExpressionKind::space_attribute: return true;
    case ExpressionKind::tuple:
      for (const Expression* item : static_cast<const Items*>(target)->items) {
        if (!can_assign(item)) return false;
      }
      return true;
    default: return false;
  }
}

// jinja2's name of what cannot be assigned to.
std::string_view node_name(const Expression* node) {
  switch (node->kind) {
    case ExpressionKind::constant: return "const";
    case ExpressionKind::list: return "list";
    case ExpressionKind::dict: return "dict";
    case ExpressionKind::tuple: return "tuple";
    default: return "expression";
  }
}

}  // namespace

Expression* Parser::binary(ExpressionKind kind, BinaryOperator op, Expression* left,
                           Expression* right, int line) {
  link();
  return heap_.make<Binary>(Expression{kind, line}, op, left, right);
}

Expression* Parser::constant(Value value, int line) {
  return heap_.make<Constant>(Expression{ExpressionKind::constant, line}, value);
}

Expression* Parser::parse_target(Target allowed, std::string_view end_word) {
  if (allowed == Target::name) {
    const Token token = expect(TokenType::name);
    for (const Literal& literal : kLiterals) {
      if (literal.word == token.text) raise_at(token.line, "can't assign to 'name'");
    }
    return heap_.make<Name>(Expression{ExpressionKind::name, token.line}, token.text);
  }
  Expression* target = parse_tuple(
      {.simple = true, .space_attributes = allowed == Target::with_space, .end_word = end_word});
  if (!can_assign(target)) {
    raise_at(target->line, "can't assign to ", repr_string(node_name(target)));
  }
  return target;
}

Expression* Parser::parse_tuple(const TupleRules& rules) {
  int line = current_.line;
  std::vector<Expression*> items;
  bool is_tuple = false;
  while (true) {
    if (!items.empty()) expect(TokenType::comma);
    if (at(TokenType::variable_end) || at(TokenType::block_end) || at(TokenType::rparen)) break;
    if (!rules.end_word.empty() && at_word(rules.end_word)) break;
    items.push_back(rules.simple ? parse_primary(rules.space_attributes)
                                 : parse_expression(rules.conditional));
    if (!at(TokenType::comma)) break;
    is_tuple = true;
    line = current_.line;
  }
  if (!is_tuple) {
    if (!items.empty()) return items[0];
    if (!rules.parenthesised) {
      raise_at(current_.line, "Expected an expression, got ", repr_string(describe(current_)));
    }
  }
  return heap_.make<Items>(Expression{ExpressionKind::tuple, line}, heap_.copy(items));
}

Expression* Parser::parse_expression(bool conditional) {
  return conditional ? parse_conditional() : parse_or();
}

Expression* Parser::parse_conditional() {
  const Nesting nesting(*this);
  int line = current_.line;
  Expression* node = parse_or();
  while (skip_word("if")) {
    link();
    Expression* test = parse_or();
    Expression* otherwise = skip_word("else") ? parse_conditional() : nullptr;
    node = heap_.make<Conditional>(Expression{ExpressionKind::conditional, line}, test, node,
                                   otherwise);
    line = current_.line;
  }
  return node;
}

Expression* Parser::parse_or() {
  int line = current_.line;
  Expression* node = parse_and();
  while (skip_word("or")) {
    node = binary(ExpressionKind::logical_or, {}, node, parse_and(), line);
    line = current_.line;
  }
  return node;
}

Expression* Parser::parse_and() {
  int line = current_.line;
  Expression* node = parse_not();
  while (skip_word("and")) {
    node = binary(ExpressionKind::logical_and, {}, node, parse_not(), line);
    line = current_.line;
  }
  return node;
}

Expression* Parser::parse_not() {
  if (!at_word("not")) return parse_compare();
  const Nesting nesting(*this);
  const int line = next().line;
  return heap_.make<Unary>(Expression{ExpressionKind::logical_not, line}, parse_not());
}

Expression* Parser::parse_compare() {
  int line = current_.line;
  Expression* first = parse_sum();
  std::vector<Comparand> rest;
  while (true) {
    const Comparing* found = nullptr;
    for (const Comparing& entry : kComparisons) {
      if (at(entry.token)) found = &entry;
    }
    if (found != nullptr) {
      next();
      rest.push_back({found->op, parse_sum()});
    } else if (skip_word("in")) {
      rest.push_back({Comparison::in, parse_sum()});
    } else if (at_word("not") && look().type == TokenType::name && look().text == "in") {
      next();
      next();
      rest.push_back({Comparison::not_in, parse_sum()});
    } else {
      break;
    }
    line = current_.line;
  }
  if (rest.empty()) return first;
  return heap_.make<Compare>(Expression{ExpressionKind::compare, line}, first, heap_.copy(rest));
}

Expression* Parser::parse_sum() {
  int line = current_.line;
  Expression* node = parse_concat();
  while (const Math* found = find_math(kSums, current_.type)) {
    next();
    node = binary(ExpressionKind::binary, found->op, node, parse_concat(), line);
    line = current_.line;
  }
  return node;
}

Expression* Parser::parse_concat() {
  const int line = current_.line;
  std::vector<Expression*> items = {parse_product()};
  while (skip(TokenType::tilde)) items.push_back(parse_product());
  if (items.size() == 1) return items[0];
  return heap_.make<Items>(Expression{ExpressionKind::concat, line}, heap_.copy(items));
}

Expression* Parser::parse_product() {
  int line = current_.line;
  Expression* node = parse_power();
  while (const Math* found = find_math(kProducts, current_.type)) {
    next();
    node = binary(ExpressionKind::binary, found->op, node, parse_power(), line);
    line = current_.line;
  }
  return node;
}

Expression* Parser::parse_power() {
  int line = current_.line;
  Expression* node = parse_unary(true);
  while (skip(TokenType::pow)) {  // from left to right, unlike Python
    node = binary(ExpressionKind::binary, BinaryOperator::pow, node, parse_unary(true), line);
    line = current_.line;
  }
  return node;
}

Expression* Parser::parse_unary(bool with_filter) {
  const Nesting nesting(*this);
  const int line = current_.line;
  Expression* node = nullptr;
  if (skip(TokenType::sub)) {
    node = heap_.make<Unary>(Expression{ExpressionKind::negative, line}, parse_unary(false));
  } else if (skip(TokenType::add)) {
    node = heap_.make<Unary>(Expression{ExpressionKind::positive, line}, parse_unary(false));
  } else {
    node = parse_primary(false);
  }
  node = parse_postfix(node);
  return with_filter ? parse_filters_and_tests(node) : node;
}

Expression* Parser::parse_primary(bool space_attributes) {
  const Token token = current_;
  switch (token.type) {
    case TokenType::name: {
      next();
      for (const Literal& literal : kLiterals) {
        if (literal.word == token.text) {
          return constant(literal.is_none ? none() : boolean(literal.truth), token.line);
        }
      }
      if (space_attributes && skip(TokenType::dot)) {
        const std::string_view attribute = expect(TokenType::name).text;
        return heap_.make<SpaceAttribute>(Expression{ExpressionKind::space_attribute, token.line},
                                          token.text, attribute);
      }
      return heap_.make<Name>(Expression{ExpressionKind::name, token.line}, token.text);
    }
    case TokenType::string: {
      next();
      if (!at(TokenType::string)) return constant(string(token.text), token.line);
      std::string joined(token.text);  // "a" "b" is one string
      while (at(TokenType::string)) joined += next().text;
      return constant(string_value(heap_, joined), token.line);
    }
    case TokenType::integer: next(); return constant(integer(token.integer), token.line);
    case TokenType::number: next(); return constant(number(token.number), token.line);
    case TokenType::lparen: {
      next();
      Expression* node = parse_tuple({.parenthesised = true});
      expect(TokenType::rparen);
      return node;
    }
    case TokenType::lbracket: return parse_list();
    case TokenType::lbrace: return parse_dict();
    default: raise_at(token.line, "unexpected ", repr_string(describe(token)));
  }
}

Expression* Parser::parse_list() {
  const int line = next().line;
  std::vector<Expression*> items;
  while (!at(TokenType::rbracket)) {
    if (!items.empty()) expect(TokenType::comma);
    if (at(TokenType::rbracket)) break;
    items.push_back(parse_expression());
  }
  expect(TokenType::rbracket);
  return heap_.make<Items>(Expression{ExpressionKind::list, line}, heap_.copy(items));
}

Expression* Parser::parse_dict() {
  const int line = next().line;
  std::vector<Pair> pairs;
  while (!at(TokenType::rbrace)) {
    if (!pairs.empty()) expect(TokenType::comma);
    if (at(TokenType::rbrace)) break;
    Expression* key = parse_expression();
    expect(TokenType::colon);
    pairs.push_back({key, parse_expression()});
  }
  expect(TokenType::rbrace);
  return heap_.make<DictDisplay>(Expression{ExpressionKind::dict, line}, heap_.copy(pairs));
}

Expression* Parser::parse_postfix(Expression* node) {
  while (true) {
    if (at(TokenType::dot) || at(TokenType::lbracket)) {
      node = parse_subscript(node);
    } else if (at(TokenType::lparen)) {
      node = parse_call(node);
    } else {
      return node;
    }
  }
}

Expression* Parser::parse_filters_and_tests(Expression* node) {
  while (true) {
    if (at(TokenType::pipe)) {
      node = parse_filter(node, false);
    } else if (at_word("is")) {
      node = parse_test(node);
    } else if (at(TokenType::lparen)) {
      node = parse_call(node);
    } else {
      return node;
    }
  }
}

Expression* Parser::parse_subscript(Expression* node) {
  link();
  const Token token = next();
  const Expression item{ExpressionKind::item, token.line};
  if (token.type == TokenType::dot) {
    const Token name = next();
    if (name.type == TokenType::name) {
      return heap_.make<Attribute>(Expression{ExpressionKind::attribute, token.line}, node,
                                   name.text);
    }
    if (name.type != TokenType::integer) raise_at(name.line, "expected name or number");
    return heap_.make<Item>(item, node, constant(integer(name.integer), name.line));
  }
  std::vector<Expression*> keys;
  while (!at(TokenType::rbracket)) {
    if (!keys.empty()) expect(TokenType::comma);
    keys.push_back(parse_subscribed());
  }
  expect(TokenType::rbracket);
  Expression* key =
      keys.size() == 1
          ? keys[0]
          : heap_.make<Items>(Expression{ExpressionKind::tuple, token.line}, heap_.copy(keys));
  return heap_.make<Item>(item, node, key);
}

Expression* Parser::parse_subscribed() {
  const int line = current_.line;
  Expression* parts[3] = {};
  if (!at(TokenType::colon)) {
    parts[0] = parse_expression();
    if (!at(TokenType::colon)) return parts[0];
  }
  next();
  const auto at_part = [&] {
    return !at(TokenType::colon) && !at(TokenType::rbracket) && !at(TokenType::comma);
  };
  if (at_part()) parts[1] = parse_expression();
  if (skip(TokenType::colon) && !at(TokenType::rbracket) && !at(TokenType::comma)) {
    parts[2] = parse_expression();
  }
  return heap_.make<Slice>(Expression{ExpressionKind::slice, line}, parts[0], parts[1], parts[2]);
}

CallArguments Parser::parse_arguments() {
  const int line = expect(TokenType::lparen).line;
  std::vector<Expression*> positional;
  std::vector<NamedArgument> named;
  CallArguments result;
  bool needs_comma = false;
  const auto ensure = [&](bool good) {
    if (!good) raise_at(line, "invalid syntax for function call expression");
  };
  while (!at(TokenType::rparen)) {
    if (needs_comma) {
      expect(TokenType::comma);
      if (at(TokenType::rparen)) break;
    }
    needs_comma = true;
    if (at(TokenType::mul)) {
      ensure(result.more_positional == nullptr && result.more_named == nullptr);
      next();
      result.more_positional = parse_expression();
    } else if (at(TokenType::pow)) {
      ensure(result.more_named == nullptr);
      next();
      result.more_named = parse_expression();
    } else if (at(TokenType::name) && look().type == TokenType::assign) {
      ensure(result.more_named == nullptr);
      const std::string_view name = next().text;
      next();
      named.push_back({name, parse_expression()});
    } else {
      ensure(result.more_positional == nullptr && result.more_named == nullptr && named.empty());
      positional.push_back(parse_expression());
    }
  }
  expect(TokenType::rparen);
  result.positional = heap_.copy(positional);
  result.named = heap_.copy(named);
  return result;
}

Expression* Parser::parse_call(Expression* callee) {
  link();
  const int line = current_.line;
  const CallArguments arguments = parse_arguments();
  return heap_.make<Call>(Expression{ExpressionKind::call, line}, callee, arguments);
}

// All filters in a row; with `at_name` the first one has no bar before it.
FilterCall* Parser::parse_filter(Expression* operand, bool at_name) {
  FilterCall* node = nullptr;
  while (at_name || at(TokenType::pipe)) {
    link();
    if (!at_name) next();
    at_name = false;
    const Token token = expect(TokenType::name);
    std::string name(token.text);
    while (skip(TokenType::dot)) name += cat(".", expect(TokenType::name).text);
    CallArguments arguments;
    if (at(TokenType::lparen)) arguments = parse_arguments();
    node = heap_.make<FilterCall>(Expression{ExpressionKind::filter, token.line},
                                  node == nullptr ? operand : node, heap_.copy(name), arguments);
  }
  return node;
}

Expression* Parser::parse_test(Expression* operand) {
  link();
  const int line = next().line;
  const bool negated = skip_word("not");
  std::string name(expect(TokenType::name).text);
  while (skip(TokenType::dot)) name += cat(".", expect(TokenType::name).text);
  CallArguments arguments;
  const bool at_argument = at(TokenType::name) || at(TokenType::string) || at(TokenType::integer) ||
                           at(TokenType::number) || at(TokenType::lbracket) ||
                           at(TokenType::lbrace);
  if (at(TokenType::lparen)) {
    arguments = parse_arguments();
  } else if (at_argument && !at_word("else") && !at_word("or") && !at_word("and")) {
    if (at_word("is")) raise_at(current_.line, "You cannot chain multiple tests with is");
    const std::vector<Expression*> one = {parse_postfix(parse_primary(false))};
    arguments.positional = heap_.copy(one);
  }
  Expression* node = heap_.make<TestCall>(Expression{ExpressionKind::test, line}, operand,
                                          heap_.copy(name), arguments);
  if (negated) node = heap_.make<Unary>(Expression{ExpressionKind::logical_not, line}, node);
  return node;
}

}  // namespace spate::jinja
