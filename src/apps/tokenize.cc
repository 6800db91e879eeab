// `spate tokenize`: text to token ids and pieces, ids back to text, and what a chat template makes.
#include <charconv>
#include <cstdio>
#include <iostream>
#include <iterator>

#include "apps/engine_flags.h"
#include "apps/list.h"
#include "base/files.h"
#include "base/json.h"

namespace spate {
namespace {

struct TokenizeFlags {
  EngineFlags engine;
  std::string text, input, decode, chat;
  bool has_text = false, count = false, json = false, no_special = false;
};

// "1 2 3", "1,2,3" and "[1, 2, 3]".
std::vector<Token> parse_ids(const std::string& text) {
  std::vector<Token> ids;
  const char* at = text.data();
  const char* const end = at + text.size();
  while (at != end) {
    if (std::string_view(" ,[]\t\n").find(*at) != std::string_view::npos) {
      ++at;
      continue;
    }
    Token id = 0;
    const auto [stop, error] = std::from_chars(at, end, id);
    if (error != std::errc()) {
      usage_error(
          cat("--decode: found '", std::string(at, end), "', expected token ids such as 1,2,3"));
    }
    ids.push_back(id);
    at = stop;
  }
  return ids;
}

std::string input_text(const TokenizeFlags& flags) {
  if (flags.has_text) {
    return flags.text;
  }
  if (!flags.input.empty() && flags.input != "-") {
    return read_file(flags.input);
  }
  return {std::istreambuf_iterator<char>(std::cin), std::istreambuf_iterator<char>()};
}

std::string rendered_chat(const ModelFiles& files, const std::string& path) {
  if (!files.chat_template) {
    usage_error(cat("--chat: the model has no chat template (", files.chat_template_note,
                    "); give one with --chat-template"));
  }
  const Json json = parse_json_file(path);
  const Json* messages = json.find("messages");
  ChatRequest request;
  request.messages = messages == nullptr ? json : *messages;
  if (const Json* tools = json.find("tools"); tools != nullptr) {
    request.tools = *tools;
  }
  return files.chat_template->render(request);
}

void print_tokens(const Tokenizer& tokenizer, const std::vector<Token>& tokens,
                  const TokenizeFlags& flags) {
  if (flags.count) {
    std::printf("%zu\n", tokens.size());
    return;
  }
  if (flags.json) {
    JsonArray pieces;
    for (const Token token : tokens) {
      pieces.emplace_back(tokenizer.bytes(token));
    }
    std::puts(Json(JsonObject{{"count", static_cast<int64_t>(tokens.size())},
                              {"ids", JsonArray(tokens.begin(), tokens.end())},
                              {"pieces", std::move(pieces)}})
                  .dump()
                  .c_str());
    return;
  }
  for (const Token token : tokens) {
    std::string piece;
    append_json_string(piece, tokenizer.bytes(token));
    std::printf("%8d  %s%s\n", token, piece.c_str(),
                tokenizer.is_special(token) ? "  special" : "");
  }
}

}  // namespace

int tokenize_command(const Arguments& arguments) {
  TokenizeFlags flags;
  const CommandLine command{
      "spate tokenize",
      "MODEL [TEXT] [flags]",
      "Prints the token ids and pieces of a text: of TEXT, of a file, or of stdin.",
      {{"flags",
        {model_flag(flags.engine),
         {"TEXT", "", "the text", "stdin",
          [&flags](const std::string& value) {
            flags.text = value;
            flags.has_text = true;
          }},
         {"-i,--input", "FILE|-", "read the text from a file", "", into(flags.input)},
         {"--decode", "IDS", "print the text of token ids instead: 1,2,3", "", into(flags.decode)},
         {"--chat", "FILE", "a JSON file of chat messages, put through the chat template", "",
          into(flags.chat)},
         {"--no-special", "", "add no BOS or EOS, and take <|...|> in the text as plain characters",
          "", set_true(flags.no_special)},
         {"--count", "", "print how many tokens there are, and nothing else", "",
          set_true(flags.count)},
         {"--json", "", "one JSON object", "", set_true(flags.json)},
         chat_template_flag(flags.engine)}}}};
  if (!parse_command_line(command, arguments)) {
    return 0;
  }
  const ModelFiles files = open_model(flags.engine);
  if (files.tokenizer == nullptr) {
    throw Error(cat(flags.engine.model, " has no tokenizer: ", files.tokenizer_note),
                ExitCode::usage);
  }
  const Tokenizer& tokenizer = *files.tokenizer;
  if (!flags.decode.empty()) {
    Decoder decoder(tokenizer, false);
    std::string text;
    for (const Token token : parse_ids(flags.decode)) {
      text += decoder.push(token);
    }
    std::puts((text + decoder.finish()).c_str());
    return 0;
  }
  if (!flags.chat.empty()) {
    const std::string text = rendered_chat(files, flags.chat);
    print_tokens(tokenizer, tokenizer.encode(text, {.add_special = false}), flags);
    return 0;
  }
  const EncodeOptions options{.add_special = !flags.no_special, .parse_special = !flags.no_special};
  print_tokens(tokenizer, tokenizer.encode(input_text(flags), options), flags);
  return 0;
}

}  // namespace spate
