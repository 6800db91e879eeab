// Products of any shape and format, bit by bit the same for a row whatever is beside it: each
// output is one chain of sums over the inputs in order. Blocks of 64 rows times 64 outputs; the
// inputs go through shared memory in steps, and packed weights are decoded on their way there.
//
// Hidden states of bf16 are multiplied by tensor cores, of f32 by plain f32 operations.
#pragma once

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/decode.cuh"
#include "backend/cuda/linear/problem.cuh"
#include "backend/cuda/mma.cuh"

namespace spate::cuda {

constexpr int kSide = 64;  // rows and outputs of a block

// Blocks that run together share weights: the rows of x fit in a cache more often.
__device__ inline int64_t first_row() { return int64_t{blockIdx.x} * kSide; }
__device__ inline int64_t first_output() { return int64_t{blockIdx.y} * kSide; }

template <class T>
__device__ inline void store(const LinearProblem<T>& p, int64_t row, int64_t output, float sum) {
  if (row >= p.rows || output >= p.out) return;
  if (p.bias != nullptr) sum += p.bias[output];
  if (p.to_f32) {
    static_cast<float*>(p.to)[row * p.to_stride + output] = sum;
  } else {
    static_cast<T*>(p.to)[row * p.to_stride + output] = from_float<T>(sum);
  }
}

// ---- Tensor cores: 4 warps, each 32 rows times 32 outputs, steps of 64 inputs.

constexpr int kStep = 64;
constexpr int kPieces = kStep / 8;  // of 16 bytes, of a row in a step
constexpr int kMmaThreads = 128;
// A row of shared memory; its padding spreads the rows over the banks.
using StepRow = bf16[kStep + 8];

// Starts the copies of a step's x. Rows that are not there become zeros.
__device__ inline void fetch_x(const LinearProblem<bf16>& p, int64_t begin, StepRow* to) {
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kSide * kPieces; i += kMmaThreads) {
    const int64_t row = first_row() + i / kPieces, column = begin + 8 * (i % kPieces);
    bf16* place = &to[i / kPieces][8 * (i % kPieces)];
    if (p.aligned && column + 8 <= p.in) {
      const bool there = row < p.rows;
      copy_16_async<false>(place, p.x[there ? row : 0] + column, there);
      continue;
    }
    for (int k = 0; k < 8; ++k) {
      const bool there = row < p.rows && column + k < p.in;
      place[k] = there ? p.x[row][column + k] : from_float<bf16>(0);
    }
  }
}

// What a thread holds of the weights of the next step, between fetch() and store().
struct PlainStep {
  __device__ void fetch(const LinearProblem<bf16>& p, int64_t begin, StepRow* to) {
#pragma unroll
    for (int i = static_cast<int>(threadIdx.x); i < kSide * kPieces; i += kMmaThreads) {
      const int64_t output = first_output() + i / kPieces;
      const int64_t byte = 2 * begin + 16 * (i % kPieces);
      const bool there = output < p.out && byte < p.weight_stride;
      copy_16_async<false>(&to[i / kPieces][8 * (i % kPieces)],
                           p.weight + (there ? output * p.weight_stride + byte : 0), there);
    }
  }
  __device__ void store(StepRow* /*to*/) const {}
};

// Each thread has two runs: a warp one tile, its half warps every other run of the step. What lies
// behind the last input is the last run again: x has zeros there.
template <TileFormat kFormat>
struct PackedStep {
  static constexpr int kRuns = kStep / 32;
  PackedRun<kFormat> packed[kRuns];
  int64_t runs[kRuns];

  __device__ void fetch(const LinearProblem<bf16>& p, int64_t begin, StepRow* /*to*/) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int64_t tile =
        min(first_output() / kTile + threadIdx.x / 32, divide_up(p.out, kTile) - 1);
#pragma unroll
    for (int i = 0; i < kRuns; ++i) {
      runs[i] = min(begin / 16 + lane / kTile + 2 * i, p.in / 16 - 1);
      packed[i] = load_run<kFormat>(p.weight + tile * p.weight_stride, lane % kTile, runs[i]);
    }
  }
  __device__ void store(StepRow* to) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
    for (int i = 0; i < kRuns; ++i) {
      float values[16];
      decode_run<kFormat>(packed[i], runs[i], values);
      alignas(16) __nv_bfloat162 pairs[8];
#pragma unroll
      for (int k = 0; k < 8; ++k) {
        pairs[k] = __floats2bfloat162_rn(values[2 * k], values[2 * k + 1]);
      }
      auto* place = reinterpret_cast<uint4*>(
          &to[threadIdx.x / 32 * kTile + lane % kTile][16 * (lane / kTile + 2 * i)]);
      place[0] = reinterpret_cast<const uint4*>(pairs)[0];
      place[1] = reinterpret_cast<const uint4*>(pairs)[1];
    }
  }
};

