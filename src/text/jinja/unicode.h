// Strings as Python sees them: sequences of code points, held as UTF-8. Bytes that are not UTF-8
// count as one code point each and are passed through.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace spate::jinja {

bool is_ascii(std::string_view text);
size_t count_code_points(std::string_view text);

// Reads the code point at `at` and moves past it. A stray byte reads as U+DC80 + (byte - 0x80),
// which append_code_point turns back into that byte.
char32_t read_code_point(std::string_view text, size_t& at);
void append_code_point(std::string& out, char32_t c);
std::u32string decode(std::string_view text);
std::string encode(std::u32string_view text);

// Byte offset of the code point with this index; the size of the text when there are fewer.
size_t byte_offset(std::string_view text, size_t index);

// Python's str.isspace, isalpha, isdecimal, ... of one code point.
bool is_space(char32_t c);
bool is_alphabetic(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_lower(char32_t c);
bool is_upper(char32_t c);
bool is_title(char32_t c);
bool is_word(char32_t c);  // the \w of regular expressions
bool is_printable(char32_t c);
bool is_line_break(char32_t c);  // where str.splitlines cuts

// Whole texts, with the letters whose upper or lower case is longer ("ß").
std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string to_title(std::string_view text);    // str.title
std::string to_capital(std::string_view text);  // str.capitalize
std::string to_swapped(std::string_view text);  // str.swapcase
std::string to_folded(std::string_view text);   // str.casefold

// Cuts whitespace, or any code point of `characters`, from the ends.
struct Ends {
  bool left = true, right = true;
};
std::string_view strip(std::string_view text, Ends ends);
std::string_view strip(std::string_view text, std::string_view characters, Ends ends);

std::vector<std::string_view> split_lines(std::string_view text, bool keep_ends);

}  // namespace spate::jinja
