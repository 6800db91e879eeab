// LinearHeads. A block computes some outputs of one head for a few tokens, which lie in shared
// memory; a warp takes one output after the other and its lanes run over the inputs. The sum of an
// output runs in one order whatever tokens there are.
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kTokens = 8;    // of a block
constexpr int kOutputs = 64;  // of a block
constexpr int kPack = 4;      // inputs of a lane at a time

template <class T>
struct HeadsProblem {
  Rows<const T> x;  // [T, H, in + carried]
  Rows<T> out;      // [T, H, outputs + carried]
  const T* weight;  // [H * outputs] rows
  int64_t weight_stride;
  int tokens, in, outputs, carried;
};

// Grid: T / kTokens, H, outputs / kOutputs.
template <class T>
__global__ void __launch_bounds__(kWarps* kWarp) multiply_heads(const HeadsProblem<T> problem) {
  extern __shared__ float inputs[];  // [kTokens, in], zeros where there is no token
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int head = static_cast<int>(blockIdx.y), in = problem.in;
  const int first = static_cast<int>(blockIdx.x) * kTokens;
  const int tokens = min(kTokens, problem.tokens - first);
  const int64_t x_begin = int64_t{head} * (in + problem.carried);
  const int64_t out_begin = int64_t{head} * (problem.outputs + problem.carried);
  for (int i = thread; i < kTokens * in; i += kWarps * kWarp) {
    const int t = i / in;
    inputs[i] = t < tokens ? to_float(problem.x[first + t][x_begin + i % in]) : 0;
  }
  if (blockIdx.z == 0) {
    for (int i = thread; i < tokens * problem.carried; i += kWarps * kWarp) {
      const int t = first + i / problem.carried, column = i % problem.carried;
      problem.out[t][out_begin + problem.outputs + column] = problem.x[t][x_begin + in + column];
    }
  }
  __syncthreads();

  const int begin = static_cast<int>(blockIdx.z) * kOutputs;
  const int end = min(begin + kOutputs, problem.outputs);
  for (int output = begin + warp; output < end; output += kWarps) {
    const T* row =
        problem.weight + (int64_t{head} * problem.outputs + output) * problem.weight_stride;
    float sums[kTokens] = {};
    for (int i = lane * kPack; i < in; i += kWarp * kPack) {
      float weights[kPack];
      load_pack(row + i, true, kPack, weights);  // rows are padded with zeros
      const int count = min(kPack, in - i);
      for (int j = 0; j < count; ++j) {
#pragma unroll
        for (int t = 0; t < kTokens; ++t) {
          sums[t] = fmaf(inputs[t * in + i + j], weights[j], sums[t]);
        }
      }
    }
#pragma unroll
    for (int t = 0; t < kTokens; ++t) {
      const float sum = warp_sum(sums[t]);
      if (lane == 0 && t < tokens) {
        problem.out[first + t][out_begin + output] = from_float<T>(sum);
      }
    }
  }
}

}  // namespace

void run(Context& context, const op::LinearHeads& op) {
  const Weight& weight = *op.weight;
  check(!is_packed(*weight.format) && !is_f8(weight),
        "products by head want weights of plain floats, found ", weight.format->name);
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    const HeadsProblem<T> problem{.x = rows_of<const T>(op.x),
                                  .out = rows_of<T>(op.out),
                                  .weight = static_cast<const T*>(weight.storage.data()),
                                  .weight_stride = padded_row(weight.in),
                                  .tokens = static_cast<int>(op.x.rows()),
                                  .in = static_cast<int>(weight.in),
                                  .outputs = static_cast<int>(op.outputs()),
                                  .carried = static_cast<int>(op.carried())};
    const Grid grid{.blocks = dim3(static_cast<unsigned>(divide_up(problem.tokens, kTokens)),
                                   static_cast<unsigned>(op.x.shape[1]),
                                   static_cast<unsigned>(divide_up(problem.outputs, kOutputs))),
                    .threads = kWarps * kWarp,
                    .shared_bytes = sizeof(float) * static_cast<size_t>(kTokens * problem.in)};
    allow_shared_bytes(multiply_heads<T>, grid.shared_bytes);
    launch(context, grid, multiply_heads<T>, problem);
  });
}

}  // namespace spate::cuda
