// Embedded rows of input rows: tensors of safetensors files that stand in a prompt in place of the
// embeddings of its tokens.
//
//   "embeds": {"file": "x.safetensors", "key": "rid", "position": 12}     or a list of such objects
//
// The tensor `key` (the row's id when absent) is [n, C] or [C], of f32, f16 or bf16; it replaces n
// tokens of the prompt from `position` on.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "apps/rows/row.h"
#include "sched/request.h"

namespace spate {

// Reads them for many threads at once; keeps some files open.
class EmbedReader {
 public:
  explicit EmbedReader(int64_t width);  // of the model
  ~EmbedReader();

  // By position. Throws RowRejected that names the file, the tensor, what was found and expected.
  std::vector<Embedded> read(const Json& embeds, const std::string& row_id,
                             int64_t prompt_tokens) const;

 private:
  struct File;

  Embedded read_one(const Json& embed, const std::string& row_id) const;
  std::shared_ptr<const File> open(const std::string& path) const;

  int64_t width_;
  mutable std::mutex mutex_;  // guards files_
  mutable std::unordered_map<std::string, std::shared_ptr<const File>> files_;
};

}  // namespace spate
