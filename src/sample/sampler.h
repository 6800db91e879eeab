// Logits to tokens for all rows of a step: builds the small tables of the sampling ops from each
// row's params and history, and runs the rules of sample/list.cc in their order.
//
// Owner: the engine's runner. Buffers are made once for max_rows.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "backend/backend.h"
#include "sample/params.h"
#include "sample/results.h"

namespace spate {

// One row as the sampler sees it. Views: the sequence owns what they point to.
struct SampleRow {
  const Params* params = nullptr;
  std::span<const Token> tokens;      // prompt and generated so far
  int64_t prompt_length = 0;          // the first so many are the prompt
  std::span<const Token> end_tokens;  // the model's; banned while fewer than min_tokens are out
  uint64_t key = 0;                   // of (seed, request, sample): sample_key()
};

// The random key of one sample of one request; with the position it fixes every draw.
uint64_t sample_key(uint64_t seed, uint64_t request_key, int64_t sample);

class Sampler {
 public:
  Sampler(Backend& backend, int64_t max_rows, int64_t vocabulary);
  ~Sampler();

  // logits [B, V] f32 on the device, changed in place. Adds one result a row, without waiting.
  void launch(Tensor logits, std::span<const SampleRow> rows, SampleResults& results);

  // Waits for logprobs of given tokens (prompt logprobs): logits [B, V], chosen [B], `top`
  // alternatives each.
  std::vector<TokenLogprob> score(Tensor logits, std::span<const Token> chosen, int64_t top);

  static size_t device_bytes(int64_t max_rows, int64_t vocabulary);  // for the memory plan

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace spate
