// The small tables of the sampling ops on their way to the device: each is appended to one host
// block, the block goes up in one piece, and views of its parts are what the ops take.
//
// Owner: the sampler. Made once; nothing here allocates device memory later.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "base/token.h"

namespace spate {

// One edit of a ragged table: a token and its value, an i32 or the bits of an f32.
struct TokenEdit {
  Token token = 0;
  int32_t value = 0;
  bool operator==(const TokenEdit&) const = default;
};

class Tables {
 public:
  Tables(Backend& backend, int64_t max_rows, int64_t vocabulary);
  static size_t device_bytes(int64_t max_rows, int64_t vocabulary);

  // Edits that one upload holds: at least one for each token of the vocabulary.
  int64_t most_edits() const { return most_edits_; }

  struct Place {
    size_t begin = 0;  // entry of the block
    Shape shape;
    DType type = DType::i32;
  };
  void clear() { block_.clear(); }
  Place add(std::span<const int32_t> values, Shape shape);
  Place add(std::span<const float> values, Shape shape);
  void upload();
  Tensor view(const Place& place) const;  // after upload()

 private:
  void append(const void* values, size_t count);

  Backend& backend_;
  int64_t most_edits_;
  Buffer device_;
  std::vector<int32_t> block_;
};

}  // namespace spate
