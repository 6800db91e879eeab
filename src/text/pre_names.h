// What GGUF's tokenizer.ggml.pre names: the pre-tokenizer and normalizer of a model family.
#pragma once

#include <string_view>

#include "base/json.h"

namespace spate {

struct PreName {
  Json pre_tokenizer, normalizer;  // nodes as in the family's tokenizer.json
  bool ignore_merges = false;
  bool adds_bos = false;  // when the file does not say
};

// Throws Error("<name>: tokenizer.ggml.pre: ...") with the list of those known.
PreName find_pre_name(std::string_view pre, std::string_view name);

}  // namespace spate
