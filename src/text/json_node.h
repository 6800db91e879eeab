// A value inside a JSON file together with the way to it, so that every complaint about it can say
// where it is: "tokenizer.json: pre_tokenizer.pretokenizers[1].pattern: expected ...".
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"

namespace spate {

class JsonNode {
 public:
  // `where` stands in error texts; `value` must outlive the node.
  JsonNode(const Json& value, std::string where) : value_(&value), where_(std::move(where)) {}

  const Json& value() const { return *value_; }
  const std::string& where() const { return where_; }
  bool is_null() const { return value_->is_null(); }
  // Throws Error("<where>: <parts>").
  template <class... Parts>
  [[noreturn]] void complain(const Parts&... parts) const {
    fail(where_, where_.ends_with(": ") ? "" : ": ", parts...);
  }

  // Members of an object; an absent one is null.
  JsonNode operator[](std::string_view key) const;
  std::vector<JsonNode> items() const;  // of an array

  // The value as a type, or an Error. With a default: what a null stands for.
  const std::string& text() const;
  std::string text(std::string_view when_null) const;
  bool flag() const;
  bool flag(bool when_null) const;
  int64_t integer() const;

 private:
  void expect(bool fits, std::string_view what) const;

  const Json* value_;
  std::string where_;
};

}  // namespace spate
