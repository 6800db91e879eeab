// Linear attention for every type, width and stride, token by token. A block takes 32 columns of
// the state of one head of one row, a lane each, through all tokens of the row; a warp holds those
// of 32 keys in its registers. Tokens come in tiles whose q, k and v lie in shared memory; each
// warp leaves its part of q times the state there, and the parts are added in the order of keys. No
// token's numbers depend on its place in a tile, and a state is rounded after each token to what it
// is in memory.
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear_attention/problem.h"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

constexpr int kKeys = 32;   // of a warp
constexpr int kTokens = 8;  // of a tile
constexpr int kMostWarps = 8;

// Floats of shared memory for a block of so many warps: q, k, v and the warps' parts.
constexpr size_t shared_floats(int warps) {
  return size_t{kTokens} * (2 * warps * kKeys + kWarp + warps * kWarp);
}

template <class T>
__device__ Rows<const T> rows_at(const void* data, int64_t stride) {
  return {static_cast<const T*>(data), stride};
}

// `count` tokens from `token` on: their elements [first, first + size) to rows of `padded` floats,
// zeros behind them.
template <class T>
__device__ void load_tile(Rows<const T> from, int64_t token, int count, int first, int size,
                          int padded, float* to) {
  const int threads = blockDim.x * blockDim.y;
  for (int i = threadIdx.y * kWarp + threadIdx.x; i < count * padded; i += threads) {
    const int column = i % padded;
    to[i] = column < size ? to_float(from[token + i / padded][first + column]) : 0;
  }
}

template <class T, class State>
__global__ void __launch_bounds__(kWarp* kMostWarps)
    general(const __grid_constant__ LinearAttentionProblem problem) {
  extern __shared__ float4 shared[];
  const int row = blockIdx.y, warps = blockDim.y, warp = threadIdx.y, lane = threadIdx.x;
  const int tiles = (problem.width + kWarp - 1) / kWarp;
  const int head = blockIdx.x / tiles, first_column = blockIdx.x % tiles * kWarp;
  const int columns = min(problem.width - first_column, kWarp);
  const int keys = min(problem.width - warp * kKeys, kKeys);
  const int padded = warps * kKeys;
  float* q = reinterpret_cast<float*>(shared);
  float* k = q + kTokens * padded;
  float* v = k + kTokens * padded;
  float* parts = v + kTokens * kWarp;  // [kTokens, warps, lanes]

  // The thread's first element in the state of a slot.
  const auto state_of = [&](int32_t slot) {
    return static_cast<State*>(problem.state) + slot * problem.state_stride +
           (int64_t{head} * problem.width + warp * kKeys) * problem.width + first_column + lane;
  };
  float state[kKeys] = {};
  const auto keep = [&](int32_t slot) {
    if (slot < 0 || lane >= columns) return;
    State* to = state_of(slot);
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
      if (i < keys) to[int64_t{i} * problem.width] = from_float<State>(state[i]);
    }
  };
  if (problem.from[row] >= 0 && lane < columns) {
    const State* from = state_of(problem.from[row]);
#pragma unroll
    for (int i = 0; i < kKeys; ++i) {
      if (i < keys) state[i] = to_float(from[int64_t{i} * problem.width]);
    }
  }
  const auto decay = static_cast<float>(exp(-static_cast<double>(problem.slope[head])));

  const Rows<T> out{static_cast<T*>(problem.out), problem.out_stride};
  const int end = problem.row_begin[row + 1];
  for (int begin = problem.row_begin[row]; begin < end; begin += kTokens) {
    const int count = min(end - begin, kTokens);
    load_tile(rows_at<T>(problem.q, problem.q_stride), begin, count, head * problem.width,
              problem.width, padded, q);
    load_tile(rows_at<T>(problem.k, problem.k_stride), begin, count, head * problem.width,
              problem.width, padded, k);
    load_tile(rows_at<T>(problem.v, problem.v_stride), begin, count,
              head * problem.width + first_column, columns, kWarp, v);
    __syncthreads();
    for (int t = 0; t < count; ++t) {
      const auto* query = reinterpret_cast<const float4*>(q + t * padded + warp * kKeys);
      const auto* key = reinterpret_cast<const float4*>(k + t * padded + warp * kKeys);
      const float value = v[t * kWarp + lane];
      float sum = 0;
      const auto step = [&](float& element, float key_element, float query_element) {
        const float next = fmaf(key_element, value, decay * element);
        sum = fmaf(query_element, next, sum);
        element = to_float(from_float<State>(next));
      };
#pragma unroll
      for (int i = 0; i < kKeys / 4; ++i) {
        const float4 a = key[i], b = query[i];
        step(state[4 * i], a.x, b.x);
        step(state[4 * i + 1], a.y, b.y);
        step(state[4 * i + 2], a.z, b.z);
        step(state[4 * i + 3], a.w, b.w);
      }
      parts[(t * warps + warp) * kWarp + lane] = sum;
      if (problem.each != nullptr) keep(problem.each[begin + t]);
    }
    __syncthreads();
    // Meanwhile warps that are done load the next tile's tokens, whose parts come after a barrier.
    for (int t = warp; t < count && lane < columns; t += warps) {
      float sum = 0;
      for (int w = 0; w < warps; ++w) sum += parts[(t * warps + w) * kWarp + lane];
      out[begin + t][head * problem.width + first_column + lane] =
          from_float<T>(sum * problem.scale);
    }
  }
  keep(problem.to[row]);
}

}  // namespace

void attend_linear_general(const Context& context, const LinearAttentionProblem& problem) {
  const int warps = static_cast<int>(divide_up(problem.width, kKeys));
  check(warps <= kMostWarps, "linear attention with heads of ", problem.width,
        " elements, expected up to ", kMostWarps * kKeys);
  const auto tiles = static_cast<unsigned>(divide_up(problem.width, kWarp));
  const Grid grid{.blocks = dim3(static_cast<unsigned>(problem.heads) * tiles,
                                 static_cast<unsigned>(problem.rows)),
                  .threads = dim3(kWarp, static_cast<unsigned>(warps)),
                  .shared_bytes = shared_floats(warps) * sizeof(float)};
  with_activation_type(problem.activation, [&]<class T>(TypeTag<T>) {
    with_state_type(problem.state_type, [&]<class State>(TypeTag<State>) {
      launch(context, grid, general<T, State>, problem);
    });
  });
}

}  // namespace spate::cuda
