#include "base/json.h"

#include <simdjson.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/files.h"

namespace spate {
namespace {

constexpr int kMaxDepth = 256;  // nested arrays and objects; deeper text is refused, not recursed

namespace od = simdjson::ondemand;

struct Failure {
  std::string reason;
};

template <class T>
T unwrap(simdjson::simdjson_result<T> result) {
  if (result.error() != simdjson::SUCCESS) {
    throw Failure{simdjson::error_message(result.error())};
  }
  return std::move(result).value_unsafe();
}

template <class Value>  // a document (scalar at the root) or a value
Json build(Value& value, int depth) {
  if (depth > kMaxDepth) {
    throw Failure{cat("nested deeper than ", kMaxDepth, " levels")};
  }
  switch (unwrap<od::json_type>(value.type())) {
    case od::json_type::array: {
      JsonArray items;
      od::array array = unwrap<od::array>(value.get_array());
      for (auto item : array) {
        od::value child = unwrap<od::value>(std::move(item));
        items.push_back(build(child, depth + 1));
      }
      return items;
    }
    case od::json_type::object: {
      JsonObject members;
      members.reserve(4);
      od::object object = unwrap<od::object>(value.get_object());
      for (auto item : object) {
        od::field field = unwrap<od::field>(std::move(item));
        std::string key(unwrap<std::string_view>(field.unescaped_key()));
        od::value child = field.value();
        members.emplace_back(std::move(key), build(child, depth + 1));
      }
      return members;
    }
    case od::json_type::string: return std::string(unwrap<std::string_view>(value.get_string()));
    case od::json_type::boolean: return unwrap<bool>(value.get_bool());
    case od::json_type::null:
      if (!unwrap<bool>(simdjson::simdjson_result<bool>(value.is_null()))) {
        throw Failure{"invalid literal; expected null"};
      }
      return nullptr;
    case od::json_type::number: {
      auto number = value.get_number();
      if (number.error() != simdjson::SUCCESS) {  // an integer past 64 bits
        return unwrap<double>(value.get_double());
      }
      od::number read = std::move(number).value_unsafe();
      if (read.is_int64()) {
        return int64_t{read.get_int64()};
      }
      return read.is_uint64() ? Json(uint64_t{read.get_uint64()}) : Json(read.get_double());
    }
  }
  throw Failure{"unknown kind of value"};
}

[[noreturn]] void wrong_type(std::string_view expected, Json::Type found) {
  throw Error(cat("expected ", expected, ", found ", type_name(found)));
}

// Length of the UTF-8 character at the front of `text`, or 0 when it is not valid UTF-8.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  const size_t length = lead < 0x80   ? 1
                        : lead < 0xC2 ? 0
                        : lead < 0xE0 ? 2
                        : lead < 0xF0 ? 3
                        : lead < 0xF5 ? 4
                                      : 0;
  if (length == 0 || length > text.size()) {
    return 0;
  }
  for (size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) {
      return 0;
    }
  }
  // Overlong forms, surrogates and code points past U+10FFFF.
  const bool bad = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xED && byte(1) > 0x9F) ||
                   (lead == 0xF0 && byte(1) < 0x90) || (lead == 0xF4 && byte(1) > 0x8F);
  return bad ? 0 : length;
}

void append_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";  // JSON has no infinities
    return;
  }
  char text[32];
  const auto end = std::to_chars(text, text + sizeof text, value).ptr;
  out.append(text, end);
  if (std::find_if(text, end, [](char c) { return c == '.' || c == 'e' || c == 'n'; }) == end) {
    out += ".0";  // so that a double reads back as a double
  }
}

}  // namespace

Json::Json(uint64_t value) {
  if (value <= static_cast<uint64_t>(INT64_MAX)) {
    value_ = static_cast<int64_t>(value);
  } else {
    value_ = static_cast<double>(value);
  }
}

std::string_view type_name(Json::Type type) {
  constexpr std::string_view kNames[] = {"null",     "a boolean", "an integer", "a number",
                                         "a string", "an array",  "an object"};
  return kNames[static_cast<int>(type)];
}

bool Json::as_bool() const {
  if (!is_bool()) wrong_type("a boolean", type());
  return std::get<bool>(value_);
}

int64_t Json::as_integer() const {
  if (const auto* number = std::get_if<double>(&value_);
      number != nullptr && std::abs(*number) < 9e15 && *number == std::floor(*number)) {
    return static_cast<int64_t>(*number);
  }
  if (!is_integer()) wrong_type("an integer", type());
  return std::get<int64_t>(value_);
}

double Json::as_number() const {
  if (is_integer()) return static_cast<double>(std::get<int64_t>(value_));
  if (!is_number()) wrong_type("a number", type());
  return std::get<double>(value_);
}

const std::string& Json::as_string() const {
  if (!is_string()) wrong_type("a string", type());
  return std::get<std::string>(value_);
}

const JsonArray& Json::as_array() const {
  if (!is_array()) wrong_type("an array", type());
  return std::get<JsonArray>(value_);
}

const JsonObject& Json::as_object() const {
  if (!is_object()) wrong_type("an object", type());
  return std::get<JsonObject>(value_);
}

