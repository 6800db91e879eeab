// Attention, token by token: all scores, their softmax, the weighted values.
#include <algorithm>
#include <cmath>
#include <vector>

#include "backend/cpu/ops.h"
#include "tensor/half.h"

namespace spate::cpu {
namespace {

float load(const Tensor& cache, int64_t slot, int64_t index) {
  switch (cache.dtype) {
    case DType::f16: return f16_to_f32(cache.row<uint16_t>(slot)[index]);
    case DType::bf16: return bf16_to_f32(cache.row<uint16_t>(slot)[index]);
    default: return cache.row<float>(slot)[index];
  }
}

}  // namespace

void run(Context& /*context*/, const op::Attention& op) {
  const KvView& kv = op.kv;
  const int64_t heads = op.q.shape[1], width = op.q.shape[2], groups = kv.keys.shape[1];
  for (int64_t b = 0; b < kv.length.rows(); ++b) {
    const int32_t* row_begin = kv.row_begin.as<int32_t>() + b;
    const int32_t* segment_begin = kv.segment_begin.as<int32_t>() + b;
    const int64_t length = kv.length.as<int32_t>()[b];
    std::vector<int64_t> slots;
    for (int32_t n = segment_begin[0]; n < segment_begin[1]; ++n) {
      const int32_t* segment = kv.segments.as<int32_t>() + 2 * n;
      for (int32_t i = 0; i < segment[1]; ++i) slots.push_back(segment[0] + i);
    }
    for (int64_t t = row_begin[0]; t < row_begin[1]; ++t) {
      const int64_t position = length - (row_begin[1] - t);
      const int64_t first = op.window > 0 ? std::max<int64_t>(0, position - op.window + 1) : 0;
      for (int64_t h = 0; h < heads; ++h) {
        const float* q = op.q.row<float>(t) + h * width;
        float* out = op.out.row<float>(t) + h * width;
        const int64_t group = h * groups / heads * width;
        std::vector<float> scores;
        float largest = op.sinks.data != nullptr ? op.sinks.as<float>()[h] : -INFINITY;
        for (int64_t p = first; p <= position; ++p) {
          float score = 0;
          for (int64_t d = 0; d < width; ++d) score += q[d] * load(kv.keys, slots[p], group + d);
          score *= op.scale;
          if (op.soft_cap > 0) score = op.soft_cap * std::tanh(score / op.soft_cap);
          scores.push_back(score);
          largest = std::max(largest, score);
        }
        float sum = op.sinks.data != nullptr ? std::exp(op.sinks.as<float>()[h] - largest) : 0;
        std::fill(out, out + width, 0.0F);
        for (int64_t p = first; p <= position; ++p) {
          const float weight = std::exp(scores[p - first] - largest);
          sum += weight;
          for (int64_t d = 0; d < width; ++d)
            out[d] += weight * load(kv.values, slots[p], group + d);
        }
        for (int64_t d = 0; d < width; ++d) out[d] /= sum;
      }
    }
  }
}

}  // namespace spate::cpu
