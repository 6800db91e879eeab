// Rounding rows to e4m3. A block takes a row: its largest element, then its codes.
#include <cuda_fp8.h>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/f8.h"
#include "backend/cuda/linear/stream.cuh"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPack = 8;            // elements
constexpr float kLargest = 448.0F;  // of e4m3

__device__ uint32_t codes_of(float a, float b, float c, float d) {
  const uint32_t low = __nv_cvt_float2_to_fp8x2({a, b}, __NV_SATFINITE, __NV_E4M3);
  const uint32_t high = __nv_cvt_float2_to_fp8x2({c, d}, __NV_SATFINITE, __NV_E4M3);
  return low | high << 16;
}

// The largest of all threads' values.
__device__ float block_max(float value) {
  __shared__ float of_warp[kThreads / kWarp];
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  value = warp_max(value);
  if (lane == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  return warp_max(lane < kThreads / kWarp ? of_warp[lane] : 0);
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    quantize(Rows<const T> x, int64_t width, bool aligned, F8Rows to) {
  const T* row = x[blockIdx.x];
  float largest = 0;
  for (int64_t i = threadIdx.x * kPack; i < width; i += kThreads * kPack) {
    float values[kPack];
    load_pack(row + i, aligned, width - i, values);
#pragma unroll
    for (const float value : values) largest = fmaxf(largest, fabsf(value));
  }
  largest = block_max(largest);
  const float scale = largest > 0 ? largest / kLargest : 1;
  const float factor = 1 / scale;
  if (threadIdx.x == 0) to.scales[blockIdx.x] = scale;
  const int64_t stride = f8_stride(width);
  uint8_t* codes = to.codes + blockIdx.x * stride;
  for (int64_t i = threadIdx.x * kPack; i < stride; i += kThreads * kPack) {
    float values[kPack] = {};
    if (i < width) load_pack(row + i, aligned, width - i, values);
#pragma unroll
    for (float& value : values) value *= factor;
    *reinterpret_cast<uint2*>(codes + i) = {codes_of(values[0], values[1], values[2], values[3]),
                                            codes_of(values[4], values[5], values[6], values[7])};
  }
}

// A product as the stream kernel takes it.
struct F8Problem : StreamProblem {
  F8Rows rounded;       // x
  const float* scales;  // of the weight's rows
};

// Codes: 64 inputs a step, 16 consecutive ones a thread.
struct F8Weights : RowWeights {
  using Problem = F8Problem;
  using X = uint4;

  __device__ static X load_x(const F8Problem& p, int64_t row, int64_t step, int t) {
    if (row >= p.rows) return {};
    return *reinterpret_cast<const uint4*>(p.rounded.codes + row * p.weight_stride +
                                           kF8Piece * step + 16 * t);
  }
  template <int kColumns>
  __device__ static void multiply(const Raw& raw, int64_t /*step*/, int /*t*/,
                                  const X (&x)[kColumns], float (&sums)[kColumns][2][4]) {
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      const uint4 first = raw.rows[2 * m], second = raw.rows[2 * m + 1];
      const uint32_t low[4] = {first.x, second.x, first.y, second.y};
      const uint32_t high[4] = {first.z, second.z, first.w, second.w};
#pragma unroll
      for (int n = 0; n < kColumns; ++n) {
        mma_e4m3(sums[n][m], low, x[n].x, x[n].y);
        mma_e4m3(sums[n][m], high, x[n].z, x[n].w);
      }
    }
  }
  __device__ static float finish(const F8Problem& p, float sum, int64_t row, int64_t output) {
    return sum * p.rounded.scales[row] * p.scales[output];
  }
};

}  // namespace

F8Rows f8_rows(const Weight& weight) {
  auto* codes = static_cast<uint8_t*>(weight.storage.data());
  auto* scales = reinterpret_cast<float*>(codes + weight.out * f8_stride(weight.in));
  return {.codes = codes, .scales = scales, .rows = weight.out, .width = weight.in};
}

void quantize_rows(const Context& context, const Tensor& x, const F8Rows& to) {
  with_activation_type(x.dtype, [&]<class T>(TypeTag<T>) {
    launch(context, {.blocks = static_cast<unsigned>(x.rows()), .threads = kThreads}, quantize<T>,
           rows_of<const T>(x), to.width, packs_fit<kPack>(to.width, x), to);
  });
}

void multiply_f8(const Context& context, const op::Linear& op, const F8Rows& x) {
  const F8Rows weight = f8_rows(*op.weight);
  F8Problem problem{};
  problem.weight = weight.codes;
  problem.weight_stride = weight.stride();
  problem.out = weight.rows;
  problem.in = weight.width;
  problem.rows = x.rows;
  problem.bias = op.bias.as<float>();
  problem.to = op.out.data;
  problem.to_stride = op.out.row_stride;
  problem.to_f32 = op.out.dtype == DType::f32;
  problem.rounded = x;
  problem.scales = weight.scales;
  launch_stream<F8Weights>(context, problem);
}

}  // namespace spate::cuda