// sums[m][n]: rows 16m and outputs 8n and on, of the warp.
__device__ inline void multiply_step(const StepRow* x, const StepRow* w, float (&sums)[2][4][4]) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int k = 0; k < kStep; k += 16) {
    uint32_t a[2][4], b[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      // Rows 0 to 15 of inputs 0 to 7, then of inputs 8 to 15.
      load_matrices(a[m], &x[16 * m + lane % 16][k + 8 * (lane / 16)]);
      // Outputs 0 to 7 of both halves of the inputs, then outputs 8 to 15.
      load_matrices(b[m], &w[16 * m + 8 * (lane / 16) + lane % 8][k + 8 * (lane / 8 % 2)]);
    }
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int n = 0; n < 4; ++n)
        mma<bf16>(sums[m][n], a[m], b[n / 2][n % 2 * 2], b[n / 2][n % 2 * 2 + 1]);
    }
  }
}

template <class Step>
__global__ void __launch_bounds__(kMmaThreads) tiles_mma(const LinearProblem<bf16> p) {
  __shared__ __align__(16) StepRow x[2][kSide], w[2][kSide];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int row = warp / 2 * 32, output = warp % 2 * 32;
  float sums[2][4][4] = {};
  Step step;
  step.fetch(p, 0, w[0]);
  fetch_x(p, 0, x[0]);
  step.store(w[0]);
  int now = 0;
  for (int64_t begin = 0; begin < p.in; begin += kStep, now = 1 - now) {
    wait_for_all_copies();
    __syncthreads();
    const bool more = begin + kStep < p.in;
    if (more) {
      step.fetch(p, begin + kStep, w[1 - now]);
      fetch_x(p, begin + kStep, x[1 - now]);
    }
    multiply_step(x[now] + row, w[now] + output, sums);
    if (more) step.store(w[1 - now]);
  }
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int n = 0; n < 4; ++n) {
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        store(p, first_row() + row + 16 * m + lane / 4 + 8 * (i / 2),
              first_output() + output + 8 * n + lane % 4 * 2 + i % 2, sums[m][n][i]);
      }
    }
  }
}

// ---- f32: 256 threads, each 4 rows times 4 outputs, steps of 16 inputs.

constexpr int kF32Step = 16;
constexpr int kF32Threads = 256;
using F32Row = float[kSide + 4];  // one input of all rows or outputs

struct PlainF32 {
  __device__ static void fetch(const LinearProblem<float>& p, int64_t begin, F32Row* to) {
    for (int i = static_cast<int>(threadIdx.x); i < kSide * kF32Step; i += kF32Threads) {
      const int64_t output = first_output() + i / kF32Step;
      const auto* row = reinterpret_cast<const float*>(p.weight + output * p.weight_stride);
      to[i % kF32Step][i / kF32Step] = output < p.out ? row[begin + i % kF32Step] : 0;
    }
  }
};

template <TileFormat kFormat>
struct PackedF32 {
  __device__ static void fetch(const LinearProblem<float>& p, int64_t begin, F32Row* to) {
    const int i = static_cast<int>(threadIdx.x);
    const int64_t tile = first_output() / kTile + i / kTile;
    if (i >= kSide) return;
    float values[16] = {};
    if (tile < divide_up(p.out, kTile)) {
      const int64_t run = begin / 16;
      decode_run<kFormat>(load_run<kFormat>(p.weight + tile * p.weight_stride, i % kTile, run), run,
                          values);
    }
#pragma unroll
    for (int k = 0; k < 16; ++k) to[k][i] = values[k];
  }
};

template <class Weights>
__global__ void __launch_bounds__(kF32Threads) tiles_fma(const LinearProblem<float> p) {
  __shared__ __align__(16) F32Row x[kF32Step], w[kF32Step];
  const int row = static_cast<int>(threadIdx.x) / 16 * 4;
  const int output = static_cast<int>(threadIdx.x) % 16 * 4;
  float sums[4][4] = {};
  for (int64_t begin = 0; begin < p.in; begin += kF32Step) {
    for (int i = static_cast<int>(threadIdx.x); i < kSide * kF32Step; i += kF32Threads) {
      const int64_t from = first_row() + i / kF32Step, column = begin + i % kF32Step;
      x[i % kF32Step][i / kF32Step] = from < p.rows && column < p.in ? p.x[from][column] : 0;
    }
    Weights::fetch(p, begin, w);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kF32Step; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(&x[k][row]);
      const float4 b = *reinterpret_cast<const float4*>(&w[k][output]);
      const float of_rows[4] = {a.x, a.y, a.z, a.w}, of_outputs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        sums[i / 4][i % 4] = fmaf(of_rows[i / 4], of_outputs[i % 4], sums[i / 4][i % 4]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    store(p, first_row() + row + i / 4, first_output() + output + i % 4, sums[i / 4][i % 4]);
  }
}

// ---- Launching.

template <class T>
dim3 tiles_grid(const LinearProblem<T>& p) {
  return {static_cast<unsigned>(divide_up(p.rows, kSide)),
          static_cast<unsigned>(divide_up(p.out, kSide))};
}

}  // namespace spate::cuda
