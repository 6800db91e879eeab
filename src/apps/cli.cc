#include "apps/cli.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <numeric>

#include "apps/config_file.h"

namespace spate {
namespace {

constexpr const char* kConfigFlag = "--config";
constexpr const char* kPrintConfigFlag = "--print-config";

// "-o,--output FILE"
std::string left_column(const Flag& flag) {
  std::string text = flag.names;
  if (!flag.is_positional() && text.substr(0, 2) == "--") {
    text.insert(0, "    ");  // long names line up below "-o, "
  }
  const size_t comma = text.find(',');
  if (comma != std::string::npos) {
    text.replace(comma, 1, ", ");
  }
  if (flag.value.empty()) {
    return text;
  }
  return flag.has_optional_value() ? text + "[=" + flag.value.substr(1) : text + " " + flag.value;
}

std::vector<std::string> long_names(const CommandLine& command) {
  std::vector<std::string> names;
  for (const FlagGroup& group : command.groups) {
    for (const Flag& flag : group.flags) {
      for (std::string& name : flag.long_names()) {
        if (!flag.is_positional()) {
          names.push_back(std::move(name));
        }
      }
    }
  }
  names.emplace_back("--help");
  return names;
}

// Appends `text` in lines of at most `width` columns, each after the first indented.
void append_wrapped(std::string& out, std::string_view text, size_t indent, size_t width) {
  size_t column = indent;
  bool first = true;
  while (!text.empty()) {
    const size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    if (!first && column + 1 + word.size() > width) {
      out.append("\n").append(indent, ' ');
      column = indent;
    } else if (!first) {
      out.append(" ");
      ++column;
    }
    out.append(word);
    column += word.size();
    first = false;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

std::string unknown_argument(const CommandLine& command, const std::string& argument) {
  if (argument.front() != '-') {
    return cat("'", argument, "' is one argument too many; ", command.name,
               " takes: ", command.usage);
  }
  const std::string name = argument.substr(0, argument.find('='));
  const std::string near = nearest_word(name, long_names(command));
  return cat("unknown flag ", name, near.empty() ? "" : "; did you mean " + near + "?");
}

// Calls flag.set, and says in what it complains about where the value was given.
void set_named(const Flag& flag, const Given& given) {
  for (const std::string& value : given.values) {
    try {
      flag.set(value);
    } catch (const Error& error) {
      usage_error(cat(given.where, ": ", error.what()));
    }
  }
}

// What the command line gives. CLI11 does the reading.
GivenFlags given_flags(const CommandLine& command, const std::vector<std::string>& arguments) {
  CLI::App app;
  app.set_help_flag();
  app.allow_extras();
  GivenFlags given;
  std::deque<std::pair<const Flag*, std::string>> optional_values;  // CLI11 stores into them
  for (const FlagGroup& group : command.groups) {
    for (const Flag& flag : group.flags) {
      const auto add = [&given, &flag](const std::string& value) {
        Given& one = given[&flag];
        one.where = flag.name();
        one.values.push_back(value);
      };
      if (flag.is_switch()) {
        app.add_flag_callback(flag.names, [add] { add(""); });
      } else if (flag.has_optional_value()) {
        app.add_flag(flag.names, optional_values.emplace_back(&flag, "").second);
      } else {
        // One value for each time the flag is given, any number of times.
        app.add_option(flag.names,
                       [add](const CLI::results_t& values) {
                         std::for_each(values.begin(), values.end(), add);
                         return true;
                       })
            ->type_size(1)
            ->expected(1, flag.is_positional() && !flag.is_repeated_positional()
                              ? 1
                              : CLI::detail::expected_max_vector_size)
            ->allow_extra_args(flag.is_repeated_positional());
      }
    }
  }
  // CLI11 takes the arguments last first.
  std::vector<std::string> reversed(arguments.rbegin(), arguments.rend());
  try {
    app.parse(reversed);
  } catch (const CLI::Error& error) {
    usage_error(cat(error.what(), "; see ", command.name, " --help"));
  }
  const std::vector<std::string> rest = app.remaining();
  if (!rest.empty()) {
    usage_error(cat(unknown_argument(command, rest.front()), "; see ", command.name, " --help"));
  }
  for (const auto& [flag, value] : optional_values) {
    if (app.count(flag->name()) > 0) {  // "true" is CLI11's word for a bare flag
      given[flag] = {{value == "true" ? "" : value}, flag->name()};
    }
  }
  return given;
}

}  // namespace

void usage_error(const std::string& text) { throw Error(text, ExitCode::usage); }

std::string join_words(const std::vector<std::string>& words, std::string_view between) {
  std::string text;
  for (const std::string& word : words) {
    text.append(text.empty() ? "" : between).append(word);
  }
  return text;
}

std::string nearest_word(std::string_view word, const std::vector<std::string>& known) {
  // Edit distance by rows; a word is near when at most a third of it must change.
  std::string best;
  size_t best_distance = word.size() / 3 + 1;
  for (const std::string& candidate : known) {
    std::vector<size_t> row(candidate.size() + 1);
    std::iota(row.begin(), row.end(), size_t{0});
    for (size_t i = 0; i < word.size(); ++i) {
      size_t diagonal = row[0];
      row[0] = i + 1;
      for (size_t j = 0; j < candidate.size(); ++j) {
        const size_t replaced = diagonal + (word[i] == candidate[j] ? 0 : 1);
        diagonal = row[j + 1];
        row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
      }
    }
    if (row.back() < best_distance) {
      best_distance = row.back();
      best = candidate;
    }
  }
  return best;
}

std::string help_text(const CommandLine& command, int width) {
  constexpr size_t kColumn = 34;  // where the explanations start
  std::string text = cat("usage: ", command.name, " ", command.usage, "\n\n", command.about, "\n");
  for (const FlagGroup& group : command.groups) {
    text.append("\n").append(group.title).append("\n");
    for (const Flag& flag : group.flags) {
      std::string line = "  " + left_column(flag);
      if (line.size() + 2 > kColumn) {
        line.append("\n").append(kColumn, ' ');
      } else {
        line.resize(kColumn, ' ');
      }
      const std::string note = flag.fallback.empty() ? "" : " [" + flag.fallback + "]";
      append_wrapped(line, flag.help + note, kColumn, static_cast<size_t>(width));
      text.append(line).append("\n");
    }
  }
  return text;
}

FlagGroup config_flag_group() {
  return {"configuration",
          {{kConfigFlag, "FILE", "flags from a TOML file; what is given here counts more", "", {}},
           {kPrintConfigFlag, "", "print what holds as such a file, and stop", "", {}}}};
}

std::optional<JsonObject> read_command_line(const CommandLine& command,
                                            const std::vector<std::string>& arguments) {
  if (std::find_if(arguments.begin(), arguments.end(), [](const std::string& argument) {
        return argument == "--help" || argument == "-h";
      }) != arguments.end()) {
    std::fputs(help_text(command).c_str(), stdout);
    return std::nullopt;
  }
  GivenFlags given = given_flags(command, arguments);
  const Given* print = nullptr;
  for (const FlagGroup& group : command.groups) {
    for (const Flag& flag : group.flags) {
      const auto found = given.find(&flag);
      if (found == given.end() || flag.set != nullptr) {
        continue;
      }
      if (flag.names == kPrintConfigFlag) {
        print = &found->second;
      } else if (found->second.values.size() > 1) {
        usage_error(cat(flag.names, " is given twice; give one file"));
      } else {
        add_config_file(command, found->second.values.front(), given);
      }
    }
  }
  for (const FlagGroup& group : command.groups) {
    for (const Flag& flag : group.flags) {
      const auto found = given.find(&flag);
      if (found != given.end() && flag.set != nullptr) {
        set_named(flag, found->second);
      } else if (found == given.end() && flag.required && print == nullptr) {
        usage_error(cat(flag.name(), " is missing; usage: ", command.name, " ", command.usage));
      }
    }
  }
  if (print != nullptr) {
    std::fputs(config_text(command, given).c_str(), stdout);
    return std::nullopt;
  }
  return config_json(command, given);
}

bool parse_command_line(const CommandLine& command, const std::vector<std::string>& arguments) {
  return read_command_line(command, arguments).has_value();
}

std::string Flag::name() const { return long_names().front(); }

std::vector<std::string> Flag::long_names() const {
  std::vector<std::string> long_ones;
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    if (is_positional() || names.compare(begin, 2, "--") == 0) {
      long_ones.push_back(names.substr(begin, end - begin));
    }
    begin = end + 1;
  }
  return long_ones;
}

int64_t parse_integer(const std::string& text) {
  int64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc() || stop != end) {
    usage_error(cat("expected a whole number, found '", text, "'"));
  }
  return value;
}

double parse_number(const std::string& text) {
  char* stop = nullptr;
  const double value = std::strtod(text.c_str(), &stop);
  if (text.empty() || *stop != '\0' || !std::isfinite(value)) {
    usage_error(cat("expected a number, found '", text, "'"));
  }
  return value;
}

SetFlag into(std::string& target) {
  return [&target](const std::string& value) { target = value; };
}

SetFlag into(std::vector<std::string>& target) {
  return [&target](const std::string& value) { target.push_back(value); };
}

SetFlag into(int64_t& target, int64_t least, int64_t most) {
  return [&target, least, most](const std::string& value) {
    const int64_t number = parse_integer(value);
    if (number < least || number > most) {
      usage_error(most == INT64_MAX ? cat("expected at least ", least, ", found ", number)
                                    : cat("expected ", least, " to ", most, ", found ", number));
    }
    target = number;
  };
}

SetFlag into(double& target, double least, double most) {
  return [&target, least, most](const std::string& value) {
    const double number = parse_number(value);
    if (number < least || number > most) {
      usage_error(cat("expected ", least, " to ", most, ", found ", number));
    }
    target = number;
  };
}

SetFlag set_true(bool& target) {
  return [&target](const std::string&) { target = true; };
}

}  // namespace spate
