// Rows that prompts bring instead of embeddings of tokens, on their way to the hidden states.
//
// Owner: the runner.
#pragma once

#include "backend/backend.h"
#include "sched/batch.h"

namespace spate {

class EmbeddedInput {
 public:
  EmbeddedInput(Backend& backend, int64_t width);
  static size_t device_bytes(int64_t width);

  // Whether a row of the batch runs one of its embedded rows.
  static bool is_in(const Batch& batch);
  // Puts them to their places in hidden [T, C], whose tokens are those of the batch in its order.
  void put(const Batch& batch, const Tensor& hidden);

 private:
  void flush(const Tensor& hidden);

  Backend& backend_;
  int64_t width_;
  std::vector<float> values_;   // of the rows that are collected, at most kRows
  std::vector<int32_t> index_;  // their tokens
  Buffer rows_, places_;        // on the device: [kRows, C] f32, [kRows] i32
};

}  // namespace spate
