// The one Tokenizer behind every kind: added tokens are cut out, what is between them is normalized
// and cut into pieces, a model makes tokens of each piece, and the vocabulary's rule puts BOS and
// EOS around them. The kinds (list.cc) differ only in the parts they put in here.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/added_tokens.h"
#include "text/normalizer.h"
#include "text/splitter.h"
#include "text/string_table.h"
#include "text/tokenizer.h"

namespace spate {

// Makes tokens of one piece of text.
class PieceModel {
 public:
  virtual ~PieceModel() = default;
  virtual void encode(std::string_view piece, std::vector<Token>& out) const = 0;
};

struct Pipeline {
  std::string kind;      // "bpe", "spm", "unigram"
  StringTable literals;  // the vocabulary's own spelling of each token
  StringTable bytes;     // what each token stands for
  std::vector<bool> special;
  std::vector<AddedToken> added;
  std::unique_ptr<Normalizer> normalizer;  // null: texts stay as they are
  Steps steps;
  std::unique_ptr<PieceModel> model;
  std::vector<Token> prefix, suffix;  // BOS, EOS and the like
  bool strips_leading_space = false;
  std::optional<Token> bos, eos;
};

std::unique_ptr<Tokenizer> make_tokenizer(Pipeline pipeline);

}  // namespace spate
