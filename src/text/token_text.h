// What a vocabulary's entries stand for, by the decoder of tokenizer.json. Decoders work on lists
// of tokens; the list of those known holds the ones whose work on one token does not depend on the
// others, but for the space before the first word.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/byte_alphabet.h"
#include "text/json_node.h"

namespace spate {

class TokenText {
 public:
  // Throws Error("<where>: ...") for decoders that are not known.
  explicit TokenText(const JsonNode& decoder);

  // The bytes of an entry of the model's vocabulary, and of an added token.
  std::string of(std::string_view entry) const;
  std::string of_added(std::string_view entry) const;
  bool strips_leading_space() const { return strips_leading_space_; }

 private:
  void add(const JsonNode& node, int depth);
  void add_metaspace(const JsonNode& node);

  ByteAlphabet alphabet_;
  bool in_alphabet_ = false;    // entries are written in the byte alphabet
  bool byte_fallback_ = false;  // <0x00> to <0xFF> are bytes
  bool strips_leading_space_ = false;
  std::string end_suffix_;  // ends a word
  std::vector<std::pair<std::string, std::string>> replaced_;
};

}  // namespace spate
