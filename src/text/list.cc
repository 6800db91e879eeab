// The kinds of vocabularies, by the name that the file gives its model.
#include "text/list.h"

#include "base/check.h"
#include "text/kinds.h"

namespace spate {
namespace {

template <class Vocabulary>
struct Kind {
  std::string_view model;
  Pipeline (*make)(const Vocabulary& vocabulary);
};

constexpr Kind<HuggingFaceVocabulary> kJsonKinds[] = {
    {"BPE", make_json_bpe},
    {"Unigram", make_json_unigram},
};

constexpr Kind<GgufVocabulary> kGgufKinds[] = {
    {"gpt2", make_gguf_bpe},
    {"gemma4", make_gguf_plain_bpe},
    {"llama", make_gguf_spm},
    {"t5", make_gguf_unigram},
};

template <class Vocabulary, size_t n>
std::unique_ptr<Tokenizer> open(const Vocabulary& vocabulary, std::string_view model,
                                const Kind<Vocabulary> (&kinds)[n], std::string_view key) {
  std::string known;
  for (const Kind<Vocabulary>& kind : kinds) {
    if (kind.model == model) return make_tokenizer(kind.make(vocabulary));
    known += cat(known.empty() ? "" : ", ", kind.model);
  }
  fail(vocabulary.name, ": ", key, ": found '", model, "', expected one of ", known);
}

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const HuggingFaceVocabulary& vocabulary) {
  return open(vocabulary, json_model_kind(vocabulary), kJsonKinds, "model.type");
}

std::unique_ptr<Tokenizer> open_tokenizer(const GgufVocabulary& vocabulary) {
  return open(vocabulary, vocabulary.model, kGgufKinds, "tokenizer.ggml.model");
}

}  // namespace spate
