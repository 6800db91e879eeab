// The door to the tokenizers: files or metadata in, a Tokenizer out.
#pragma once

#include <memory>

#include "text/tokenizer.h"
#include "text/vocabulary.h"

namespace spate {

// Throws Error("<name>: <JSON path or key>: reason") when the vocabulary is malformed or of a kind
// that no row of the list reads.
std::unique_ptr<Tokenizer> open_tokenizer(const HuggingFaceVocabulary& vocabulary);
std::unique_ptr<Tokenizer> open_tokenizer(const GgufVocabulary& vocabulary);

}  // namespace spate
