#include "apps/row_flags.h"

#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "base/files.h"

namespace spate {
namespace {

SetFlag set_shard(Shard& shard) {
  return [&shard](const std::string& value) { parse_shard(value, shard); };
}

}  // namespace

void parse_shard(const std::string& text, Shard& shard) {
  const size_t slash = std::min(text.find('/'), text.size());
  if (slash == text.size()) {
    usage_error(cat("expected K/N, as 1/4 for the first of four parts, found '", text, "'"));
  }
  into(shard.count, 1)(text.substr(slash + 1));
  into(shard.index, 1, shard.count)(text.substr(0, slash));
}

FlagGroup input_flag_group(Flag model, SourceOptions& source) {
  return {
      "input",
      {
          std::move(model),
          {"-i,--input", "FILE|-", "rows; -: stdin", "", into(source.input), true},
          {"--format", "NAME", "auto, openai, prompt, messages, text, ids", "auto",
           choose(source.parse.format, row_formats())},
          {"--prompt-field", "NAME", "field that holds the prompt", "prompt",
           into(source.parse.prompt_field)},
          {"--id-field", "NAME", "field that holds the id", "custom_id, else id, else row-<line>",
           into(source.parse.id_field)},
          {"--allow-duplicate-ids", "", "rows may share an id; id and line then tell them apart",
           "", set_true(source.repeated_ids)},
          {"--limit", "N", "take at most N rows", "all", into(source.limit, 0)},
          {"--offset", "N", "pass over the first N rows", "0", into(source.offset, 0)},
          {"--shard", "K/N", "of these, the rows whose number divided by N leaves K - 1", "1/1",
           set_shard(source.shard)},
      }};
}

FlagGroup chat_flag_group(EngineFlags& engine, ChatFlags& chat) {
  return {
      "chat",
      {chat_template_flag(engine),
       {"--template-kwargs", "JSON", "variables for the template: {\"enable_thinking\": false}", "",
        into(chat.template_arguments)},
       {"--system", "TEXT", "system message for chats that bring none", "", into(chat.system)}}};
}

JsonObject template_arguments(const ChatFlags& chat) {
  if (chat.template_arguments.empty()) {
    return {};
  }
  try {
    return parse_json(chat.template_arguments, "--template-kwargs").as_object();
  } catch (const Error& error) {
    usage_error(cat("--template-kwargs: expected a JSON object; ", error.what()));
  }
}

void check_input(const std::string& path) {
  if (path != "-" && !file_exists(path)) {
    usage_error(cat("--input ", path, ": no such file"));
  }
}

void choose_format(SourceOptions& source) {
  struct stat status {};
  if (source.parse.format != RowFormat::automatic || source.input == "-" ||
      ::stat(source.input.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return;
  }
  // By read() and not by a map: a file that is cut meanwhile must not end the process.
  std::ifstream file(source.input, std::ios::binary);
  for (char c = 0; file.get(c);) {
    if (std::string_view(" \t\r\n").find(c) == std::string_view::npos) {
      source.parse.format = c == '{' || c == '[' ? RowFormat::automatic : RowFormat::text;
      return;
    }
  }
}

}  // namespace spate
