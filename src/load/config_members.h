// Reading config.json: its members by key, with errors that say where.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/json.h"

namespace spate {

// The members of one object, with errors that name the file and the key. A null counts as absent.
class Members {
 public:
  Members(const Json& json, std::string name, std::string prefix = {})
      : json_(json), name_(std::move(name)), prefix_(std::move(prefix)) {
    if (!json.is_object()) {
      fail(name_, ": expected an object", prefix_.empty() ? "" : cat(" as \"", prefix_, "\""),
           ", found ", type_name(json.type()));
    }
  }

  const Json* find(std::string_view key) const {
    const Json* value = json_.find(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }

  bool has(std::string_view key) const { return json_.find(key) != nullptr; }  // null too

  std::optional<int64_t> integer(std::string_view key) const {
    return read<int64_t>(key, [](const Json& value) { return value.as_integer(); });
  }
  std::optional<double> number(std::string_view key) const {
    return read<double>(key, [](const Json& value) { return value.as_number(); });
  }
  std::optional<bool> boolean(std::string_view key) const {
    return read<bool>(key, [](const Json& value) { return value.as_bool(); });
  }
  std::optional<std::string> text(std::string_view key) const {
    return read<std::string>(key, [](const Json& value) { return value.as_string(); });
  }

  // Of an array; none where it is absent.
  std::vector<int64_t> integers(std::string_view key) const {
    return read<std::vector<int64_t>>(key,
                                      [](const Json& value) {
                                        std::vector<int64_t> out;
                                        for (const Json& item : value.as_array())
                                          out.push_back(item.as_integer());
                                        return out;
                                      })
        .value_or(std::vector<int64_t>());
  }

  template <class T>
  T need(std::optional<T> value, std::string_view key) const {
    if (!value) fail(name_, ": key \"", prefix_, key, "\" is missing");
    return *value;
  }
  int64_t need_integer(std::string_view key) const { return need(integer(key), key); }
  double need_number(std::string_view key) const { return need(number(key), key); }

  // `value`, which the key has or which stands in for it.
  int64_t at_least_1(std::string_view key, int64_t value) const {
    if (value < 1) fail_key(key, "is ", value, "; expected at least 1");
    return value;
  }

  // The object `key`, or nothing when it is absent.
  std::optional<Members> object(std::string_view key) const {
    const Json* value = find(key);
    if (value == nullptr) return {};
    return Members(*value, name_, cat(prefix_, key, "."));
  }

  template <class... Parts>
  [[noreturn]] void fail_key(std::string_view key, const Parts&... parts) const {
    fail(name_, ": key \"", prefix_, key, "\": ", parts...);
  }

 private:
  template <class T, class Convert>
  std::optional<T> read(std::string_view key, const Convert& convert) const {
    const Json* value = find(key);
    if (value == nullptr) return {};
    try {
      return convert(*value);
    } catch (const Error& error) {
      fail_key(key, error.what());
    }
  }

  const Json& json_;
  std::string name_, prefix_;
};

}  // namespace spate
