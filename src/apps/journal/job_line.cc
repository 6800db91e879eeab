#include "apps/journal/job_line.h"

#include <charconv>
#include <cstring>
#include <optional>

namespace spate {
namespace {

constexpr size_t kKeyDigits = 32;
constexpr std::string_view kOpenaiHead = R"({"id":"batch_req_)";
constexpr std::string_view kOpenaiAnswerEnd = R"(,"error":null})";
constexpr std::string_view kKeyHead = R"(,"key":")";
constexpr std::string_view kKeyEnd = R"("})";
constexpr std::string_view kIdHead = "batch_req_";

// Takes `end` off the end of `text`, when it is there.
bool take_end(std::string_view& text, std::string_view end) {
  if (!text.ends_with(end)) {
    return false;
  }
  text.remove_suffix(end.size());
  return true;
}

bool take_number(std::string_view& text, int64_t& number) {
  size_t begin = text.size();
  while (begin > 0 && text[begin - 1] >= '0' && text[begin - 1] <= '9') {
    --begin;
  }
  const char* end = text.data() + text.size();
  const auto [stop, problem] = std::from_chars(text.data() + begin, end, number);
  if (problem != std::errc{} || stop != end) {
    return false;
  }
  text.remove_suffix(text.size() - begin);
  return true;
}

std::optional<JobLine> openai_by_place(std::string_view text) {
  const auto key = parse_hash128(text.substr(kOpenaiHead.size(), kKeyDigits));
  if (!key || !text.substr(kOpenaiHead.size() + kKeyDigits).starts_with(R"(",)") ||
      !text.ends_with(kOpenaiAnswerEnd)) {
    return std::nullopt;  // a failed row: rare, and parsed
  }
  return JobLine{.kind = LineKind::answer, .key = *key};
}

// `text` ends before the key. Answers end with their usage or, with --row-stats, with that.
bool ends_like_an_answer(std::string_view text) {
  int64_t number = 0;
  if (!take_end(text, "}")) {
    return false;
  }
  const bool usage = take_end(text, "}");
  return take_number(text, number) &&
         text.ends_with(usage ? R"("cached_tokens":)" : R"(,"attempts":)");
}

// `text` ends before the key. Quotes inside of strings are escaped, so the parts looked for here
// are in no string.
bool ends_like_a_failure(std::string_view text, JobLine& line) {
  if (!take_number(text, line.attempts) || !take_end(text, R"(},"attempts":)")) {
    return false;
  }
  line.retryable = take_end(text, R"(,"retryable":true)");
  if (!line.retryable && !take_end(text, R"(,"retryable":false)")) {
    return false;
  }
  constexpr std::string_view kCodeHead = R"(,"error":{"code":")";
  const size_t head = text.find(kCodeHead);
  if (head == std::string_view::npos) {
    return false;
  }
  text.remove_prefix(head + kCodeHead.size());
  const size_t end = text.find_first_of("\"\\");
  if (end == std::string_view::npos || text[end] != '"') {
    return false;
  }
  line.code = text.substr(0, end);
  return true;
}

// The line as it was written, or nothing.
std::optional<JobLine> by_place(std::string_view text) {
  if (text.starts_with(kOpenaiHead)) {
    return openai_by_place(text);
  }
  if (!text.starts_with('{') || !take_end(text, kKeyEnd) || text.size() < kKeyDigits) {
    return std::nullopt;
  }
  const auto key = parse_hash128(text.substr(text.size() - kKeyDigits));
  text.remove_suffix(kKeyDigits);
  if (!key || !take_end(text, kKeyHead)) {
    return std::nullopt;
  }
  JobLine line{.kind = LineKind::answer, .key = *key};
  if (ends_like_an_answer(text)) {
    return line;
  }
  line.kind = LineKind::failure;
  return ends_like_a_failure(text, line) ? std::optional(line) : std::nullopt;
}

// What a failed row's "error" says; false when the member is none.
bool take_error(const Json& error, JobLine& line) {
  const Json* code = error.find("code");
  if (code == nullptr || !code->is_string()) {
    return false;
  }
  line.code = code->as_string();
  const Json* retryable = error.find("retryable");
  line.retryable = retryable != nullptr && retryable->is_bool() && retryable->as_bool();
  return true;
}

std::optional<Hash128> key_of(const Json& json) {
  if (const Json* key = json.find("key"); key != nullptr && key->is_string()) {
    if (const auto parsed = parse_hash128(key->as_string())) {
      return parsed;
    }
  }
  const Json* id = json.find("id");
  if (id == nullptr || !id->is_string() || !id->as_string().starts_with(kIdHead)) {
    return std::nullopt;
  }
  return parse_hash128(std::string_view(id->as_string()).substr(kIdHead.size()));
}

JobLine by_parsing(std::string_view text, JsonParser& parser) {
  JobLine line;
  Json json;
  JsonError problem;
  if (!parser.parse(text, json, problem)) {
    return line;
  }
  const auto key = key_of(json);
  if (!key) {
    line.kind = LineKind::foreign;
    return line;
  }
  line.key = *key;
  line.kind = LineKind::answer;
  if (const Json* error = json.find("error"); error != nullptr && take_error(*error, line)) {
    line.kind = LineKind::failure;
    const Json* attempts = json.find("attempts");
    if (attempts != nullptr && attempts->is_integer() && attempts->as_integer() > 0) {
      line.attempts = attempts->as_integer();
    }
  }
  return line;
}

}  // namespace

JobLine read_job_line(std::string_view text, JsonParser& parser) {
  if (text.ends_with('\r')) {
    text.remove_suffix(1);
  }
  if (std::memchr(text.data(), 0, text.size()) != nullptr) {
    return {};
  }
  if (const auto line = by_place(text)) {
    return *line;
  }
  if (text.find_first_not_of(" \t") == std::string_view::npos) {
    return {.kind = LineKind::foreign};
  }
  return by_parsing(text, parser);
}

}  // namespace spate
