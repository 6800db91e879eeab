// Template text -> tokens, with jinja2's rules for whitespace: trim_blocks and lstrip_blocks are
// on, one newline at the end of the source is dropped, `-` and `+` in tags do what they do there.
//
// Tokens are made one at a time, so that a mistake late in the text does not hide an earlier one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/heap.h"

namespace spate::jinja {

enum class TokenType {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  number,
  end,
  // Operators; kOperators in lexer.cc holds their spelling.
  add,
  sub,
  div,
  floordiv,
  mul,
  mod,
  pow,
  tilde,
  lbracket,
  rbracket,
  lparen,
  rparen,
  lbrace,
  rbrace,
  eq,
  ne,
  gt,
  gteq,
  lt,
  lteq,
  assign,
  dot,
  colon,
  pipe,
  comma,
  semicolon,
};

struct Token {
  TokenType type = TokenType::end;
  int line = 1;
  std::string_view text;  // data, names, strings after their escapes; in the heap or the source
  int64_t integer = 0;
  double number = 0;
};

// As jinja2's messages name it: a name is itself, "end of template", "+".
std::string_view describe(const Token& token);
std::string_view describe(TokenType type);

// `source` with all line ends as "\n" and without the last one: what the Lexer wants.
std::string normalize_source(std::string_view source);

class Lexer {
 public:
  // `source` and `heap` must outlive the tokens.
  Lexer(std::string_view source, Heap& heap) : source_(source), heap_(heap) {}

  // After the last token only `end` follows. Raises a Failure with a line.
  Token next();

 private:
  enum class State { text, block, variable };

  // Each reads on from at_; false: nothing to give here, try again.
  bool read_text(Token& token);
  bool read_raw(Token& token);
  void skip_comment();
  bool read_inside(Token& token);
  bool read_end_tag(Token& token);
  bool read_number(Token& token);
  bool read_string(Token& token);
  bool read_name(Token& token);
  bool read_operator(Token& token);

  void advance(size_t to);  // counts lines
  char peek(size_t at) const { return at < source_.size() ? source_[at] : '\0'; }
  bool starts_with(std::string_view text, size_t at) const;
  size_t skip_space(size_t at) const;
  size_t skip_digits(size_t at, bool (*is_digit)(char)) const;
  // Past the end of a tag that closes with `close` ("%}"), or npos: "-" takes the whitespace behind
  // it, "+" keeps the newline that trim_newline would take.
  size_t match_end_tag(size_t at, std::string_view close, bool trim_newline) const;
  // Past "{% word %}" without its end tag, or npos; sets `sign` to the character after "{%".
  size_t match_tag_word(size_t at, std::string_view word, char& sign) const;
  // The text from at_ to a tag, after what `sign` and lstrip_blocks take away.
  std::string_view cut_before_tag(size_t tag, char sign, bool is_variable) const;

  std::string_view source_;
  Heap& heap_;
  size_t at_ = 0;
  int line_ = 1;
  State state_ = State::text;
  int last_line_ = 1;          // of the last token
  std::vector<char> closers_;  // of the brackets that are open
};

}  // namespace spate::jinja
