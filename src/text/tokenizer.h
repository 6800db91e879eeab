// Strings to tokens and back. One implementation per kind of vocabulary, all behind this class;
// text/list.cc says which file or metadata makes which kind.
//
// A Tokenizer is const after construction and may be used by many threads at once.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/token.h"

namespace spate {

struct EncodeOptions {
  bool add_special = true;    // the model's own BOS/EOS rule (its post-processor)
  bool parse_special = true;  // "<|im_start|>" in the text becomes its one token
};

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;

  // Appends the tokens of `text`. Any bytes are allowed; invalid UTF-8 is taken byte by byte.
  virtual void encode(std::string_view text, const EncodeOptions& options,
                      std::vector<Token>& out) const = 0;
  std::vector<Token> encode(std::string_view text, const EncodeOptions& options = {}) const {
    std::vector<Token> out;
    encode(text, options, out);
    return out;
  }

  // The bytes that `token` stands for; of a special token its literal text. Empty when out of
  // range.
  virtual std::string_view bytes(Token token) const = 0;
  virtual bool is_special(Token token) const = 0;
  virtual std::optional<Token> find(std::string_view literal) const = 0;  // exact vocabulary entry
  virtual int vocabulary_size() const = 0;

  // True for kinds that put a space before the first word (Llama 2): a decoder drops it again.
  virtual bool strips_leading_space() const { return false; }

  std::string_view kind() const { return kind_; }  // "bpe", "spm", "unigram"
  std::optional<Token> bos() const { return bos_; }
  std::optional<Token> eos() const { return eos_; }

 protected:
  std::string kind_;
  std::optional<Token> bos_, eos_;
};

// Tokens of one text, decoded as they come. push returns only whole UTF-8 characters: bytes of an
// unfinished character wait for the next token; bytes that can never be valid become U+FFFD.
class Decoder {
 public:
  explicit Decoder(const Tokenizer& tokenizer, bool skip_special = true)
      : tokenizer_(&tokenizer), skip_special_(skip_special) {}
  std::string push(Token token);
  std::string finish();  // what is still held back

 private:
  const Tokenizer* tokenizer_;
  bool skip_special_;
  bool at_start_ = true;
  std::string held_;
};

}  // namespace spate
