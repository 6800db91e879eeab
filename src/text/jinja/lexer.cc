#include "text/jinja/lexer.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "text/jinja/escapes.h"
#include "text/jinja/failure.h"
#include "text/jinja/repr.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

struct Operator {
  std::string_view text;
  TokenType type;
};

// Longer ones first: the first that matches is taken.
constexpr Operator kOperators[] = {
    {"//", TokenType::floordiv}, {"**", TokenType::pow},     {"==", TokenType::eq},
    {"!=", TokenType::ne},       {">=", TokenType::gteq},    {"<=", TokenType::lteq},
    {"+", TokenType::add},       {"-", TokenType::sub},      {"/", TokenType::div},
    {"*", TokenType::mul},       {"%", TokenType::mod},      {"~", TokenType::tilde},
    {"[", TokenType::lbracket},  {"]", TokenType::rbracket}, {"(", TokenType::lparen},
    {")", TokenType::rparen},    {"{", TokenType::lbrace},   {"}", TokenType::rbrace},
    {">", TokenType::gt},        {"<", TokenType::lt},       {"=", TokenType::assign},
    {".", TokenType::dot},       {":", TokenType::colon},    {"|", TokenType::pipe},
    {",", TokenType::comma},     {";", TokenType::semicolon}};

struct Description {
  TokenType type;
  std::string_view text;
};

constexpr Description kDescriptions[] = {{TokenType::data, "template data / text"},
                                         {TokenType::variable_begin, "begin of print statement"},
                                         {TokenType::variable_end, "end of print statement"},
                                         {TokenType::block_begin, "begin of statement block"},
                                         {TokenType::block_end, "end of statement block"},
                                         {TokenType::name, "name"},
                                         {TokenType::string, "string"},
                                         {TokenType::integer, "integer"},
                                         {TokenType::number, "float"},
                                         {TokenType::end, "end of template"}};

constexpr size_t kNone = std::string_view::npos;

bool is_binary(char c) { return c == '0' || c == '1'; }
bool is_octal(char c) { return '0' <= c && c <= '7'; }
bool is_decimal_digit(char c) { return '0' <= c && c <= '9'; }
bool is_hexadecimal(char c) {
  return is_decimal_digit(c) || ('a' <= c && c <= 'f') || ('A' <= c && c <= 'F');
}

std::string without_underscores(std::string_view text) {
  std::string result(text);
  std::erase(result, '_');
  return result;
}

}  // namespace

std::string_view describe(TokenType type) {
  for (const Operator& entry : kOperators) {
    if (entry.type == type) return entry.text;
  }
  for (const Description& entry : kDescriptions) {
    if (entry.type == type) return entry.text;
  }
  return "";
}

std::string_view describe(const Token& token) {
  return token.type == TokenType::name ? token.text : describe(token.type);
}

std::string normalize_source(std::string_view source) {
  std::string result;
  result.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r') {
      result += '\n';
      if (i + 1 < source.size() && source[i + 1] == '\n') ++i;
    } else {
      result += source[i];
    }
  }
  if (!result.empty() && result.back() == '\n') result.pop_back();
  return result;
}

void Lexer::advance(size_t to) {
  line_ += static_cast<int>(std::count(source_.begin() + static_cast<std::ptrdiff_t>(at_),
                                       source_.begin() + static_cast<std::ptrdiff_t>(to), '\n'));
  at_ = to;
}

bool Lexer::starts_with(std::string_view text, size_t at) const {
  return source_.substr(std::min(at, source_.size())).starts_with(text);
}

size_t Lexer::skip_space(size_t at) const {
  while (at < source_.size()) {
    size_t after = at;
    if (!is_space(read_code_point(source_, after))) break;
    at = after;
  }
  return at;
}

size_t Lexer::match_end_tag(size_t at, std::string_view close, bool trim_newline) const {
  const char sign = peek(at);
  if (sign == '-' && starts_with(close, at + 1)) return skip_space(at + 1 + close.size());
  if (sign == '+' && trim_newline && starts_with(close, at + 1)) return at + 1 + close.size();
  if (!starts_with(close, at)) return kNone;
  at += close.size();
  return trim_newline && peek(at) == '\n' ? at + 1 : at;
}

size_t Lexer::match_tag_word(size_t at, std::string_view word, char& sign) const {
  if (!starts_with("{%", at)) return kNone;
  at += 2;
  sign = peek(at);
  if (sign == '-' || sign == '+') ++at;
  at = skip_space(at);
  if (!starts_with(word, at)) return kNone;
  return skip_space(at + word.size());
}

