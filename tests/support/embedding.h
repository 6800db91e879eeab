// Rows of a model's embedding table, to be given back to it as embedded rows.
#pragma once

#include <cstring>

#include "engine/model_files.h"
#include "sched/request.h"

namespace spate {

// Of these tokens, [tokens, C] in f32.
inline std::vector<float> embeddings_of(const ModelFiles& files, std::span<const Token> tokens) {
  const Config& config = files.checkpoint->config();
  const HostTensor table = with_bytes(
      *files.checkpoint->find("model.embed_tokens.weight", Shape{config.vocabulary, config.width}));
  const auto width = static_cast<size_t>(config.width);
  const auto row_bytes = static_cast<size_t>(table.format->row_bytes(config.width));
  std::vector<float> rows(tokens.size() * width);
  for (size_t i = 0; i < tokens.size(); ++i) {
    table.format->decode(table.bytes.data() + static_cast<size_t>(tokens[i]) * row_bytes,
                         {rows.data() + i * width, width});
  }
  return rows;
}

}  // namespace spate
