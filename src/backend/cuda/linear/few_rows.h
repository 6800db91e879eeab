// Products of few rows with plain weights or codes of e4m3, in two files that compile side by side.
#pragma once

#include "backend/cuda/context.h"

namespace spate::cuda {

constexpr int64_t kMostFewRows = 64;
// Of plain weights, and of codes.
constexpr int64_t kMostMediumRows = 64, kMostMediumCodes = 128;

struct FewRowsProblem {
  const void* weight;
  const void* x;
  int64_t weight_stride, x_stride;  // bytes, multiples of 16 as both addresses are
  int64_t row_bytes;                // of a row of x; one of the weight has zeros behind them
  int64_t out, rows;
  const float *weight_scales, *x_scales;  // of codes: an output, and a row
  const float* bias;                      // or null
  void* to;
  int64_t to_stride;  // elements
  bool to_f32;        // else bf16
};

// Whether addresses and sizes are as the copy engine wants them.
bool few_rows_fit(const FewRowsProblem& problem);

// Whether each block has a tile of outputs, alone or with one other.
bool few_rows_have_whole_tiles(const Context& context, int64_t outputs);

// How many blocks of several warpgroups share the inputs of a tile of outputs; 0: outputs cannot be
// cut for them.
int medium_rows_peers(const Context& context, int64_t outputs);

void multiply_few_rows_bf16(const Context& context, const FewRowsProblem& problem);
void multiply_few_rows_f8(const Context& context, const FewRowsProblem& problem);
// With tiles of several warpgroups. Products of codes are added as tensor cores do.
void multiply_medium_rows_bf16(const Context& context, const FewRowsProblem& problem);
void multiply_medium_rows_f8(const Context& context, const FewRowsProblem& problem);

}  // namespace spate::cuda
