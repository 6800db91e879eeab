#include "apps/toml.h"

#include <algorithm>
#include <charconv>

#include "base/check.h"

namespace spate {
namespace {

bool is_bare(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
         c == '-';
}

void append_utf8(std::string& out, uint32_t code) {
  const auto put = [&out](uint32_t byte) { out += static_cast<char>(byte); };
  if (code < 0x80) {
    put(code);
  } else if (code < 0x800) {
    put(0xC0 | code >> 6);
    put(0x80 | (code & 63));
  } else if (code < 0x10000) {
    put(0xE0 | code >> 12);
    put(0x80 | (code >> 6 & 63));
    put(0x80 | (code & 63));
  } else {
    put(0xF0 | code >> 18);
    put(0x80 | (code >> 12 & 63));
    put(0x80 | (code >> 6 & 63));
    put(0x80 | (code & 63));
  }
}

class TomlParser {
 public:
  TomlParser(std::string_view text, const std::string& name) : rest_(text), name_(name) {
    if (rest_.starts_with("\xEF\xBB\xBF")) {  // a byte order mark
      rest_.remove_prefix(3);
    }
  }

  std::vector<TomlItem> parse() {
    std::vector<TomlItem> items;
    std::string table;
    for (skip_lines(); !rest_.empty(); skip_lines()) {
      if (take("[")) {
        table = read_table();
      } else {
        items.push_back(read_item());
        items.back().table = table;
      }
      end_line();
    }
    return items;
  }

 private:
  template <class... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    throw Error(cat(name_, ":", line_, ": ", parts...), ExitCode::usage);
  }

  char next() const { return rest_.empty() ? '\0' : rest_.front(); }

  bool take(std::string_view text) {
    if (!rest_.starts_with(text)) {
      return false;
    }
    line_ += std::count(text.begin(), text.end(), '\n');
    rest_.remove_prefix(text.size());
    return true;
  }

  char take_one() {
    if (rest_.empty()) {
      refuse("the file ends within a text; expected its closing quotes");
    }
    const char c = rest_.front();
    line_ += c == '\n' ? 1 : 0;
    rest_.remove_prefix(1);
    return c;
  }

  void skip_spaces() {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
  }

  // Spaces, comments and ends of lines.
  void skip_lines() {
    for (;;) {
      skip_spaces();
      if (next() == '#') {
        rest_.remove_prefix(std::min(rest_.find('\n'), rest_.size()));
      }
      if (!take("\n") && !take("\r\n")) {
        return;
      }
    }
  }

  void end_line() {
    skip_spaces();
    if (!rest_.empty() && next() != '#' && next() != '\n' && !rest_.starts_with("\r\n")) {
      refuse("expected the end of the line, found '", shown(), "'");
    }
  }

  // The rest of the line, for messages.
  std::string shown() const {
    constexpr size_t kLongest = 30;
    return std::string(rest_.substr(0, std::min(rest_.find_first_of("\r\n"), kLongest)));
  }

  std::string read_table() {
    if (next() == '[') {
      refuse("lists of tables ([[name]]) are not used here; expected [name]");
    }
    const size_t end = rest_.find_first_of("]\n");
    if (end == std::string_view::npos || rest_[end] != ']') {
      refuse("expected ] at the end of the table's name");
    }
    std::string table(rest_.substr(0, end));
    rest_.remove_prefix(end + 1);
    return table;
  }

  TomlItem read_item() {
    TomlItem item;
    item.line = line_;
    if (next() == '"' || next() == '\'') {
      item.key = read_text();
    } else {
      while (is_bare(next())) {
        item.key += take_one();
      }
    }
    skip_spaces();
    if (item.key.empty() || !take("=")) {
      refuse("expected key = value or [table], found '", item.key, shown(), "'");
    }
    skip_spaces();
    const std::string_view before = rest_;
    item.value = read_value();
    item.text = before.substr(0, before.size() - rest_.size());
    return item;
  }

  Json read_value() {
    switch (next()) {
      case '"':
      case '\'': return read_text();
      case '[': return read_list();
      case '{': refuse("inline tables are not used here; give JSON as a text in single quotes");
      default: return read_word();
    }
  }

