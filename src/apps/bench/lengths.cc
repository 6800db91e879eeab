#include "apps/bench/lengths.h"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/check.h"
#include "base/random.h"

namespace spate {
namespace {

std::string_view trimmed(std::string_view text) {
  const size_t first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || stop != text.data() + text.size()) {
    return std::nullopt;
  }
  return value;
}

}  // namespace

std::vector<RowLength> parse_lengths(std::string_view csv, const std::string& name) {
  std::vector<RowLength> lengths;
  int64_t line_number = 0;
  while (!csv.empty()) {
    const size_t end = std::min(csv.find('\n'), csv.size());
    const std::string_view line = trimmed(csv.substr(0, end));
    csv.remove_prefix(std::min(end + 1, csv.size()));
    ++line_number;
    if (line.empty()) {
      continue;
    }
    const size_t comma = std::min(line.find(','), line.size());
    const auto prompt = whole_number(trimmed(line.substr(0, comma)));
    const auto output = whole_number(trimmed(line.substr(std::min(comma + 1, line.size()))));
    if (!prompt && !output && line_number == 1) {
      continue;  // a header
    }
    if (!prompt || !output || *prompt < 1 || *output < 1) {
      throw Error(cat(name, ": line ", line_number, ": found '", line,
                      "', expected prompt_tokens,output_tokens, two whole numbers from 1 on"),
                  ExitCode::usage);
    }
    lengths.push_back({*prompt, *output});
  }
  if (lengths.empty()) {
    throw Error(cat(name, ": holds no lengths; expected lines like 512,128"), ExitCode::usage);
  }
  return lengths;
}

std::vector<Token> random_prompt(uint64_t seed, uint64_t row, int64_t length, int64_t vocabulary) {
  constexpr int64_t kSpecial = 3;
  const int64_t first = vocabulary > 2 * kSpecial ? kSpecial : 0;
  const auto choices = static_cast<uint64_t>(std::max<int64_t>(vocabulary - first, 1));
  std::vector<Token> tokens(static_cast<size_t>(length));
  for (size_t i = 0; i < tokens.size(); ++i) {
    const uint64_t draw = philox(mix_keys(seed, row), i).word[0];
    tokens[i] = static_cast<Token>(first + static_cast<int64_t>(draw * choices >> 32));
  }
  return tokens;
}

}  // namespace spate