std::string_view Lexer::cut_before_tag(size_t tag, char sign, bool is_variable) const {
  const std::string_view text = source_.substr(at_, tag - at_);
  if (sign == '-') return strip(text, {.left = false});
  if (sign == '+' || is_variable) return text;
  // lstrip_blocks: nothing but whitespace between the start of the line and the tag goes away.
  const size_t newline = text.rfind('\n');
  const bool line_starting = at_ == 0 || source_[at_ - 1] == '\n';
  if (newline == kNone && !line_starting) return text;
  const size_t line = newline == kNone ? 0 : newline + 1;
  return skip_space(at_ + line) >= tag ? text.substr(0, line) : text;
}

Token Lexer::next() {
  Token token;
  while (at_ < source_.size()) {
    token.line = line_;
    const bool found = state_ == State::text ? read_text(token) : read_inside(token);
    if (found) {
      last_line_ = token.line;
      return token;
    }
  }
  token.type = TokenType::end;
  token.line = last_line_;
  return token;
}

bool Lexer::read_text(Token& token) {
  size_t tag = at_;
  const auto is_tag = [&](size_t at) {
    return peek(at) == '{' && (peek(at + 1) == '%' || peek(at + 1) == '{' || peek(at + 1) == '#');
  };
  while (tag < source_.size() && !is_tag(tag)) ++tag;
  token.type = TokenType::data;
  if (tag == source_.size()) {
    token.text = source_.substr(at_);
    advance(tag);
    return true;
  }
  const char kind = source_[tag + 1];
  const char sign = peek(tag + 2);
  token.text = cut_before_tag(tag, sign, kind == '{');
  advance(tag);
  if (!token.text.empty()) return true;

  token.line = line_;
  if (kind == '%' && read_raw(token)) return !token.text.empty();
  advance(tag + (sign == '-' || sign == '+' ? 3 : 2));
  if (kind == '#') {
    skip_comment();
    return false;
  }
  token.type = kind == '%' ? TokenType::block_begin : TokenType::variable_begin;
  state_ = kind == '%' ? State::block : State::variable;
  return true;
}

// True at "{% raw %}", which is read with all up to its end; the text may turn out empty.
bool Lexer::read_raw(Token& token) {
  char sign = 0;
  size_t begin = match_tag_word(at_, "raw", sign);
  if (begin != kNone) begin = match_end_tag(begin, "%}", false);
  if (begin == kNone) return false;
  advance(begin);
  token.type = TokenType::data;
  token.line = line_;
  for (size_t tag = source_.find("{%", at_); tag != kNone; tag = source_.find("{%", tag + 1)) {
    size_t end = match_tag_word(tag, "endraw", sign);
    if (end != kNone) end = match_end_tag(end, "%}", true);
    if (end == kNone) continue;
    token.text = cut_before_tag(tag, sign, false);
    advance(end);
    return true;
  }
  if (at_ < source_.size()) raise_at(line_, "Missing end of raw directive");
  return true;
}

void Lexer::skip_comment() {
  for (size_t at = at_; at < source_.size(); ++at) {
    const size_t end = match_end_tag(at, "#}", true);
    if (end != kNone) {
      advance(end);
      return;
    }
  }
  if (at_ < source_.size()) raise_at(line_, "Missing end of comment tag");
}

bool Lexer::read_inside(Token& token) {
  if (closers_.empty() && read_end_tag(token)) return true;
  const size_t space = skip_space(at_);
  if (space != at_) {
    advance(space);
    return false;
  }
  if (read_number(token) || read_name(token) || read_string(token) || read_operator(token)) {
    return true;
  }
  size_t after = at_;
  read_code_point(source_, after);
  raise_at(line_, "unexpected char ", repr_string(source_.substr(at_, after - at_)), " at ",
           count_code_points(source_.substr(0, at_)));
}

bool Lexer::read_end_tag(Token& token) {
  const bool is_block = state_ == State::block;
  const size_t end = match_end_tag(at_, is_block ? "%}" : "}}", is_block);
  if (end == kNone) return false;
  token.type = is_block ? TokenType::block_end : TokenType::variable_end;
  advance(end);
  state_ = State::text;
  return true;
}

// Past digits with single underscores between them; `at` itself when there is none.
size_t Lexer::skip_digits(size_t at, bool (*is_digit)(char)) const {
  size_t end = at;
  while (true) {
    if (is_digit(peek(end))) {
      ++end;
    } else if (end > at && peek(end) == '_' && is_digit(peek(end + 1))) {
      end += 2;
    } else {
      return end;
    }
  }
}