JsonArray& Json::as_array() {
  if (!is_array()) wrong_type("an array", type());
  return std::get<JsonArray>(value_);
}

JsonObject& Json::as_object() {
  if (!is_object()) wrong_type("an object", type());
  return std::get<JsonObject>(value_);
}

const Json* Json::find(std::string_view key) const {
  if (const auto* members = std::get_if<JsonObject>(&value_)) {
    // From the back: of a repeated key the last value counts.
    for (auto member = members->rbegin(); member != members->rend(); ++member) {
      if (member->first == key) return &member->second;
    }
  }
  return nullptr;
}

void Json::set(std::string_view key, Json value) {
  if (is_null()) value_ = JsonObject{};
  if (const Json* found = find(key)) {
    *const_cast<Json*>(found) = std::move(value);
  } else {
    as_object().emplace_back(std::string(key), std::move(value));
  }
}

void Json::dump_to(std::string& out) const {
  switch (type()) {
    case Type::null: out += "null"; break;
    case Type::boolean: out += std::get<bool>(value_) ? "true" : "false"; break;
    case Type::integer: out += std::to_string(std::get<int64_t>(value_)); break;
    case Type::number: append_number(out, std::get<double>(value_)); break;
    case Type::string: append_json_string(out, std::get<std::string>(value_)); break;
    case Type::array: {
      char separator = '[';
      for (const Json& item : std::get<JsonArray>(value_)) {
        out += separator;
        item.dump_to(out);
        separator = ',';
      }
      out += separator == '[' ? "[]" : "]";
      break;
    }
    case Type::object: {
      char separator = '{';
      for (const auto& [key, value] : std::get<JsonObject>(value_)) {
        out += separator;
        append_json_string(out, key);
        out += ':';
        value.dump_to(out);
        separator = ',';
      }
      out += separator == '{' ? "{}" : "}";
      break;
    }
  }
}

std::string Json::dump() const {
  std::string out;
  dump_to(out);
  return out;
}

void append_json_string(std::string& out, std::string_view text) {
  constexpr char kHex[] = "0123456789abcdef";
  out += '"';
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text.front());
    size_t length = 1;
    if (c >= 0x80) {
      length = utf8_length(text);
      if (length == 0) {
        out += "\xEF\xBF\xBD";
        length = 1;
      } else {
        out.append(text.substr(0, length));
      }
    } else if (c == '"' || c == '\\') {
      out += '\\';
      out += static_cast<char>(c);
    } else if (c >= 0x20) {
      out += static_cast<char>(c);
    } else if (c == '\n') {
      out += "\\n";
    } else if (c == '\t') {
      out += "\\t";
    } else if (c == '\r') {
      out += "\\r";
    } else {
      out += "\\u00";
      out += kHex[c >> 4];
      out += kHex[c & 15];
    }
    text.remove_prefix(length);
  }
  out += '"';
}

struct JsonParser::Impl {
  od::parser parser;
  std::string padded;
};

JsonParser::JsonParser() : impl_(std::make_unique<Impl>()) {}
JsonParser::~JsonParser() = default;

bool JsonParser::parse(std::string_view text, Json& value, JsonError& error) {
  // simdjson reads past the end, so it wants its own copy with padding.
  impl_->padded.clear();
  impl_->padded.reserve(text.size() + simdjson::SIMDJSON_PADDING);
  impl_->padded.assign(text);
  impl_->padded.append(simdjson::SIMDJSON_PADDING, ' ');
  const simdjson::padded_string_view view(impl_->padded.data(), text.size(), impl_->padded.size());
  od::document document;
  bool opened = false;
  try {
    document = unwrap<od::document>(impl_->parser.iterate(view));
    opened = true;
    const od::json_type type = unwrap<od::json_type>(document.type());
    if (type == od::json_type::array || type == od::json_type::object) {
      od::value root = unwrap<od::value>(document.get_value());
      value = build(root, 1);
    } else {
      value = build(document, 1);
    }
    const char* rest = nullptr;
    if (document.current_location().get(rest) == simdjson::SUCCESS) {
      throw Failure{"more text after the end of the value"};
    }
    return true;
  } catch (const Failure& failure) {
    error.reason = failure.reason;
    error.offset = text.size();
    const char* place = nullptr;
    if (opened && document.current_location().get(place) == simdjson::SUCCESS) {
      error.offset = std::min(text.size(), static_cast<size_t>(place - impl_->padded.data()));
    } else if (!opened) {
      error.offset = 0;  // stage one failed: bad UTF-8 or an unclosed string somewhere
      for (std::string_view rest = text; !rest.empty();) {
        const size_t length = utf8_length(rest);
        if (length == 0) {
          error.offset = text.size() - rest.size();
          break;
        }
        rest.remove_prefix(length);
      }
    }
    return false;
  }
}

Json parse_json(std::string_view text, std::string_view name) {
  JsonParser parser;
  Json value;
  JsonError error;
  if (!parser.parse(text, value, error)) {
    fail(name, ": offset ", error.offset, ": ", error.reason);
  }
  return value;
}

Json parse_json_file(const std::string& path) { return parse_json(read_file(path), path); }

}  // namespace spate
