// Linear attention token by token, bound by reading and writing states. A block has the state of
// one head of one row in its registers, through all tokens of the row: a thread 16 bytes of some
// neighbouring keys, in the type that states have in memory, so that they are rounded after each
// token. The sums of the keys of a token are added in one order, so a token's bits do not depend on
// how its row is cut.
#include "backend/cuda/copy_engine.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear_attention/problem.h"
#include "backend/cuda/mma.cuh"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

constexpr int kTokens = 2;  // whose sums are added at once

// What a thread needs of a token.
template <class T, int kKeys, int kColumns>
struct Token {
  alignas(16) T q[kKeys], k[kKeys], v[kColumns];
};

// 16 bytes of a state, and what they stand for: four elements of f32 or eight of bf16.
__device__ void unpack_state(const uint4& bits, float (&to)[4]) { memcpy(to, &bits, sizeof(bits)); }
__device__ void unpack_state(const uint4& bits, float (&to)[8]) {
  const uint32_t pairs[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float2 pair = unpack(pairs[i]);
    to[2 * i] = pair.x;
    to[2 * i + 1] = pair.y;
  }
}
__device__ uint4 pack_state(const float (&from)[4]) {
  uint4 bits;
  memcpy(&bits, from, sizeof(bits));
  return bits;
}
__device__ uint4 pack_state(const float (&from)[8]) {
  return {pack<bf16>(from[0], from[1]), pack<bf16>(from[2], from[3]), pack<bf16>(from[4], from[5]),
          pack<bf16>(from[6], from[7])};
}

template <int D>
constexpr int kStepThreads = 4 * D;

template <int D>
constexpr int kStepBlocks = 1024 / kStepThreads<D>;  // of a multiprocessor

// `at_once`: blocks that run at the same time.
template <class T, class State, int D>
__global__ void __launch_bounds__(kStepThreads<D>, kStepBlocks<D>)
    steps(const __grid_constant__ LinearAttentionProblem problem, SteppedRows rows, int at_once) {
  constexpr int kThreads = kStepThreads<D>, kWarps = kThreads / kWarp;
  constexpr int kColumns = 16 / sizeof(State);      // of a thread
  constexpr int kVectors = D / kColumns;            // of a row of the state
  constexpr int kKeys = D / (kThreads / kVectors);  // of a thread
  __shared__ __align__(16) float parts[2][kTokens][kWarps][D];
  const int row = static_cast<int>(blockIdx.y), thread = static_cast<int>(threadIdx.x);
  const auto takes = [&](int number) {
    return rows == SteppedRows::all ||
           problem.row_begin[number + 1] - problem.row_begin[number] < kLeastChunkTokens;
  };
  let_next_kernel_begin();
  if (!takes(row)) return wait_for_kernel_before();
  const int begin = problem.row_begin[row], end = problem.row_begin[row + 1];
  const int head = static_cast<int>(blockIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int key = thread / kVectors * kKeys, column = thread % kVectors * kColumns;

  const auto state_of = [&](int32_t slot, int of_head) {
    return static_cast<State*>(problem.state) + slot * problem.state_stride +
           int64_t{of_head} * (D * D);
  };
  // The state of a block that begins later comes to the L2 cache while this one computes.
  const int later = row * problem.heads + head + at_once / 2, later_row = later / problem.heads;
  if (thread == 0 && later >= at_once && later_row < problem.rows && takes(later_row)) {
    const int32_t slot = problem.from[later_row];
    if (slot >= 0) prefetch_to_l2(state_of(slot, later % problem.heads), D * D * sizeof(State));
  }
  const int32_t from_slot = problem.from[row];
  wait_for_kernel_before();
  const auto vectors_of = [&](int32_t slot) {
    return reinterpret_cast<uint4*>(state_of(slot, head) + key * D + column);
  };
  uint4 state[kKeys] = {};
  if (from_slot >= 0) {
    const uint4* from = vectors_of(from_slot);
#pragma unroll
    for (int i = 0; i < kKeys; ++i) state[i] = __ldcs(from + i * kVectors);
  }
  const auto keep = [&](int32_t slot) {
    if (slot < 0) return;
    uint4* to = vectors_of(slot);
#pragma unroll
    for (int i = 0; i < kKeys; ++i) __stcs(to + i * kVectors, state[i]);
  };
  const auto load = [&](int token, Token<T, kKeys, kColumns>& to) {
    const auto at = [&](const void* data, int64_t stride, int element) {
      return static_cast<const T*>(data) + token * stride + head * D + element;
    };
    copy_pack<kKeys>(at(problem.q, problem.q_stride, key), to.q, true, kKeys);
    copy_pack<kKeys>(at(problem.k, problem.k_stride, key), to.k, true, kKeys);
    copy_pack<kColumns>(at(problem.v, problem.v_stride, column), to.v, true, kColumns);
  };
  Token<T, kKeys, kColumns> next;
  if (begin < end) load(begin, next);
  const auto decay = static_cast<float>(exp(-static_cast<double>(problem.slope[head])));
  int buffer = 0;
  for (int first = begin; first < end; first += kTokens, buffer ^= 1) {
    const int count = min(end - first, kTokens);
    for (int t = 0; t < count; ++t) {
      const Token<T, kKeys, kColumns> token = next;
      if (first + t + 1 < end) load(first + t + 1, next);
      float sums[kColumns] = {};
#pragma unroll
      for (int i = 0; i < kKeys; ++i) {
        float elements[kColumns];
        unpack_state(state[i], elements);
#pragma unroll
        for (int j = 0; j < kColumns; ++j) {
          elements[j] = fmaf(to_float(token.k[i]), to_float(token.v[j]), decay * elements[j]);
          sums[j] = fmaf(to_float(token.q[i]), elements[j], sums[j]);
        }
        state[i] = pack_state(elements);
      }
#pragma unroll
      for (int distance = kVectors; distance < kWarp; distance *= 2) {
#pragma unroll
        for (float& sum : sums) sum += __shfl_xor_sync(~0U, sum, distance);
      }
      if (lane < kVectors) store_pack(parts[buffer][t][warp] + column, true, kColumns, sums);
      if (problem.each != nullptr) keep(problem.each[first + t]);
    }
    __syncthreads();
    // The next tokens' parts come to the other buffer, and those after them behind a barrier.
    for (int i = thread; i < count * D; i += kThreads) {
      const int t = i / D, element = i % D;
      float sum = 0;
#pragma unroll
      for (int other = 0; other < kWarps; ++other) {
        sum += parts[buffer][t][other][element];
      }
      static_cast<T*>(problem.out)[(first + t) * problem.out_stride + head * D + element] =
          from_float<T>(sum * problem.scale);
    }
  }
  keep(problem.to[row]);
}

template <int D>
void launch_steps(const Context& context, const LinearAttentionProblem& problem, SteppedRows rows) {
  const dim3 blocks(static_cast<unsigned>(problem.heads), static_cast<unsigned>(problem.rows));
  const int at_once = context.multiprocessors() * kStepBlocks<D>;
  with_activation_type(problem.activation, [&]<class T>(TypeTag<T>) {
    with_state_type(problem.state_type, [&]<class State>(TypeTag<State>) {
      launch_early(context, {.blocks = blocks, .threads = kStepThreads<D>}, steps<T, State, D>,
                   problem, rows, at_once);
    });
  });
}

}  // namespace

void attend_linear_steps(const Context& context, const LinearAttentionProblem& problem,
                         SteppedRows rows) {
  (problem.width == 64 ? launch_steps<64> : launch_steps<128>)(context, problem, rows);
}

}  // namespace spate::cuda
