#include "apps/toml.h"

#define TOML_HEADER_ONLY 1
#include <toml++/toml.h>

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/check.h"

namespace spate {
namespace {

class ItemList {
 public:
  explicit ItemList(const std::string& name) : name_(name) {}

  void add(const toml::table& table, bool grouped) {
    for (const auto& [key, node] : table) {
      const toml::table* inner = node.as_table();
      if (inner != nullptr && !grouped) {
        add(*inner, true);
        continue;
      }
      items_.push_back({line_of(node), std::string(key.str()), value_of(node, false)});
    }
  }

  std::vector<TomlItem> take() {
    std::stable_sort(items_.begin(), items_.end(),
                     [](const TomlItem& a, const TomlItem& b) { return a.line < b.line; });
    return std::move(items_);
  }

 private:
  static int64_t line_of(const toml::node& node) {
    return std::max<int64_t>(node.source().begin.line, 1);
  }

  Json value_of(const toml::node& node, bool in_list) const {
    if (const auto* text = node.as_string()) {
      return text->get();
    }
    if (const auto* number = node.as_integer()) {
      return number->get();
    }
    if (const auto* number = node.as_floating_point(); number && std::isfinite(number->get())) {
      return number->get();
    }
    if (const auto* flag = node.as_boolean()) {
      return flag->get();
    }
    const toml::array* list = node.as_array();
    if (list == nullptr || in_list) {
      std::ostringstream kind;
      kind << node.type();
      throw Error(cat(name_, ":", line_of(node), ": a value of the kind ", kind.str(),
                      in_list ? " within a list" : "",
                      " is not used here; expected a text, a number, true, false, or a list of "
                      "these. JSON stands in single quotes"),
                  ExitCode::usage);
    }
    JsonArray values;
    for (const toml::node& element : *list) {
      values.push_back(value_of(element, true));
    }
    return values;
  }

  const std::string& name_;
  std::vector<TomlItem> items_;
};

}  // namespace

std::vector<TomlItem> parse_toml(std::string_view text, const std::string& name) {
  ItemList items(name);
  try {
    items.add(toml::parse(text, name), false);
  } catch (const toml::parse_error& error) {
    throw Error(
        cat(name, ":", std::max<int64_t>(error.source().begin.line, 1), ": ", error.description()),
        ExitCode::usage);
  }
  return items.take();
}

std::string toml_string(std::string_view text) {
  std::ostringstream out;
  const toml::value<std::string> value{std::string(text)};
  out << toml::toml_formatter{value, toml::format_flags::none};
  return out.str();
}

}  // namespace spate
