// Linear attention token by token, bound by reading and writing states. A block has the state of
// one head of one row in its registers, through all tokens of the row: a thread four columns of
// some neighbouring keys. The sums of the keys of a token are added in one order, so a token's bits
// do not depend on how its row is cut.
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear_attention/problem.h"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

constexpr int kTokens = 2;  // whose sums are added at once

// What a thread needs of a token.
template <int kKeys>
struct Token {
  float q[kKeys], k[kKeys], v[4];
};

template <int D>
constexpr int kStepThreads = 4 * D;

template <class T, int D>
__global__ void __launch_bounds__(kStepThreads<D>, 1024 / kStepThreads<D>)
    steps(const __grid_constant__ LinearAttentionProblem problem, SteppedRows rows) {
  constexpr int kThreads = kStepThreads<D>, kWarps = kThreads / kWarp;
  constexpr int kVectors = D / 4;                   // of a row of the state
  constexpr int kKeys = D / (kThreads / kVectors);  // of a thread
  __shared__ float4 parts[2][kTokens][kWarps][kVectors];
  const int row = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  const int begin = problem.row_begin[row], end = problem.row_begin[row + 1];
  if (rows == SteppedRows::of_few_tokens && end - begin >= kLeastChunkTokens) return;
  const int head = static_cast<int>(blockIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int key = thread / kVectors * kKeys, column = thread % kVectors * 4;

  const auto state_of = [&](int32_t slot) {
    return reinterpret_cast<float4*>(problem.state + slot * problem.state_stride +
                                     (int64_t{head} * D + key) * D + column);
  };
  float4 state[kKeys] = {};
  if (problem.from[row] >= 0) {
    const float4* from = state_of(problem.from[row]);
#pragma unroll
    for (int i = 0; i < kKeys; ++i) state[i] = __ldcs(from + i * (D / 4));
  }
  const auto keep = [&](int32_t slot) {
    if (slot < 0) return;
    float4* to = state_of(slot);
#pragma unroll
    for (int i = 0; i < kKeys; ++i) __stcs(to + i * (D / 4), state[i]);
  };
  const auto decay = static_cast<float>(exp(-static_cast<double>(problem.slope[head])));

  const auto load = [&](int token, Token<kKeys>& to) {
    const auto at = [&](const void* data, int64_t stride, int element) {
      return static_cast<const T*>(data) + token * stride + head * D + element;
    };
    load_pack(at(problem.q, problem.q_stride, key), true, kKeys, to.q);
    load_pack(at(problem.k, problem.k_stride, key), true, kKeys, to.k);
    load_pack(at(problem.v, problem.v_stride, column), true, 4, to.v);
  };
  Token<kKeys> next;
  if (begin < end) load(begin, next);
  int buffer = 0;
  for (int first = begin; first < end; first += kTokens, buffer ^= 1) {
    const int count = min(end - first, kTokens);
    for (int t = 0; t < count; ++t) {
      const Token<kKeys> token = next;
      if (first + t + 1 < end) load(first + t + 1, next);
      float4 sum{};
      const auto step = [&](float& element, float& of_sum, float q, float k, float v) {
        element = fmaf(k, v, decay * element);
        of_sum = fmaf(q, element, of_sum);
      };
#pragma unroll
      for (int i = 0; i < kKeys; ++i) {
        step(state[i].x, sum.x, token.q[i], token.k[i], token.v[0]);
        step(state[i].y, sum.y, token.q[i], token.k[i], token.v[1]);
        step(state[i].z, sum.z, token.q[i], token.k[i], token.v[2]);
        step(state[i].w, sum.w, token.q[i], token.k[i], token.v[3]);
      }
#pragma unroll
      for (int distance = kVectors; distance < kWarp; distance *= 2) {
        sum.x += __shfl_xor_sync(~0U, sum.x, distance);
        sum.y += __shfl_xor_sync(~0U, sum.y, distance);
        sum.z += __shfl_xor_sync(~0U, sum.z, distance);
        sum.w += __shfl_xor_sync(~0U, sum.w, distance);
      }
      if (lane < kVectors) parts[buffer][t][warp][lane] = sum;
      if (problem.each != nullptr) keep(problem.each[first + t]);
    }
    __syncthreads();
    // The next tokens' parts come to the other buffer, and those after them behind a barrier.
    for (int i = thread; i < count * D; i += kThreads) {
      const int t = i / D, element = i % D;
      float sum = 0;
#pragma unroll
      for (int other = 0; other < kWarps; ++other) {
        sum += reinterpret_cast<const float*>(parts[buffer][t][other])[element];
      }
      static_cast<T*>(problem.out)[(first + t) * problem.out_stride + head * D + element] =
          from_float<T>(sum * problem.scale);
    }
  }
  keep(problem.to[row]);
}

template <int D>
void launch_steps(const Context& context, const LinearAttentionProblem& problem, SteppedRows rows) {
  const Grid grid{
      .blocks = dim3(static_cast<unsigned>(problem.heads), static_cast<unsigned>(problem.rows)),
      .threads = kStepThreads<D>};
  with_activation_type(problem.activation, [&]<class T>(TypeTag<T>) {
    launch(context, grid, steps<T, D>, problem, rows);
  });
}

}  // namespace

void attend_linear_steps(const Context& context, const LinearAttentionProblem& problem,
                         SteppedRows rows) {
  (problem.width == 64 ? launch_steps<64> : launch_steps<128>)(context, problem, rows);
}

}  // namespace spate::cuda