  Json read_list() {
    JsonArray list;
    take("[");
    for (skip_lines(); !take("]"); skip_lines()) {
      if (rest_.empty()) {
        refuse("the file ends within a list; expected ]");
      }
      if (next() == '[') {
        refuse("lists of lists are not used here; give JSON as a text in single quotes");
      }
      list.push_back(read_value());
      skip_lines();
      if (!take(",") && next() != ']') {
        refuse("expected , or ] in the list, found '", shown(), "'");
      }
    }
    return list;
  }

  // true, false or a number.
  Json read_word() {
    const size_t end = std::min(rest_.find_first_of(" \t\r\n#,]"), rest_.size());
    const std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    if (word == "true" || word == "false") {
      return word == "true";
    }
    std::string digits = word;
    std::erase(digits, '_');
    const char* begin = digits.data() + (digits.starts_with('+') ? 1 : 0);
    const char* stop = digits.data() + digits.size();
    int64_t whole = 0;
    double number = 0;
    if (const auto read = std::from_chars(begin, stop, whole);
        read.ec == std::errc() && read.ptr == stop) {
      return whole;
    }
    if (const auto read = std::from_chars(begin, stop, number);
        begin != stop && read.ec == std::errc() && read.ptr == stop) {
      return number;
    }
    refuse("'", word,
           "' is no value; texts stand in quotes, other values are numbers, true, false "
           "and lists");
  }

  std::string read_text() {
    for (const std::string_view quotes : {"\"\"\"", "'''"}) {
      if (take(quotes)) {
        if (!take("\n")) {
          take("\r\n");  // the first end of line does not count
        }
        return read_until(quotes);
      }
    }
    return read_until(take("\"") ? "\"" : (take("'"), "'"));
  }

  std::string read_until(std::string_view quotes) {
    std::string text;
    while (!take(quotes)) {
      if (quotes.size() == 1 && next() == '\n') {
        refuse("the line ends within a text; expected its closing quote, or three at both ends");
      }
      const char c = take_one();
      if (c == '\\' && quotes.front() == '"') {
        read_escape(text);
      } else {
        text += c;
      }
    }
    // Quotes may stand right before the closing ones.
    while (quotes.size() == 3 && next() == quotes.front()) {
      text += take_one();
    }
    return text;
  }

  void read_escape(std::string& text) {
    constexpr std::string_view kShort = "btnfre\"\\", kMeaning = "\b\t\n\f\r\x1b\"\\";
    const char c = take_one();
    if (const size_t at = kShort.find(c); at != std::string_view::npos) {
      text += kMeaning[at];
    } else if (c == 'u' || c == 'U') {
      text_of_code(c == 'u' ? 4 : 8, text);
    } else if (c == '\n' || c == ' ' || c == '\t' || c == '\r') {
      // A line that ends with a backslash goes on with the next word.
      while (!rest_.empty() && std::string_view(" \t\r\n").find(next()) != std::string_view::npos) {
        take_one();
      }
    } else {
      refuse("unknown escape \\", std::string(1, c), "; in single quotes nothing is escaped");
    }
  }

  void text_of_code(size_t digits, std::string& text) {
    uint32_t code = 0;
    const std::string_view hex = rest_.substr(0, digits);
    const auto read = std::from_chars(hex.data(), hex.data() + hex.size(), code, 16);
    if (hex.size() < digits || read.ptr != hex.data() + digits || code > 0x10FFFF ||
        (code >= 0xD800 && code < 0xE000)) {
      refuse("expected ", digits, " hexadecimal digits of a character after the backslash");
    }
    rest_.remove_prefix(digits);
    append_utf8(text, code);
  }

  std::string_view rest_;
  const std::string& name_;
  int64_t line_ = 1;
};

}  // namespace

std::vector<TomlItem> parse_toml(std::string_view text, const std::string& name) {
  return TomlParser(text, name).parse();
}

std::string toml_string(std::string_view text) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string out = "\"";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F) {
      out += "\\u00";
      out += kHex[byte >> 4];
      out += kHex[byte & 15];
    } else {
      out += c;
    }
  }
  return out + '"';
}

}  // namespace spate
