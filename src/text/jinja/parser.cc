// The token stream and the statements; expressions are in parse_expression.cc.
#include "text/jinja/parser.h"

#include <algorithm>

#include "text/jinja/failure.h"
#include "text/jinja/limits.h"
#include "text/jinja/repr.h"

namespace spate::jinja {
namespace {

// Tags of templates that are made of several files.
constexpr std::string_view kOtherFileTags[] = {"block",  "extends", "include",
                                               "import", "from",    "autoescape"};

std::string join_or(const std::vector<std::string_view>& words) {
  std::string result;
  for (const std::string_view word : words) {
    if (!result.empty()) result += " or ";
    result += repr_string(word);
  }
  return result;
}

}  // namespace

Parser::Nesting::Nesting(Parser& parser) : parser_(parser) {
  if (++parser_.nesting_ > kMaxNesting) {
    --parser_.nesting_;
    raise_at(parser_.current_.line, "nested deeper than ", kMaxNesting, " levels");
  }
}

void Parser::link() {
  if (++links_ > kMaxLinks) {
    raise_at(current_.line, "more than ", kMaxLinks, " operators in one tag");
  }
}

Token Parser::next() {
  Token token = current_;
  if (has_ahead_) {
    current_ = ahead_;
    has_ahead_ = false;
  } else if (!at(TokenType::end)) {
    current_ = lexer_.next();
  }
  return token;
}

const Token& Parser::look() {
  if (!has_ahead_) {
    ahead_ = lexer_.next();
    has_ahead_ = true;
  }
  return ahead_;
}

bool Parser::skip(TokenType type) {
  if (!at(type)) return false;
  next();
  return true;
}

bool Parser::skip_word(std::string_view word) {
  if (!at_word(word)) return false;
  next();
  return true;
}

void Parser::fail_expecting(std::string_view expected) {
  if (at(TokenType::end)) {
    raise_at(current_.line, "unexpected end of template, expected ", repr_string(expected), ".");
  }
  raise_at(current_.line, "expected token ", repr_string(expected), ", got ",
           repr_string(describe(current_)));
}

Token Parser::expect(TokenType type) {
  if (!at(type)) fail_expecting(describe(type));
  return next();
}

Token Parser::expect_word(std::string_view word) {
  if (!at_word(word)) fail_expecting(word);
  return next();
}

void Parser::fail_at_tag(const Token* unknown) {
  std::string message = unknown == nullptr
                            ? "Unexpected end of template."
                            : cat("Encountered unknown tag ", repr_string(unknown->text), ".");
  if (!end_words_.empty()) {
    const std::string looking_for = join_or(end_words_.back());
    const bool expected =
        unknown != nullptr &&
        std::any_of(end_words_.begin(), end_words_.end(), [&](const Words& words) {
          return std::count(words.begin(), words.end(), unknown->text) > 0;
        });
    message += expected ? cat(" You probably made a nesting mistake. Jinja is expecting this tag, "
                              "but currently looking for ",
                              looking_for, ".")
                        : cat(" Jinja was looking for the following tags: ", looking_for, ".");
  }
  if (!open_tags_.empty()) {
    message += cat(" The innermost block that needs to be closed is ",
                   repr_string(open_tags_.back()), ".");
  }
  raise_at(unknown == nullptr ? current_.line : unknown->line, message);
}

Body Parser::parse() { return parse_until({}); }

Body Parser::parse_until(const Words& ends) {
  const Nesting nesting(*this);
  std::vector<Statement*> body;
  if (!ends.empty()) end_words_.push_back(ends);
  while (!at(TokenType::end)) {
    links_ = 0;
    if (at(TokenType::data)) {
      body.push_back(
          heap_.make<Text>(Statement{StatementKind::text, current_.line}, current_.text));
      next();
    } else if (skip(TokenType::variable_begin)) {
      Expression* value = parse_tuple({});
      body.push_back(heap_.make<Print>(Statement{StatementKind::print, value->line}, value));
      expect(TokenType::variable_end);
    } else {
      expect(TokenType::block_begin);
      const bool ended =
          at(TokenType::name) && std::count(ends.begin(), ends.end(), current_.text) > 0;
      if (ended) break;
      if (at_word("print")) {
        parse_print(body);
      } else {
        body.push_back(parse_statement());
      }
      expect(TokenType::block_end);
    }
  }
  if (!ends.empty()) end_words_.pop_back();
  return heap_.copy(body);
}

Body Parser::parse_block(const Words& ends) {
  skip(TokenType::colon);
  expect(TokenType::block_end);
  const Body body = parse_until(ends);
  if (at(TokenType::end)) {
    end_words_.push_back(ends);
    fail_at_tag(nullptr);
  }
  return body;
}

Statement* Parser::parse_statement() {
  if (!at(TokenType::name)) raise_at(current_.line, "tag name expected");
  struct Tag {
    std::string_view word;
    Statement* (Parser::*parse)();
  };
  constexpr Tag kTags[] = {
      {"set", &Parser::parse_set},         {"if", &Parser::parse_if},
      {"for", &Parser::parse_for},         {"macro", &Parser::parse_macro},
      {"call", &Parser::parse_call_block}, {"filter", &Parser::parse_filter_block},
      {"with", &Parser::parse_with},       {"generation", &Parser::parse_generation}};
  for (const Tag& tag : kTags) {
    if (tag.word != current_.text) continue;
    open_tags_.push_back(tag.word);
    Statement* statement = (this->*tag.parse)();
    open_tags_.pop_back();
    return statement;
  }
  if (at_word("break") || at_word("continue")) {
    const Token token = next();
    const StatementKind kind =
        token.text == "break" ? StatementKind::break_ : StatementKind::continue_;
    return heap_.make<Statement>(kind, token.line);
  }
  if (std::count(std::begin(kOtherFileTags), std::end(kOtherFileTags), current_.text) > 0) {
    raise_at(current_.line, "the tag ", repr_string(current_.text),
             " is not supported in chat templates");
  }
  const Token unknown = current_;
  fail_at_tag(&unknown);
}

Statement* Parser::parse_set() {
  const int line = next().line;
  Expression* target = parse_target(Target::with_space, {});
  if (skip(TokenType::assign)) {
    Expression* value = parse_tuple({});
    return heap_.make<Set>(Statement{StatementKind::set, line}, target, value);
  }
  FilterCall* filter = at(TokenType::pipe) ? parse_filter(nullptr, false) : nullptr;
  const Body body = parse_block({"endset"});
  next();
  return heap_.make<SetBlock>(Statement{StatementKind::set_block, line}, target, filter, body);
}

Statement* Parser::parse_for() {
  const int line = next().line;
  Expression* target = parse_target(Target::any, "in");
  expect_word("in");
  Expression* iterable = parse_tuple({.conditional = false, .end_word = "recursive"});
  Expression* test = skip_word("if") ? parse_expression() : nullptr;
  const bool recursive = skip_word("recursive");
  const Body body = parse_block({"endfor", "else"});
  const bool has_else = next().text == "else";
  Body otherwise;
  if (has_else) {
    otherwise = parse_block({"endfor"});
    next();
  }
  return heap_.make<For>(Statement{StatementKind::for_, line}, target, iterable, test, body,
                         otherwise, recursive, has_else && !otherwise.empty());
}

Statement* Parser::parse_if() {
  const int line = next().line;
  std::vector<Branch> branches;
  Body otherwise;
  int branch_line = line;
  while (true) {
    Expression* test = parse_tuple({.conditional = false});
    const Body body = parse_block({"elif", "else", "endif"});
    branches.push_back({branch_line, test, body});
    const Token token = next();
    branch_line = current_.line;
    if (token.text == "elif") continue;
    if (token.text == "else") {
      otherwise = parse_block({"endif"});
      next();
    }
    break;
  }
  return heap_.make<If>(Statement{StatementKind::if_, line}, heap_.copy(branches), otherwise);
}

Statement* Parser::parse_with() {
  const int line = next().line;
  std::vector<WithTarget> targets;
  while (!at(TokenType::block_end)) {
    if (!targets.empty()) expect(TokenType::comma);
    Expression* target = parse_target(Target::any, {});
    expect(TokenType::assign);
    targets.push_back({target, parse_expression()});
  }
  const Body body = parse_block({"endwith"});
  next();
  return heap_.make<With>(Statement{StatementKind::with, line}, heap_.copy(targets), body);
}

std::span<Parameter> Parser::parse_parameters() {
  std::vector<Parameter> parameters;
  bool has_default = false;
  expect(TokenType::lparen);
  while (!at(TokenType::rparen)) {
    if (!parameters.empty()) expect(TokenType::comma);
    auto* name = static_cast<Name*>(parse_target(Target::name, {}));
    Expression* value = nullptr;
    if (skip(TokenType::assign)) {
      value = parse_expression();
      has_default = true;
    } else if (has_default) {
      raise_at(current_.line, "non-default argument follows default argument");
    }
    parameters.push_back({name, value});
  }
  expect(TokenType::rparen);
  return heap_.copy(parameters);
}

Statement* Parser::parse_macro() {
  const int line = next().line;
  const std::string_view name = static_cast<Name*>(parse_target(Target::name, {}))->name;
  const std::span<Parameter> parameters = parse_parameters();
  const Body body = parse_block({"endmacro"});
  next();
  return heap_.make<MacroStatement>(
      Statement{StatementKind::macro, line},
      MacroDefinition{.line = line, .name = name, .parameters = parameters, .body = body});
}

Statement* Parser::parse_call_block() {
  const int line = next().line;
  std::span<Parameter> parameters;
  if (at(TokenType::lparen)) parameters = parse_parameters();
  Expression* call = parse_expression();
  if (call->kind != ExpressionKind::call) raise_at(line, "expected call");
  const Body body = parse_block({"endcall"});
  next();
  return heap_.make<CallBlock>(
      Statement{StatementKind::call_block, line}, static_cast<Call*>(call),
      MacroDefinition{.line = line, .parameters = parameters, .body = body});
}

Statement* Parser::parse_filter_block() {
  const int line = next().line;
  FilterCall* filter = parse_filter(nullptr, true);
  const Body body = parse_block({"endfilter"});
  next();
  return heap_.make<FilterBlock>(Statement{StatementKind::filter_block, line}, filter, body);
}

// transformers' tag around what the assistant said, for training: here only a scope.
Statement* Parser::parse_generation() {
  const int line = next().line;
  const Body body = parse_block({"endgeneration"});
  next();
  return heap_.make<CallBlock>(Statement{StatementKind::call_block, line}, nullptr,
                               MacroDefinition{.line = line, .body = body});
}

void Parser::parse_print(std::vector<Statement*>& body) {
  open_tags_.push_back("print");
  next();
  bool first = true;
  while (!at(TokenType::block_end)) {
    if (!first) expect(TokenType::comma);
    first = false;
    Expression* value = parse_expression();
    body.push_back(heap_.make<Print>(Statement{StatementKind::print, value->line}, value));
  }
  open_tags_.pop_back();
}

}  // namespace spate::jinja
