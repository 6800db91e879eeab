// The loops over whole rows of logits that the sampling ops are made of. Rows are seen as blocks of
// kBlock tokens, the last one perhaps shorter: what is known of a block (its largest logit) lets
// later passes skip most of them.
#pragma once

#include <cstdint>

namespace spate::cpu {

struct SamplingKernels {
  static constexpr int64_t kBlock = 64;  // tokens

  // The largest of each block; NaNs count as -infinity.
  void (*maxima)(const float* logits, int64_t size, float* maxima);
  // logits /= divisor, NaNs become -infinity; and the largest of each block.
  void (*divide)(float* logits, int64_t size, float divisor, float* maxima);
  // The sum of exp(logit - largest) over each block; NaNs count as -infinity.
  void (*sums)(const float* logits, int64_t size, float largest, float* sums);
  // values = exp(values - largest), in place.
  void (*exponentials)(float* values, int64_t size, float largest);
  // Logits below `least` become -infinity.
  void (*mask_below)(float* logits, int64_t size, float least);
  // How many are larger than `value`.
  int64_t (*count_above)(const float* logits, int64_t size, float value);
  // scores[i] = logits[i] + Gumbel noise, for `count` <= kBlock tokens from `first` on, a multiple
  // of kBlock; returns the largest score. The noise of token t is -log(-log(u)) with u made from
  // word t % 4 of philox(key, position, t / 4): the same bits with every instruction set, and at
  // most kMostNoise.
  float (*add_noise)(const float* logits, int64_t count, uint64_t key, uint64_t position,
                     int64_t first, float* scores);
  static constexpr float kMostNoise = 23;  // u is at most 1 - 2^-33
};

}  // namespace spate::cpu
