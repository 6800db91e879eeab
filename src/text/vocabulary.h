// What a model file says about its tokenizer, as plain values: the caller reads the files,
// text/list.cc turns these into a Tokenizer. Views need to live only as long as the call of
// open_tokenizer.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace spate {

// The files of a Hugging Face folder. Absent files are null or empty.
struct HuggingFaceVocabulary {
  std::string name;         // path of tokenizer.json; stands in error texts
  Json tokenizer;           // tokenizer.json
  Json config;              // tokenizer_config.json
  Json special_tokens_map;  // special_tokens_map.json
};

// Kinds of vocabulary entries in GGUF, as tokenizer.ggml.token_type numbers them.
enum class GgufTokenType {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

// Metadata of a GGUF file; the comment names the key.
struct GgufVocabulary {
  std::string name;                              // of the file; stands in error texts
  std::string architecture;                      // general.architecture
  std::string model;                             // tokenizer.ggml.model: "gpt2", "llama", "t5", ...
  std::string pre;                               // tokenizer.ggml.pre, or empty
  std::vector<std::string_view> tokens;          // tokenizer.ggml.tokens
  std::vector<float> scores;                     // tokenizer.ggml.scores, or empty
  std::vector<int64_t> types;                    // tokenizer.ggml.token_type, or empty: all normal
  std::vector<std::string_view> merges;          // tokenizer.ggml.merges, or empty: "left right"
  std::optional<int64_t> bos;                    // tokenizer.ggml.bos_token_id
  std::optional<int64_t> eos;                    // tokenizer.ggml.eos_token_id
  std::optional<int64_t> unknown;                // tokenizer.ggml.unknown_token_id
  std::optional<bool> add_bos;                   // tokenizer.ggml.add_bos_token
  std::optional<bool> add_eos;                   // tokenizer.ggml.add_eos_token
  std::optional<bool> add_space_prefix;          // tokenizer.ggml.add_space_prefix
  std::optional<bool> remove_extra_whitespaces;  // tokenizer.ggml.remove_extra_whitespaces
  std::string precompiled_charsmap;  // tokenizer.ggml.precompiled_charsmap, as raw bytes
};

}  // namespace spate
