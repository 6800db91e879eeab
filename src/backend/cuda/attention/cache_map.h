// The cache as the copy engine sees it.
#pragma once

#include <algorithm>

#include "backend/cuda/attention/problem.h"

namespace spate::cuda {

// Keys or values [slots, G, D], in boxes of 128 bytes of a head and `rows` slots. Boxes that reach
// beyond a head have zeros there.
inline CUtensorMap map_cache(const Context& context, const AttentionProblem& problem,
                             const void* data, int64_t stride, int rows) {
  const auto width = static_cast<uint64_t>(problem.width);
  const size_t element = size_of(problem.cache);
  return context.tensor_map(
      {.data = data,
       .sizes = {width, static_cast<uint64_t>(problem.kv_heads),
                 static_cast<uint64_t>(problem.slots)},
       .strides = {width, static_cast<uint64_t>(stride)},
       .box = {static_cast<uint32_t>(128 / element), 1, static_cast<uint32_t>(rows)},
       .element_bytes = element});
}

// maps[n] has boxes of 2^n slots, but of `most` at most.
template <size_t kSizes>
void map_boxes(const Context& context, const AttentionProblem& problem, const void* data,
               int64_t stride, int most, CUtensorMap (&maps)[kSizes]) {
  for (size_t n = 0; n < kSizes; ++n) {
    maps[n] = map_cache(context, problem, data, stride, std::min(1 << n, most));
  }
}

}  // namespace spate::cuda
