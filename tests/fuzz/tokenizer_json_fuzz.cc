// Covers text/json_tokenizer.cc and all that it reads: any tokenizer.json is either refused with an
// Error or gives a tokenizer that encodes any text and decodes what it gave.
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "base/json.h"
#include "text/list.h"

namespace {

constexpr std::string_view kTexts[] = {
    "", "Hello, w\xC3\xB6rld's 123\r\n\t  <s>x</s> ", "\xE2\x96\x81\xFF\xF0\x9F a'LL",
    "   aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  spate::HuggingFaceVocabulary files{.name = "fuzz"};
  spate::JsonParser parser;
  spate::JsonError error;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (!parser.parse(text, files.tokenizer, error)) return 0;
  if (const spate::Json* config = files.tokenizer.find("config")) files.config = *config;
  try {
    const std::unique_ptr<spate::Tokenizer> tokenizer = spate::open_tokenizer(files);
    for (const std::string_view input : kTexts) {
      for (const bool special : {false, true}) {
        spate::Decoder decoder(*tokenizer, special);
        for (const spate::Token token :
             tokenizer->encode(input, {.add_special = special, .parse_special = special})) {
          spate::check(token >= 0 && token < tokenizer->vocabulary_size(),
                       "tokens are inside the vocabulary");
          decoder.push(token);
        }
        decoder.finish();
      }
    }
  } catch (const spate::Error&) {
  }
  return 0;
}
