// Normalizers: what a tokenizer does to a text before it is cut into pieces. tokenizer.json names
// them as a tree of nodes; normalizer.cc has the list of kinds. GGUF files describe SentencePiece's
// own normalizer by a few fields of metadata instead.
//
// A Normalizer is const after construction and may be used by many threads at once. Any bytes are
// allowed: invalid UTF-8 passes through unchanged.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace spate {

class Normalizer {
 public:
  virtual ~Normalizer() = default;

  // Sets `out` to the normalized `in`, which must not be a view into `out`.
  virtual void apply(std::string_view in, std::string& out) const = 0;
};

// The normalizer of a tokenizer.json node; a null node leaves every text as it is. Throws
// Error("<name>: normalizer: ...") for kinds we do not know and for fields that make no sense.
std::unique_ptr<Normalizer> make_normalizer(const Json& node, std::string_view name);

// What SentencePiece does before its models see a text.
struct SentencePieceRules {
  std::string charsmap;                   // bytes of precompiled_charsmap; empty: no replacements
  bool remove_extra_spaces = false;       // at both ends, and runs of them inside
  bool add_space_prefix = true;           // before a text that is not empty
  bool escape_spaces = true;              // ' ' becomes U+2581
  std::vector<std::string> user_defined;  // pieces that are never changed
};

std::unique_ptr<Normalizer> make_sentencepiece_normalizer(SentencePieceRules rules,
                                                          std::string_view name);

}  // namespace spate
