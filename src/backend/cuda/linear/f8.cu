// Rounding rows to e4m3. A block takes a row: its largest element, then its codes.
#include <cuda_fp8.h>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/f8.h"
#include "backend/cuda/linear/f8_round.cuh"
#include "backend/cuda/linear/stream.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

// A thread keeps its first packs of the row and reads the others again. Where codes take the place
// of x, what is written lies before what is still to be read, as long as threads keep together.
template <class T>
__global__ void __launch_bounds__(kMostRoundingThreads)
    quantize(Rows<const T> x, int64_t width, bool aligned, F8Rows to) {
  let_next_kernel_begin();
  wait_for_kernel_before();
  using Pack = KeptPack<T, kRoundedPack>;
  const T* row = x[blockIdx.x];
  const auto load = [&](int64_t begin, Pack& pack) {
    if (begin < width) pack.load(row + begin, aligned, width - begin);
  };
  const int64_t step = int64_t{blockDim.x} * kRoundedPack;
  const int64_t own = threadIdx.x * kRoundedPack;
  Pack kept[kRoundedKept] = {};
#pragma unroll
  for (int k = 0; k < kRoundedKept; ++k) load(own + k * step, kept[k]);
  float largest = 0;
  for (int64_t i = own + kRoundedKept * step; i < width; i += step) {
    Pack pack = {};
    load(i, pack);
    largest = fmaxf(largest, pack.largest());
  }
  const RowRounder rounder = round_kept(to, blockIdx.x, kept, largest);
  for (int64_t i = kRoundedKept * step; i < f8_stride(width); i += step) {
    Pack pack = {};
    load(i + own, pack);
    __syncthreads();
    RoundedPack values;
    pack.take(values);
    rounder.store(i + own, values);
  }
}

// A product as the stream kernel takes it.
struct F8Problem : StreamProblem {
  F8Rows rounded;       // x
  const float* scales;  // of the weight's rows
};

// Codes: 64 inputs a step, 16 consecutive ones a thread.
struct F8Weights {
  using Problem = F8Problem;
  using X = uint4;
  struct Raw {
    uint4 rows[4];
  };

  __device__ static int64_t steps(const F8Problem& p) { return p.weight_stride / 64; }
  __device__ static Raw load(const F8Problem& p, int64_t step, int g, int t) {
    Raw raw;
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      const int64_t output = min(int64_t{blockIdx.x} * kStreamOutputs + 4 * g + j, p.out - 1);
      raw.rows[j] = __ldcs(
          reinterpret_cast<const uint4*>(p.weight + output * p.weight_stride + 64 * step + 16 * t));
    }
    return raw;
  }

  __device__ static X load_x(const F8Problem& p, int64_t row, int64_t step, int t) {
    if (row >= p.rows) return {};
    return *reinterpret_cast<const uint4*>(p.rounded.codes + row * p.rounded.row_bytes + 64 * step +
                                           16 * t);
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

F8Rows f8_rows(const op::RoundedRows& rows, int64_t width) {
  return {.codes = rows.codes.as<uint8_t>(),
          .scales = rows.scales.as<float>(),
          .rows = rows.codes.rows(),
          .width = width,
          .row_bytes = rows.codes.row_stride};
}

void quantize_rows(const Context& context, const Tensor& x, const F8Rows& to) {
  with_activation_type(x.dtype, [&]<class T>(TypeTag<T>) {
    launch_early(
        context, {.blocks = static_cast<unsigned>(x.rows()), .threads = rounding_threads(to.width)},
        quantize<T>, rows_of<const T>(x), to.width, packs_fit<kRoundedPack>(to.width, x), to);
  });
}

void run(Context& context, const op::RoundRows& op) {
  quantize_rows(context, op.x, f8_rows(op.to, op.x.row_size()));
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
