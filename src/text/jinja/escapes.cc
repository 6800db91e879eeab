#include "text/jinja/escapes.h"

#include <charconv>

#include "text/jinja/failure.h"
#include "text/jinja/unicode.h"

namespace spate::jinja {
namespace {

struct Simple {
  char letter;
  std::string_view text;
};

constexpr Simple kSimple[] = {{'\n', ""},  {'\\', "\\"}, {'\'', "'"}, {'"', "\""},
                              {'a', "\a"}, {'b', "\b"},  {'f', "\f"}, {'n', "\n"},
                              {'r', "\r"}, {'t', "\t"},  {'v', "\v"}};

struct Coded {
  char letter;
  size_t digits;
  std::string_view when_cut;
};

constexpr Coded kCoded[] = {{'x', 2, "truncated \\xXX escape"},
                            {'u', 4, "truncated \\uXXXX escape"},
                            {'U', 8, "truncated \\UXXXXXXXX escape"}};

// Hexadecimal or octal digits at the front of `text`, at most `most` of them.
size_t read_digits(std::string_view text, size_t most, int base, uint32_t& code) {
  const std::string_view digits = text.substr(0, most);
  const auto result = std::from_chars(digits.data(), digits.data() + digits.size(), code, base);
  return result.ec == std::errc() ? static_cast<size_t>(result.ptr - digits.data()) : 0;
}

// Reads what follows a backslash; returns the bytes it took.
size_t read_escape(std::string_view rest, int line, std::string& out) {
  for (const Simple& entry : kSimple) {
    if (rest[0] == entry.letter) {
      out += entry.text;
      return 1;
    }
  }
  uint32_t code = 0;
  for (const Coded& entry : kCoded) {
    if (rest[0] != entry.letter) continue;
    if (read_digits(rest.substr(1), entry.digits, 16, code) != entry.digits) {
      raise_at(line, entry.when_cut);
    }
    if (code > 0x10FFFF) raise_at(line, "illegal Unicode character");
    append_code_point(out, code);
    return 1 + entry.digits;
  }
  if (const size_t digits = read_digits(rest, 3, 8, code); digits > 0) {
    append_code_point(out, code);
    return digits;
  }
  if (rest[0] == 'N') {
    raise_at(line,
             "escapes by the name of a character (\\N) are not supported; write the "
             "character itself");
  }
  out += '\\';
  if (static_cast<unsigned char>(rest[0]) < 0x80) return 0;
  // jinja2 escapes other characters first, so that a backslash before one shows that escape.
  size_t length = 0;
  const char32_t c = read_code_point(rest, length);
  char digits[8];
  const char* end = std::to_chars(digits, digits + 8, static_cast<uint32_t>(c), 16).ptr;
  const size_t width = c <= 0xFF ? 2 : c <= 0xFFFF ? 4 : 8;
  out += width == 2 ? 'x' : width == 4 ? 'u' : 'U';
  out.append(width - static_cast<size_t>(end - digits), '0');
  out.append(static_cast<const char*>(digits), end);
  return length;
}

}  // namespace

std::string unescape(std::string_view text, int line) {
  std::string result;
  while (!text.empty()) {
    const size_t backslash = text.find('\\');
    result += text.substr(0, backslash);
    if (backslash == text.npos) break;
    text.remove_prefix(backslash + 1);
    if (text.empty()) break;
    text.remove_prefix(read_escape(text, line, result));
  }
  return result;
}

}  // namespace spate::jinja
