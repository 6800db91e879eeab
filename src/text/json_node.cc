#include "text/json_node.h"

namespace spate {

JsonNode JsonNode::operator[](std::string_view key) const {
  static const Json kNull;
  expect(value_->is_object() || value_->is_null(), "an object");
  const Json* member = value_->find(key);
  const std::string_view separator = where_.ends_with(": ") ? "" : ".";
  return JsonNode(member == nullptr ? kNull : *member, cat(where_, separator, key));
}

std::vector<JsonNode> JsonNode::items() const {
  expect(value_->is_array(), "an array");
  std::vector<JsonNode> nodes;
  for (const Json& item : value_->as_array()) {
    nodes.emplace_back(item, cat(where_, "[", nodes.size(), "]"));
  }
  return nodes;
}

const std::string& JsonNode::text() const {
  expect(value_->is_string(), "a string");
  return value_->as_string();
}

std::string JsonNode::text(std::string_view when_null) const {
  return is_null() ? std::string(when_null) : text();
}

bool JsonNode::flag() const {
  expect(value_->is_bool(), "true or false");
  return value_->as_bool();
}

bool JsonNode::flag(bool when_null) const { return is_null() ? when_null : flag(); }

int64_t JsonNode::integer() const {
  expect(value_->is_integer(), "an integer");
  return value_->as_integer();
}

void JsonNode::expect(bool fits, std::string_view what) const {
  if (!fits) complain("expected ", what, ", found ", type_name(value_->type()));
}

}  // namespace spate
