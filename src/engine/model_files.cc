// Opens a model path. What is wrong with the weights ends the attempt; a missing or broken
// tokenizer or chat template does not, since token ids can still go in: a note says what is wrong.
#include "engine/model_files.h"

#include <algorithm>

#include "base/check.h"
#include "base/files.h"
#include "load/gguf.h"
#include "text/list.h"

namespace spate {
namespace {

// Jinja texts of a model; empty where it has none.
struct TemplateTexts {
  std::string chat;        // the only one, or the one named "default"
  std::string with_tools;  // the one named "tool_use"
};

void take_named(std::string_view name, std::string_view text, TemplateTexts& texts) {
  if (name == "default") texts.chat = text;
  if (name == "tool_use") texts.with_tools = text;
}

// The value of "chat_template": a text, or a list of {"name", "template"}.
void take_templates(const Json& file, TemplateTexts& texts) {
  const Json* value = file.find("chat_template");
  if (value == nullptr) return;
  if (value->is_string()) texts.chat = value->as_string();
  if (!value->is_array()) return;
  for (const Json& entry : value->as_array()) {
    const Json* name = entry.find("name");
    const Json* text = entry.find("template");
    if (name != nullptr && name->is_string() && text != nullptr && text->is_string()) {
      take_named(name->as_string(), text->as_string(), texts);
    }
  }
}

Json json_or_null(const std::string& path) {
  return file_exists(path) ? parse_json_file(path) : Json();
}

// Files of their own count more than tokenizer_config.json: newer models bring both.
TemplateTexts templates_of(const std::string& folder, const Json& tokenizer_config) {
  TemplateTexts texts;
  take_templates(tokenizer_config, texts);
  take_templates(json_or_null(folder + "/chat_template.json"), texts);
  const std::string jinja = folder + "/chat_template.jinja";
  if (file_exists(jinja)) texts.chat = read_file(jinja);
  return texts;
}

TemplateTexts templates_of(const GgufFile& file) {
  TemplateTexts texts;
  texts.chat = file.text("tokenizer.chat_template").value_or("");
  texts.with_tools = file.text("tokenizer.chat_template.tool_use").value_or("");
  return texts;
}

HuggingFaceVocabulary read_vocabulary(const std::string& folder) {
  const auto file = [&](std::string_view name) { return cat(folder, "/", name); };
  HuggingFaceVocabulary vocabulary;
  vocabulary.name = file("tokenizer.json");
  vocabulary.tokenizer = json_or_null(file("tokenizer.json"));
  vocabulary.config = json_or_null(file("tokenizer_config.json"));
  vocabulary.special_tokens_map = json_or_null(file("special_tokens_map.json"));
  return vocabulary;
}

GgufVocabulary read_vocabulary(const GgufFile& file) {
  const auto text = [&](std::string_view key) { return std::string(file.text(key).value_or("")); };
  GgufVocabulary vocabulary;
  vocabulary.name = file.name();
  vocabulary.architecture = text("general.architecture");
  vocabulary.model = text("tokenizer.ggml.model");
  vocabulary.pre = text("tokenizer.ggml.pre");
  vocabulary.tokens = file.texts("tokenizer.ggml.tokens").value_or(std::vector<std::string_view>());
  vocabulary.scores = file.numbers("tokenizer.ggml.scores").value_or(std::vector<float>());
  vocabulary.types = file.integers("tokenizer.ggml.token_type").value_or(std::vector<int64_t>());
  vocabulary.merges = file.texts("tokenizer.ggml.merges").value_or(std::vector<std::string_view>());
  vocabulary.bos = file.integer("tokenizer.ggml.bos_token_id");
  vocabulary.eos = file.integer("tokenizer.ggml.eos_token_id");
  vocabulary.unknown = file.integer("tokenizer.ggml.unknown_token_id");
  vocabulary.add_bos = file.boolean("tokenizer.ggml.add_bos_token");
  vocabulary.add_eos = file.boolean("tokenizer.ggml.add_eos_token");
  vocabulary.add_space_prefix = file.boolean("tokenizer.ggml.add_space_prefix");
  vocabulary.remove_extra_whitespaces = file.boolean("tokenizer.ggml.remove_extra_whitespaces");
  for (const int64_t byte :
       file.integers("tokenizer.ggml.precompiled_charsmap").value_or(std::vector<int64_t>())) {
    vocabulary.precompiled_charsmap += static_cast<char>(byte);
  }
  return vocabulary;
}

// The folder that may hold tokenizer files; empty for a GGUF file.
std::string folder_of(const ModelFiles& files) {
  if (files.checkpoint->gguf() != nullptr) return "";
  if (is_directory(files.path)) return files.path;
  const size_t slash = files.path.rfind('/');
  return slash == std::string::npos ? "." : files.path.substr(0, slash);
}

// Opens the tokenizer, or leaves a note. Answers the chat templates that lie beside it.
TemplateTexts open_text(ModelFiles& files) {
  TemplateTexts texts;
  try {
    if (const GgufFile* file = files.checkpoint->gguf()) {
      texts = templates_of(*file);
      if (!file->has("tokenizer.ggml.model")) {
        files.tokenizer_note = "the file's metadata has no tokenizer.ggml.model";
      } else {
        files.tokenizer = open_tokenizer(read_vocabulary(*file));
      }
      return texts;
    }
    const std::string folder = folder_of(files);
    const HuggingFaceVocabulary vocabulary = read_vocabulary(folder);
    texts = templates_of(folder, vocabulary.config);
    if (vocabulary.tokenizer.is_null()) {
      files.tokenizer_note = cat("there is no tokenizer.json in ", folder);
    } else {
      files.tokenizer = open_tokenizer(vocabulary);
    }
  } catch (const Error& error) {
    files.tokenizer_note = error.what();
  }
  return texts;
}

ChatTemplate compile(const Tokenizer& tokenizer, const std::string& text, const std::string& name) {
  const auto literal = [&](std::optional<Token> token) {
    return token ? tokenizer.bytes(*token) : std::string_view();
  };
  return {text, name, literal(tokenizer.bos()), literal(tokenizer.eos())};
}

void open_templates(ModelFiles& files, const TemplateTexts& texts, const std::string& given) {
  if (files.tokenizer == nullptr) {
    files.chat_template_note = "there is no tokenizer to turn its text into tokens";
    return;
  }
  if (!given.empty()) {  // the user's own must be right, and stands for all chats
    try {
      files.chat_template.emplace(compile(*files.tokenizer, read_file(given), given));
    } catch (const Error& error) {
      throw Error(cat("--chat-template: ", error.what()), ExitCode::usage);
    }
    return;
  }
  if (texts.chat.empty()) {
    files.chat_template_note = "the model brings none";
    return;
  }
  try {
    files.chat_template.emplace(compile(*files.tokenizer, texts.chat, "chat template"));
    if (!texts.with_tools.empty()) {
      files.tool_template.emplace(
          compile(*files.tokenizer, texts.with_tools, "chat template tool_use"));
    }
  } catch (const Error& error) {
    files.chat_template_note = error.what();
  }
}

// Tokens that end a turn in the chat formats of well-known models. Checkpoints do not always list
// the one that their template writes.
constexpr std::string_view kTurnEnds[] = {"<|im_end|>", "<|eot_id|>",    "<|eom_id|>",
                                          "<|end|>",    "<end_of_turn>", "<|end_of_text|>",
                                          "<|eot|>",    "<EOT>",         "<|endoftext|>"};

std::vector<Token> end_tokens_of(const ModelFiles& files) {
  std::vector<Token> ends = files.checkpoint->generation().end_tokens;
  if (const Tokenizer* tokenizer = files.tokenizer.get()) {
    if (tokenizer->eos()) ends.push_back(*tokenizer->eos());
    for (const std::string_view literal : kTurnEnds) {
      const std::optional<Token> token = tokenizer->find(literal);
      if (files.chat_template && token && tokenizer->is_special(*token)) ends.push_back(*token);
    }
  }
  std::sort(ends.begin(), ends.end());
  ends.erase(std::unique(ends.begin(), ends.end()), ends.end());
  // A number that no row of the head stands for can never be drawn.
  std::erase_if(ends, [&](Token token) {
    return token < 0 || token >= files.checkpoint->config().vocabulary;
  });
  return ends;
}

}  // namespace

ModelFiles open_model_files(const std::string& path, std::optional<RandomWeights> random,
                            const std::string& template_file) {
  ModelFiles files;
  files.path = path;
  files.checkpoint = random ? open_random_checkpoint(path, random->seed) : open_checkpoint(path);
  const TemplateTexts texts = open_text(files);
  open_templates(files, texts, template_file);
  files.end_tokens = end_tokens_of(files);
  return files;
}

}  // namespace spate
