// Everything a model path holds, opened and checked but not yet loaded: weights (mapped),
// tokenizer, chat template, end tokens.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "load/checkpoint.h"
#include "text/chat.h"
#include "text/tokenizer.h"

namespace spate {

struct ModelFiles {
  std::string path;
  std::unique_ptr<Checkpoint> checkpoint;
  std::unique_ptr<Tokenizer> tokenizer;       // null: only token ids can go in (random weights)
  std::string tokenizer_note;                 // why there is none
  std::optional<ChatTemplate> chat_template;  // absent: no chat rows
  std::string chat_template_note;             // why there is none
  std::optional<ChatTemplate> tool_template;  // of chats with tools, where the model has its own
  std::vector<Token> end_tokens;              // of the model; end a row
};

struct RandomWeights {
  uint64_t seed = 0;
};

// `path` is a .gguf file or a Hugging Face folder. With `random`, weights are made from its config
// alone, and a tokenizer is read only where one lies beside it.
// `template_file`, when not empty, replaces the model's own chat template.
ModelFiles open_model_files(const std::string& path, std::optional<RandomWeights> random = {},
                            const std::string& template_file = {});

}  // namespace spate
