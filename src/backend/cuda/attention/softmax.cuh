// Softmax in pieces. A piece of a row's keys gives the largest score (or another reference near
// it), the sum of the weights relative to it, and the weighted sum of the values; pieces are merged
// by bringing them to one reference.
#pragma once

#include <cuda_runtime.h>

#include <cmath>

namespace spate::cuda {

__device__ inline float warp_max(float x) {
  for (int distance = 16; distance > 0; distance /= 2) {
    x = fmaxf(x, __shfl_xor_sync(~0U, x, distance));
  }
  return x;
}

__device__ inline float warp_sum(float x) {
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_xor_sync(~0U, x, distance);
  return x;
}

// N columns of a softmax whose pieces are added one by one; scores are natural logarithms.
template <int N>
struct Merged {
  float largest = -INFINITY;
  float sum = 0;
  float values[N] = {};

  __device__ void add(float piece_largest, float piece_sum, const float* piece_values) {
    if (piece_sum == 0) return;  // it saw no keys, or weighs nothing
    const float weight = move_to(piece_largest);
    sum = fmaf(weight, piece_sum, sum);
    for (int i = 0; i < N; ++i) values[i] = fmaf(weight, piece_values[i], values[i]);
  }
  // One more score, without a value.
  __device__ void add_sink(float score) {
    const float weight = move_to(score);
    sum += weight;
  }

 private:
  // Brings what is there to the larger of both references; answers the weight of the new piece.
  __device__ float move_to(float reference) {
    const float common = fmaxf(largest, reference);
    const float factor = expf(largest - common);
    sum *= factor;
    for (float& value : values) value *= factor;
    largest = common;
    return expf(reference - common);
  }
};

}  // namespace spate::cuda
