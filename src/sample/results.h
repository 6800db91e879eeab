// What the draws of a step give, on their way back from the device.
//
// Owner: the engine's runner. Filled by Sampler::launch, in memory that the device writes later;
// read with take() once a mark that was set after the last launch is passed.
#pragma once

#include <optional>
#include <vector>

#include "backend/backend.h"
#include "sample/params.h"

namespace spate {

struct SampleRow;

struct Sampled {
  Token token = 0;
  std::optional<TokenLogprob> logprob;  // when params ask for it
};

class SampleResults {
 public:
  SampleResults(Backend& backend, int64_t max_rows);
  static size_t device_bytes(int64_t max_rows);

  void clear();  // before the first launch of a step
  // What was drawn for the rows of a step, on the device: [max_rows] i32, -1 for nothing.
  Tensor drawn() const { return drawn_.view({max_rows_}, DType::i32); }
  // The result of the next row, in the order of launches.
  Sampled take(const SampleRow& row);

  // For rules: room in drawn() for so many more rows, and the copies to the host.
  Tensor add_drawn(int64_t rows);
  void bring_drawn(const Tensor& drawn);
  void bring_scores(const op::Logprobs& scores);

 private:
  // Of the rows of a launch that want logprobs: with how many alternatives each was scored, and
  // where they begin.
  struct Scores {
    int64_t rows, top, begin;
  };

  TokenLogprob take_score(int64_t asked);

  Backend& backend_;
  int64_t max_rows_;
  Buffer drawn_;                      // [max_rows] i32, on the device
  Buffer tokens_, logprob_, rank_;    // [max_rows], on the host
  Buffer top_tokens_, top_logprobs_;  // [max_rows * kMostLogprobs], on the host, without gaps
  int64_t drawn_rows_ = 0, scored_rows_ = 0, tops_ = 0;
  std::vector<Scores> scores_;
  // Where take() is: a row; a scored row, its launch and its place in it.
  size_t next_ = 0, next_score_ = 0, launch_ = 0;
  int64_t place_ = 0;
};

}  // namespace spate