bool Lexer::read_number(Token& token) {
  if (!is_decimal_digit(peek(at_))) return false;
  // A float has a fraction or an exponent, and no dot before it: x.0.5 is three tokens.
  const size_t whole = skip_digits(at_, is_decimal_digit);
  size_t end = whole;
  const bool after_dot = at_ > 0 && source_[at_ - 1] == '.';
  if (!after_dot) {
    if (peek(end) == '.') {
      const size_t fraction = skip_digits(end + 1, is_decimal_digit);
      if (fraction > end + 1) end = fraction;
    }
    if (peek(end) == 'e' || peek(end) == 'E') {
      const size_t digits = end + (peek(end + 1) == '+' || peek(end + 1) == '-' ? 2 : 1);
      const size_t exponent = skip_digits(digits, is_decimal_digit);
      if (exponent > digits) end = exponent;
    }
  }
  if (end > whole) {
    token.type = TokenType::number;
    const std::string digits = without_underscores(source_.substr(at_, end - at_));
    const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), token.number);
    if (result.ec == std::errc::result_out_of_range) {
      token.number =
          digits.find("e-") == digits.npos && digits.find("E-") == digits.npos ? HUGE_VAL : 0;
    }
    advance(end);
    return true;
  }

  int base = 10;
  size_t digits = at_;
  end = whole;
  if (peek(at_) == '0') {
    const char letter = static_cast<char>(peek(at_ + 1) | 0x20);
    bool (*is_digit)(char) = letter == 'b'   ? is_binary
                             : letter == 'o' ? is_octal
                             : letter == 'x' ? is_hexadecimal
                                             : nullptr;
    const size_t start = at_ + 2 + (peek(at_ + 2) == '_' ? 1 : 0);
    if (is_digit != nullptr && skip_digits(start, is_digit) > start) {
      base = letter == 'b' ? 2 : letter == 'o' ? 8 : 16;
      digits = start;
      end = skip_digits(start, is_digit);
    } else {  // zeros only: 012 is the two integers 0 and 12
      end = skip_digits(at_, [](char c) { return c == '0'; });
    }
  }
  const std::string text = without_underscores(source_.substr(digits, end - digits));
  const auto result = std::from_chars(text.data(), text.data() + text.size(), token.integer, base);
  if (result.ec != std::errc()) raise_at(line_, "the integer ", text, " is past 64 bits");
  token.type = TokenType::integer;
  advance(end);
  return true;
}

bool Lexer::read_name(Token& token) {
  size_t end = at_;
  while (end < source_.size()) {
    size_t after = end;
    if (!is_word(read_code_point(source_, after))) break;
    end = after;
  }
  if (end == at_) return false;
  token.type = TokenType::name;
  token.text = source_.substr(at_, end - at_);
  size_t first = 0;
  if (is_numeric(read_code_point(token.text, first))) {
    raise_at(line_, "Invalid character in identifier");
  }
  advance(end);
  return true;
}

bool Lexer::read_string(Token& token) {
  const char quote = peek(at_);
  if (quote != '\'' && quote != '"') return false;
  size_t end = at_ + 1;
  while (end < source_.size() && source_[end] != quote) {
    end += source_[end] == '\\' ? 2 : 1;
  }
  if (end >= source_.size()) return false;  // an open quote is an unexpected character
  const std::string_view inside = source_.substr(at_ + 1, end - at_ - 1);
  token.type = TokenType::string;
  token.text = inside.find('\\') == kNone ? inside : heap_.copy(unescape(inside, line_));
  advance(end + 1);
  return true;
}

bool Lexer::read_operator(Token& token) {
  for (const Operator& entry : kOperators) {
    if (!starts_with(entry.text, at_)) continue;
    token.type = entry.type;
    const char c = entry.text[0];
    if (c == '(' || c == '[' || c == '{') {
      closers_.push_back(c == '(' ? ')' : c == '[' ? ']' : '}');
    } else if (c == ')' || c == ']' || c == '}') {
      if (closers_.empty()) raise_at(line_, "unexpected '", c, "'");
      const char expected = closers_.back();
      closers_.pop_back();
      if (expected != c) raise_at(line_, "unexpected '", c, "', expected '", expected, "'");
    }
    advance(at_ + entry.text.size());
    return true;
  }
  return false;
}

}  // namespace spate::jinja
