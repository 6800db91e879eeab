// What list.cc lists: for each kind of vocabulary, how its parts are put together.
#pragma once

#include "text/pipeline.h"
#include "text/vocabulary.h"

namespace spate {

// From GGUF metadata, by tokenizer.ggml.model.
Pipeline make_gguf_bpe(const GgufVocabulary& vocabulary);        // gpt2
Pipeline make_gguf_plain_bpe(const GgufVocabulary& vocabulary);  // gemma4
Pipeline make_gguf_spm(const GgufVocabulary& vocabulary);        // llama
Pipeline make_gguf_unigram(const GgufVocabulary& vocabulary);    // t5

// From tokenizer.json, by the type of its model.
std::string json_model_kind(const HuggingFaceVocabulary& vocabulary);
Pipeline make_json_bpe(const HuggingFaceVocabulary& vocabulary);
Pipeline make_json_unigram(const HuggingFaceVocabulary& vocabulary);

}  // namespace spate
