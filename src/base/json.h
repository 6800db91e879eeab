// JSON values. Parsing is done by simdjson behind this header (json.cc); the value type is ours so
// that no other file compiles a JSON library. Objects keep the order of their members, integers
// stay integers, and parse errors carry the byte offset.
//
// Thread safety: a Json is a plain value; JsonParser belongs to one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace spate {

class Json;
using JsonArray = std::vector<Json>;
using JsonMember = std::pair<std::string, Json>;
using JsonObject = std::vector<JsonMember>;  // in file order; a repeated key keeps the last value

class Json {
 public:
  enum class Type { null, boolean, integer, number, string, array, object };

  Json() = default;
  Json(std::nullptr_t) {}
  Json(bool value) : value_(value) {}
  Json(int value) : value_(int64_t{value}) {}
  Json(int64_t value) : value_(value) {}
  Json(uint64_t value);  // past 2^63 - 1 it is held as a double
  Json(double value) : value_(value) {}
  Json(const char* value) : value_(std::string(value)) {}
  Json(std::string value) : value_(std::move(value)) {}
  Json(std::string_view value) : value_(std::string(value)) {}
  Json(JsonArray value) : value_(std::move(value)) {}
  Json(JsonObject value) : value_(std::move(value)) {}

  Type type() const { return static_cast<Type>(value_.index()); }
  bool is_null() const { return type() == Type::null; }
  bool is_bool() const { return type() == Type::boolean; }
  bool is_integer() const { return type() == Type::integer; }
  bool is_number() const { return is_integer() || type() == Type::number; }  // integers too
  bool is_string() const { return type() == Type::string; }
  bool is_array() const { return type() == Type::array; }
  bool is_object() const { return type() == Type::object; }

  // Each throws Error("expected a string, found an array") when the type differs.
  bool as_bool() const;
  int64_t as_integer() const;  // accepts a number with an integral value
  double as_number() const;
  const std::string& as_string() const;
  const JsonArray& as_array() const;
  const JsonObject& as_object() const;
  JsonArray& as_array();
  JsonObject& as_object();

  // Objects: the member's value, or null when absent or when this is not an object.
  const Json* find(std::string_view key) const;
  void set(std::string_view key, Json value);  // replaces or appends; makes a null an object

  // Compact JSON text; strings escaped as RFC 8259 asks, other UTF-8 kept as it is.
  std::string dump() const;
  void dump_to(std::string& out) const;

  bool operator==(const Json& other) const = default;

 private:
  std::variant<std::monostate, bool, int64_t, double, std::string, JsonArray, JsonObject> value_;
};

std::string_view type_name(Json::Type type);  // "null", "a boolean", "an integer", ...

// Appends `text` as a quoted JSON string. Invalid UTF-8 becomes U+FFFD.
void append_json_string(std::string& out, std::string_view text);

struct JsonError {
  std::string reason;  // "missing comma between members"
  size_t offset = 0;   // bytes from the start of the text
};

// Parses one document. Reusing a parser reuses its buffers.
class JsonParser {
 public:
  JsonParser();
  ~JsonParser();
  JsonParser(const JsonParser&) = delete;
  JsonParser& operator=(const JsonParser&) = delete;

  // True and `value` set, or false and `error` set. Depth is limited to 256.
  bool parse(std::string_view text, Json& value, JsonError& error);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Parses a whole text or throws Error("<name>: offset N: reason").
Json parse_json(std::string_view text, std::string_view name);
Json parse_json_file(const std::string& path);

}  // namespace spate
