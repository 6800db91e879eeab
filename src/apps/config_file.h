// Flags from a file: `--config FILE` holds what the command line could, under the flags' names
// without their dashes, and `--print-config` writes such a file. What the command line gives counts
// more.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "apps/cli.h"
#include "base/json.h"

namespace spate {

struct Given {
  std::vector<std::string> values;  // in order; "" for a switch
  std::string where;                // for messages: "--max-tokens", "run.toml:3: max-tokens"
};

using GivenFlags = std::map<const Flag*, Given>;

// Adds what the file says about flags that are not given yet. Throws Error with file and line (exit
// code 2) for unknown keys and values of a wrong kind; what a value means is left to Flag::set.
void add_config_file(const CommandLine& command, const std::string& path, GivenFlags& given);

// A file that gives the same; flags that are not given stand in comments, with their defaults.
std::string config_text(const CommandLine& command, const GivenFlags& given);

// Name -> value of what was given.
JsonObject config_json(const CommandLine& command, const GivenFlags& given);

}  // namespace spate
