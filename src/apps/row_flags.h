// Flags that mean the same wherever rows are read: which rows of which input, how they are read,
// and what chats are given besides.
#pragma once

#include <string>
#include <vector>

#include "apps/engine_flags.h"
#include "apps/rows/source.h"

namespace spate {

// The groups "input", with the positional MODEL in front, and "chat".
FlagGroup input_flag_group(Flag model, SourceOptions& source);

void parse_shard(const std::string& text, Shard& shard);  // "K/N"; throws Error (exit code 2)

struct ChatFlags {
  std::string system;              // message for chats that bring none
  std::string template_arguments;  // JSON, as given
};

FlagGroup chat_flag_group(EngineFlags& engine, ChatFlags& chat);

// Throws Error (exit code 2) when it is no JSON object.
JsonObject template_arguments(const ChatFlags& chat);

void check_input(const std::string& path);  // throws Error (exit code 2) when it is not there

// Lets the format `auto` stand for text when it is a file that does not begin with { or [. JSON
// rows are told apart line by line, but text cannot be told from broken JSON once its rows are
// read.
void choose_format(SourceOptions& source);

}  // namespace spate
