// Covers pattern.cc, bpe.cc, pipeline.cc: any bytes, through small byte-level vocabularies of
// several families, come back as they were. The first byte picks the family.
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

#include "base/check.h"
#include "text/byte_alphabet.h"
#include "text/list.h"

namespace {

// The 256 bytes, a few merges, one special and one added token.
std::unique_ptr<spate::Tokenizer> make(std::string_view pre) {
  std::vector<std::string> tokens;
  const spate::ByteAlphabet alphabet;
  for (int byte = 0; byte < 256; ++byte) {
    const char text = static_cast<char>(byte);
    tokens.push_back(alphabet.write({&text, 1}));
  }
  std::vector<std::string> merges;
  for (const auto& [left, right] :
       std::vector<std::pair<std::string, std::string>>{{"a", "b"},
                                                        {" ", "a"},
                                                        {" a", "b"},
                                                        {"\xC3", "\xA9"},
                                                        {"1", "2"},
                                                        {" ", " "},
                                                        {"  ", "  "},
                                                        {"a", "a"},
                                                        {"aa", "aa"},
                                                        {"\n", "\n"}}) {
    tokens.push_back(alphabet.write(left + right));
    merges.push_back(alphabet.write(left) + " " + alphabet.write(right));
  }
  tokens.push_back("<|end|>");
  tokens.push_back("<tool>");
  spate::GgufVocabulary vocabulary{.name = "fuzz", .model = "gpt2", .pre = std::string(pre)};
  vocabulary.tokens.assign(tokens.begin(), tokens.end());
  vocabulary.merges.assign(merges.begin(), merges.end());
  vocabulary.types.assign(tokens.size(), 1);
  vocabulary.types[tokens.size() - 2] = 3;
  vocabulary.types[tokens.size() - 1] = 4;
  return spate::open_tokenizer(vocabulary);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const std::vector<std::unique_ptr<spate::Tokenizer>> kTokenizers = [] {
    std::vector<std::unique_ptr<spate::Tokenizer>> out;
    for (const char* pre : {"gpt-2", "llama-bpe", "bailingmoe", "gpt-4o", "kimi-k2", "deepseek-v3",
                            "deepseek-llm", "deepseek-coder", "falcon", "smollm", "bloom"}) {
      out.push_back(make(pre));
    }
    return out;
  }();
  if (size == 0) return 0;
  const spate::Tokenizer& tokenizer = *kTokenizers[data[0] % kTokenizers.size()];
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  for (const bool special : {false, true}) {
    std::string back;
    for (const spate::Token token : tokenizer.encode(text, {.parse_special = special})) {
      back += tokenizer.bytes(token);
    }
    spate::check(back == text, "tokens spell the text that they were made of");
  }
  return 0;
}
