// Random weights, made where they lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "backend/cuda/context.h"

namespace spate::cuda {

// Rows of plain floats, from row `first` of the whole on: `rows` of `in` elements, `stride`
// elements from one to the next.
struct RandomRows {
  void* to;
  int64_t first = 0;
  int64_t rows, in, stride;
};

// Element i, counted row by row, is the one of quant/random_values.h. `table` holds kRandomPlaces
// elements of `type`, f32 or bf16. What lies between the rows is left alone.
void make_random_rows(const Context& context, std::span<const std::byte> table, uint64_t key,
                      DType type, const RandomRows& to);

}  // namespace spate::cuda
