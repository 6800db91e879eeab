#include "apps/config_file.h"

#include <algorithm>
#include <cctype>

#include "apps/toml.h"
#include "base/files.h"

namespace spate {
namespace {

// All but --config and --print-config.
bool is_for_files(const Flag& flag) { return flag.set != nullptr; }

// "max-tokens" of "--max-tokens", "model" of "MODEL".
std::string key_of(std::string_view name) {
  name.remove_prefix(std::min(name.find_first_not_of('-'), name.size()));
  std::string key(name);
  std::transform(key.begin(), key.end(), key.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return key;
}

std::map<std::string, const Flag*> flags_by_key(const CommandLine& command) {
  std::map<std::string, const Flag*> keys;
  for (const FlagGroup& group : command.groups) {
    for (const Flag& flag : group.flags) {
      for (const std::string& name : flag.long_names()) {
        if (is_for_files(flag)) {
          keys.emplace(key_of(name), &flag);
        }
      }
    }
  }
  return keys;
}

// Bare where the number reads back as the same text.
Json typed(const std::string& text) {
  JsonParser parser;
  Json value;
  JsonError error;
  const bool plain = !text.empty() && text.find_first_not_of("-.0123456789") == std::string::npos;
  return plain && parser.parse(text, value, error) && value.dump() == text ? value : Json(text);
}

// Headings may hold spaces and remarks: "sampling (a row's own fields count more)".
std::string table_name(const std::string& title) {
  std::string name = title.substr(0, title.find(" ("));
  std::replace(name.begin(), name.end(), ' ', '-');
  return name;
}

std::string toml_of(const Json& value) {
  if (value.is_string()) {
    return toml_string(value.as_string());
  }
  if (!value.is_array()) {
    return value.dump();
  }
  std::string list;
  for (const Json& entry : value.as_array()) {
    list.append(list.empty() ? "" : ", ").append(toml_of(entry));
  }
  return cat("[", list, "]");
}

Json value_of(const Flag& flag, const std::vector<std::string>& values) {
  if (values.size() == 1) {
    return values.front().empty() && (flag.is_switch() || flag.has_optional_value())
               ? Json(true)
               : typed(values.front());
  }
  return JsonArray(values.begin(), values.end());
}

class ItemReader {
 public:
  ItemReader(const std::string& path, const TomlItem& item, const Flag& flag)
      : path_(path), item_(item), flag_(flag) {}

  // The values as a command line would give them; none for a switch that is off.
  std::vector<std::string> values() const {
    const Json& value = item_.value;
    if (flag_.is_switch()) {
      if (!value.is_bool()) {
        refuse("expected true or false");
      }
      return value.as_bool() ? std::vector<std::string>{""} : std::vector<std::string>{};
    }
    if (value.is_bool() && flag_.has_optional_value()) {
      return value.as_bool() ? std::vector<std::string>{""} : std::vector<std::string>{};
    }
    if (!value.is_array()) {
      return {text_of(value, item_.text)};
    }
    // Texts: the flag once for each. Numbers: one list, as 1,2,3.
    std::vector<std::string> texts;
    std::string numbers;
    for (const Json& entry : value.as_array()) {
      if (entry.is_string()) {
        texts.push_back(entry.as_string());
      } else {
        numbers.append(numbers.empty() ? "" : ",").append(text_of(entry, entry.dump()));
      }
    }
    if (!texts.empty() && !numbers.empty()) {
      refuse("expected a list of texts or one of numbers, found both");
    }
    return numbers.empty() ? texts : std::vector<std::string>{numbers};
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    usage_error(cat(path_, ":", item_.line, ": ", item_.key, ": ", what, ", found ", item_.text));
  }

  std::string text_of(const Json& value, const std::string& written) const {
    if (value.is_bool()) {
      refuse(cat("expected ", flag_.value.empty() ? "a text" : flag_.value));
    }
    return value.is_string() ? value.as_string() : written;
  }

  const std::string& path_;
  const TomlItem& item_;
  const Flag& flag_;
};

}  // namespace

void add_config_file(const CommandLine& command, const std::string& path, GivenFlags& given) {
  if (is_directory(path)) {
    usage_error(cat("--config ", path, " is a folder, expected a file"));
  }
  const std::string text = read_file(path);
  const std::map<std::string, const Flag*> keys = flags_by_key(command);
  std::map<const Flag*, int64_t> lines;  // of the flags that this file sets
  for (const TomlItem& item : parse_toml(text, path)) {
    std::string key = key_of(item.key);
    std::replace(key.begin(), key.end(), '_', '-');
    const auto found = keys.find(key);
    if (found == keys.end()) {
      std::vector<std::string> known;
      for (const auto& [name, flag] : keys) {
        known.push_back(name);
      }
      const std::string near = nearest_word(key, known);
      usage_error(cat(path, ":", item.line, ": unknown key '", item.key, "'",
                      near.empty() ? cat("; see ", command.name, " --help")
                                   : cat("; did you mean ", near, "?")));
    }
    const Flag* flag = found->second;
    const auto [before, fresh] = lines.emplace(flag, item.line);
    if (!fresh) {
      usage_error(cat(path, ":", item.line, ": ", item.key, " was set on line ", before->second,
                      "; give it once"));
    }
    std::vector<std::string> values = ItemReader(path, item, *flag).values();
    if (!given.contains(flag) && !values.empty()) {
      given.emplace(flag, Given{std::move(values), cat(path, ":", item.line, ": ", item.key)});
    }
  }
}

std::string config_text(const CommandLine& command, const GivenFlags& given) {
  std::string text =
      cat("# ", command.name, " --config FILE; every key is a flag without its dashes\n");
  for (const FlagGroup& group : command.groups) {
    std::string lines;
    for (const Flag& flag : group.flags) {
      if (!is_for_files(flag)) {
        continue;
      }
      const std::string key = key_of(flag.name());
      const auto found = given.find(&flag);
      if (found != given.end()) {
        lines += cat(key, " = ", toml_of(value_of(flag, found->second.values)), "\n");
      } else {
        lines += cat("# ", key, flag.fallback.empty() ? "" : ": ", flag.fallback, "\n");
      }
    }
    if (!lines.empty()) {
      text += cat("\n[", table_name(group.title), "]\n", lines);
    }
  }
  return text;
}

JsonObject config_json(const CommandLine& command, const GivenFlags& given) {
  JsonObject config;
  for (const FlagGroup& group : command.groups) {
    for (const Flag& flag : group.flags) {
      const auto found = given.find(&flag);
      if (found != given.end() && is_for_files(flag)) {
        config.emplace_back(key_of(flag.name()), value_of(flag, found->second.values));
      }
    }
  }
  return config;
}

}  // namespace spate
