// The post-processor of tokenizer.json: which tokens stand before and after those of a text.
#pragma once

#include <vector>

#include "base/token.h"
#include "text/json_node.h"

namespace spate {

struct Surroundings {
  std::vector<Token> before, after;
};

// Throws Error("<where>: ...") for kinds that are not known and tokens outside the vocabulary.
Surroundings read_post_processor(const JsonNode& node, int64_t vocabulary_size);

}  // namespace spate
