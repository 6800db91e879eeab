// Covers text/charsmap.cc and the normalizers: any bytes as a compiled character map (or as base64
// in a node of tokenizer.json) over any text are refused with an Error or give a text; normal forms
// are stable; no bytes are lost where nothing is replaced.
//
// Input: two bytes, the length of the map (little-endian); the map; the text.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/check.h"
#include "text/character_normalizers.h"
#include "text/normal_forms.h"
#include "text/normalizer.h"
#include "text/normalizer_kinds.h"

namespace {

template <class Action>
void attempt(const Action& action) {
  try {
    action();
  } catch (const spate::Error&) {
  }
}

void require(bool ok) {
  if (!ok) {
    std::abort();
  }
}

void use_charsmap(const std::string& charsmap, std::string_view text) {
  std::string out;
  attempt([&] { spate::make_precompiled_normalizer(charsmap, "fuzz")->apply(text, out); });
  attempt([&] {
    const spate::JsonObject node{{"type", "Precompiled"}, {"precompiled_charsmap", charsmap}};
    spate::make_normalizer(node, "fuzz")->apply(text, out);
  });
  for (const bool trim : {false, true}) {
    spate::SentencePieceRules rules{.remove_extra_spaces = trim, .user_defined = {"ab", "\xC3"}};
    rules.charsmap = charsmap;
    attempt([&] { spate::make_sentencepiece_normalizer(rules, "fuzz")->apply(text, out); });
  }
}

void use_normalizers(std::string_view text) {
  using spate::NormalForm;
  std::string once, twice;
  for (const auto form : {NormalForm::nfc, NormalForm::nfd, NormalForm::nfkc, NormalForm::nfkd}) {
    spate::to_normal_form(form, text, once);
    spate::to_normal_form(form, once, twice);
    require(once == twice);
  }
  spate::bert_normalize({}, text, once);
  spate::strip_accents(text, once);
  spate::strip_spaces(true, true, text, once);
  spate::nmt_normalize(text, once);
  spate::SentencePieceRules rules{.add_space_prefix = false, .escape_spaces = false};
  spate::make_sentencepiece_normalizer(rules, "fuzz")->apply(text, once);
  require(once == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (size >= 2) {
    const size_t length = data[0] + 256U * data[1];
    use_charsmap(std::string(input.substr(2, length)),
                 input.substr(2).substr(std::min(length, size - 2)));
  }
  use_normalizers(input);
  return 0;
}
