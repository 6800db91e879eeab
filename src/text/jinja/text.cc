#include "text/jinja/text.h"

#include <algorithm>

#include "text/jinja/unicode.h"

namespace spate::jinja {

std::vector<std::string_view> split(std::string_view text, std::string_view separator, int64_t most,
                                    bool from_right) {
  std::vector<std::string_view> pieces;
  while (most < 0 || static_cast<int64_t>(pieces.size()) < most) {
    const size_t at = from_right ? text.rfind(separator) : text.find(separator);
    if (at == text.npos) break;
    pieces.push_back(from_right ? text.substr(at + separator.size()) : text.substr(0, at));
    text = from_right ? text.substr(0, at) : text.substr(at + separator.size());
  }
  pieces.push_back(text);
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

std::vector<std::string_view> split_words(std::string_view text, int64_t most, bool from_right) {
  std::vector<std::string_view> pieces;
  const Ends ends{.left = !from_right, .right = from_right};
  text = strip(text, ends);
  while (!text.empty()) {
    if (most >= 0 && static_cast<int64_t>(pieces.size()) == most) {
      pieces.push_back(text);
      break;
    }
    size_t first = 0, last = 0;  // of the first or last whitespace: [first, last)
    bool found = false;
    for (size_t at = 0; at < text.size();) {
      const size_t start = at;
      if (!is_space(read_code_point(text, at))) continue;
      first = start;
      last = at;
      found = true;
      if (!from_right) break;
    }
    if (!found) {
      pieces.push_back(text);
      break;
    }
    pieces.push_back(from_right ? text.substr(last) : text.substr(0, first));
    text = strip(from_right ? text.substr(0, first) : text.substr(last), ends);
  }
  if (from_right) std::reverse(pieces.begin(), pieces.end());
  return pieces;
}

Value pieces_value(Runtime& runtime, const std::vector<std::string_view>& pieces, bool safe) {
  runtime.step(static_cast<int64_t>(pieces.size()));
  std::vector<Value> values;
  values.reserve(pieces.size());
  for (const std::string_view piece : pieces) values.push_back(string(piece, safe));
  return list_value(runtime.heap(), values);
}

std::string replace(std::string_view text, std::string_view from, std::string_view to,
                    int64_t most) {
  std::string out;
  if (from.empty()) {  // before each code point and at the end
    for (size_t at = 0; most != 0;) {
      append(out, to);
      --most;
      if (at == text.size()) return out;
      const size_t start = at;
      read_code_point(text, at);
      append(out, text.substr(start, at - start));
      if (most == 0) append(out, text.substr(at));
    }
    return out.empty() ? std::string(text) : out;
  }
  while (most != 0) {
    const size_t at = text.find(from);
    if (at == text.npos) break;
    append(out, text.substr(0, at));
    append(out, to);
    text.remove_prefix(at + from.size());
    --most;
  }
  append(out, text);
  return out;
}

int64_t count(std::string_view text, std::string_view wanted) {
  if (wanted.empty()) return static_cast<int64_t>(count_code_points(text)) + 1;
  int64_t found = 0;
  for (size_t at = text.find(wanted); at != text.npos; at = text.find(wanted, at + wanted.size())) {
    ++found;
  }
  return found;
}

std::string center(std::string_view text, int64_t width, char32_t fill) {
  const int64_t missing =
      std::max<int64_t>(0, width - static_cast<int64_t>(count_code_points(text)));
  if (missing > static_cast<int64_t>(kMaxOutput)) {
    raise("the template writes a text of more than ", kMaxOutput >> 20, " MiB");
  }
  const int64_t left = missing / 2 + (missing & width & 1);  // Python's choice of the longer side
  std::string one, out;
  append_code_point(one, fill);
  for (int64_t i = 0; i < left; ++i) append(out, one);
  append(out, text);
  for (int64_t i = left; i < missing; ++i) append(out, one);
  return out;
}

Window find_window(std::string_view text, const CallFrame& frame, size_t first_argument) {
  Window window{.text = text};
  const auto given = [&](size_t i) { return frame.has(i) && !frame[i].is_none(); };
  if (!given(first_argument) && !given(first_argument + 1)) return window;
  const auto length = static_cast<int64_t>(count_code_points(text));
  const auto bound = [&](size_t i, int64_t otherwise) {
    if (!given(i)) return otherwise;
    if (!frame[i].is_integral()) {
      raise("slice indices must be integers or None or have an __index__ method");
    }
    const int64_t index = frame[i].as_integer();
    return index < 0 ? std::max<int64_t>(0, index + length) : index;
  };
  window.start = bound(first_argument, 0);
  const int64_t end = std::min(bound(first_argument + 1, length), length);
  window.valid = window.start <= end;
  if (!window.valid) return window;
  const size_t begin = byte_offset(text, static_cast<size_t>(window.start));
  window.text =
      text.substr(begin, byte_offset(text.substr(begin), static_cast<size_t>(end - window.start)));
  return window;
}

}  // namespace spate::jinja
