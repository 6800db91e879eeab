// What the tokenizer tests share: vocabularies out of files, tokens as text, error texts.
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "base/files.h"
#include "base/json.h"
#include "load/gguf.h"
#include "text/list.h"

namespace spate::text_test {

inline const std::string kRoot = SPATE_SOURCE_DIR "/";

using Tokens = std::vector<Token>;

// The views point into `file`.
inline GgufVocabulary vocabulary_of(const GgufFile& file) {
  const auto text = [&](std::string_view key) { return std::string(file.text(key).value_or("")); };
  return {.name = file.name(),
          .architecture = text("general.architecture"),
          .model = text("tokenizer.ggml.model"),
          .pre = text("tokenizer.ggml.pre"),
          .tokens = file.texts("tokenizer.ggml.tokens").value(),
          .scores = file.numbers("tokenizer.ggml.scores").value_or(std::vector<float>()),
          .types = file.integers("tokenizer.ggml.token_type").value_or(std::vector<int64_t>()),
          .merges = file.texts("tokenizer.ggml.merges").value_or(std::vector<std::string_view>()),
          .bos = file.integer("tokenizer.ggml.bos_token_id"),
          .eos = file.integer("tokenizer.ggml.eos_token_id"),
          .unknown = file.integer("tokenizer.ggml.unknown_token_id"),
          .add_bos = file.boolean("tokenizer.ggml.add_bos_token"),
          .add_eos = file.boolean("tokenizer.ggml.add_eos_token"),
          .add_space_prefix = file.boolean("tokenizer.ggml.add_space_prefix")};
}

inline std::string show(const Tokens& tokens) {
  std::string out;
  for (const Token token : tokens) out += cat(out.empty() ? "" : " ", token);
  return out;
}

// The whole text of some tokens, special ones included.
inline std::string decode(const Tokenizer& tokenizer, const Tokens& tokens) {
  Decoder decoder(tokenizer, false);
  std::string out;
  for (const Token token : tokens) out += decoder.push(token);
  return out + decoder.finish();
}

// The text of the Error that `action` throws; empty when it throws none.
template <class Action>
std::string error_of(const Action& action) {
  try {
    action();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

}  // namespace spate::text_test
