// Flags as data: every command lists its flags in tables, and this page turns the tables into a
// parser, a help page and error texts with suggestions. CLI11 does the parsing, in cli.cc alone.
//
// A flag's `set` stores what was given; it throws Error (exit code 2) that says what is expected.
#pragma once

#include <cstdint>
#include <functional>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/json.h"

namespace spate {

using SetFlag = std::function<void(const std::string& value)>;

struct Flag {
  // "-o,--output"; a name without a dash is a positional: "MODEL", or "OUT..." for several.
  std::string names;
  // What the help calls its value: "FILE"; empty for a switch. "[SEED]": may be left out, and is
  // given with "=", so that it never takes the argument that follows.
  std::string value;
  std::string help;
  std::string fallback;  // the default, as the help shows it; empty when there is none to show
  SetFlag set;           // called once for each time the flag is given; "" when without a value
  bool required = false;

  bool is_positional() const { return names.front() != '-'; }
  bool is_repeated_positional() const { return is_positional() && names.ends_with("..."); }
  bool is_switch() const { return value.empty() && !is_positional(); }
  bool has_optional_value() const { return value.starts_with('['); }
  std::string name() const;  // that messages use: the first long one
  std::vector<std::string> long_names() const;
};

struct FlagGroup {
  std::string title;
  std::vector<Flag> flags;
};

struct CommandLine {
  std::string name;   // "spate run"
  std::string usage;  // "MODEL -i FILE -o FILE [flags]"
  std::string about;  // a few lines
  std::vector<FlagGroup> groups;
};

// --config and --print-config, for commands that many flags are given to. The parser itself acts on
// them, so they have no `set`.
FlagGroup config_flag_group();

// Name -> value of the flags that were given, or nothing when --help or --print-config was asked
// for and has been printed. Throws Error (exit code 2) for anything that is unknown, missing or
// malformed.
std::optional<JsonObject> read_command_line(const CommandLine& command,
                                            const std::vector<std::string>& arguments);

// The same for those who do not ask what was given.
bool parse_command_line(const CommandLine& command, const std::vector<std::string>& arguments);

std::string help_text(const CommandLine& command, int width = 100);

// The known word nearest to `word`, or nothing when none is near.
std::string nearest_word(std::string_view word, const std::vector<std::string>& known);

[[noreturn]] void usage_error(const std::string& text);

// What flags store into. Bounds are inclusive.
SetFlag into(std::string& target);
SetFlag into(std::vector<std::string>& target);  // appends
SetFlag into(int64_t& target, int64_t least, int64_t most = INT64_MAX);
SetFlag into(double& target, double least, double most);
SetFlag set_true(bool& target);

template <class T>
using Choices = std::vector<std::pair<std::string_view, T>>;

std::string join_words(const std::vector<std::string>& words, std::string_view between);

// One word of a fixed set.
template <class T>
SetFlag choose(T& target, Choices<T> choices) {
  return [&target, choices = std::move(choices)](const std::string& value) {
    std::vector<std::string> known;
    for (const auto& [word, meaning] : choices) {
      if (value == word) {
        target = meaning;
        return;
      }
      known.emplace_back(word);
    }
    usage_error(cat("'", value, "' is not one of ", join_words(known, ", ")));
  };
}

// The word of a choice, for help pages and reports.
template <class T>
std::string_view word_of(const T& value, const Choices<T>& choices) {
  for (const auto& [word, meaning] : choices) {
    if (meaning == value) {
      return word;
    }
  }
  return "?";
}

int64_t parse_integer(const std::string& text);  // throws Error, exit code 2
double parse_number(const std::string& text);    // throws Error, exit code 2

}  // namespace spate
