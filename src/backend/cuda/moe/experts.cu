// The `general` kernel, for weights of any format: blocks of 64 places of one expert times 64 of
// its outputs, 256 threads, each with 4 places times 4 outputs. Each output is one chain of f32
// sums over the inputs in order, 16 of them in shared memory at a time.
//
// The host does not know how many places an expert has: it launches as many blocks as there can be,
// and each looks up which it is; those left over end at once. Weights in e4m3 are multiplied with
// hidden states as they are, not rounded.
#include <cuda_fp8.h>

#include <algorithm>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/decode.cuh"
#include "backend/cuda/linear/f8.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/moe/problem.h"
#include "backend/cuda/types.cuh"
#include "backend/tiles/pack.h"

namespace spate::cuda {
namespace {

constexpr int kSide = 64;  // places and outputs of a block
constexpr int kStep = 16;  // inputs
constexpr int kThreads = 256;
using StepRow = float[kSide + 4];  // one input of all places or outputs

template <class T>
struct Problem {
  const uint8_t* weight;
  int64_t weight_stride;     // bytes of a tile, or of a row
  const float* scales;       // of rows of e4m3, or null
  const float* bias;         // or null
  int64_t experts, out, in;  // out: of one expert
  Rows<const T> x;
  const int32_t* tokens;  // the row of x for each place, or null: its own
  const int32_t* begin;
  Rows<T> to;
};

// Places [first, end) of an expert; none where first == end.
struct Block {
  int64_t expert;
  int first, end;
};

__device__ Block find_block(const int32_t* begin, int64_t experts, int index) {
  for (int64_t expert = 0; expert < experts; ++expert) {
    const int from = begin[expert], to = begin[expert + 1];
    const int blocks = (to - from + kSide - 1) / kSide;
    if (index < blocks) return {expert, from + index * kSide, min(from + (index + 1) * kSide, to)};
    index -= blocks;
  }
  return {0, 0, 0};
}

// ---- Weights: inputs [begin, begin + kStep) of the outputs from `first` on, of all experts';
// those from `end` on, and inputs that are not there, become zeros.

template <class T>
struct Plain {
  __device__ static float at(const Problem<T>& p, int64_t output, int64_t input) {
    return to_float(reinterpret_cast<const T*>(p.weight + output * p.weight_stride)[input]);
  }
};
template <class T>
struct E4m3 {
  __device__ static float at(const Problem<T>& p, int64_t output, int64_t input) {
    __nv_fp8_e4m3 value;
    value.__x = p.weight[output * p.weight_stride + input];
    return static_cast<float>(value);
  }
};

// Element by element.
template <class T, class Element>
struct RowWeights {
  __device__ static void fetch(const Problem<T>& p, int64_t first, int64_t end, int64_t begin,
                               StepRow* to) {
    for (int i = static_cast<int>(threadIdx.x); i < kSide * kStep; i += kThreads) {
      const int64_t output = first + i / kStep, input = begin + i % kStep;
      const bool there = output < end && input < p.in;
      to[i % kStep][i / kStep] = there ? Element::at(p, output, input) : 0;
    }
  }
};

// Run by run; an expert has whole tiles.
template <class T, TileFormat kFormat>
struct PackedWeights {
  __device__ static void fetch(const Problem<T>& p, int64_t first, int64_t end, int64_t begin,
                               StepRow* to) {
    const int i = static_cast<int>(threadIdx.x);
    if (i >= kSide) return;
    float values[kStep] = {};
    if (first + i < end) {
      const int64_t tile = (first + i) / kTile, run = begin / kStep;
      decode_run<kFormat>(load_run<kFormat>(p.weight + tile * p.weight_stride, i % kTile, run), run,
                          values);
    }
#pragma unroll
    for (int k = 0; k < kStep; ++k) to[k][i] = values[k];
  }
};

template <class T, class Weights>
__global__ void __launch_bounds__(kThreads) expert_linear(const Problem<T> p) {
  __shared__ __align__(16) StepRow x[kStep], w[kStep];
  __shared__ int rows[kSide];  // of x, or -1
  const int thread = static_cast<int>(threadIdx.x);
  const Block block = find_block(p.begin, p.experts, static_cast<int>(blockIdx.x));
  if (block.first == block.end) return;
  if (thread < kSide) {
    const int place = block.first + thread;
    rows[thread] = place >= block.end ? -1 : p.tokens == nullptr ? place : p.tokens[place];
  }
  __syncthreads();
  const int64_t first_output = int64_t{blockIdx.y} * kSide;
  const int64_t first_weight = block.expert * p.out;  // output 0 of the expert
  const int place = thread / 16 * 4, output = thread % 16 * 4;
  float sums[4][4] = {};
  for (int64_t begin = 0; begin < p.in; begin += kStep) {
    for (int i = thread; i < kSide * kStep; i += kThreads) {
      const int row = rows[i / kStep];
      const int64_t input = begin + i % kStep;
      x[i % kStep][i / kStep] = row >= 0 && input < p.in ? to_float(p.x[row][input]) : 0;
    }
    Weights::fetch(p, first_weight + first_output, first_weight + p.out, begin, w);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < kStep; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(&x[k][place]);
      const float4 b = *reinterpret_cast<const float4*>(&w[k][output]);
      const float of_places[4] = {a.x, a.y, a.z, a.w}, of_outputs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        sums[i / 4][i % 4] = fmaf(of_places[i / 4], of_outputs[i % 4], sums[i / 4][i % 4]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 16; ++i) {
    const int64_t to_place = block.first + place + i / 4, to_output = first_output + output + i % 4;
    if (to_place >= block.end || to_output >= p.out) continue;
    const float scale = p.scales == nullptr ? 1 : p.scales[first_weight + to_output];
    const float bias = p.bias == nullptr ? 0 : p.bias[first_weight + to_output];
    p.to[to_place][to_output] = from_float<T>(sums[i / 4][i % 4] * scale + bias);
  }
}

template <class T>
Problem<T> problem_of(const op::ExpertLinear& op) {
  const Weight& weight = *op.weight;
  Problem<T> problem{.weight = static_cast<const uint8_t*>(weight.storage.data()),
                     .weight_stride = padded_row(weight.in) * static_cast<int64_t>(sizeof(T)),
                     .scales = nullptr,
                     .bias = op.bias.as<float>(),
                     .experts = op.experts(),
                     .out = op.out.row_size(),
                     .in = weight.in,
                     .x = rows_of<const T>(op.x),
                     .tokens = op.tokens.as<int32_t>(),
                     .begin = op.begin.as<int32_t>(),
                     .to = rows_of<T>(op.out)};
  if (is_f8(weight)) {
    problem.weight_stride = f8_rows(weight).stride();
    problem.scales = f8_rows(weight).scales;
  } else if (is_packed(*weight.format)) {
    problem.weight_stride = static_cast<int64_t>(tile_bytes(weight.layout, weight.in));
  }
  return problem;
}

}  // namespace

void multiply_general(const Context& context, const op::ExpertLinear& op) {
  const int64_t places = op.out.rows();
  // Every expert may have one block that is not full.
  const int64_t blocks = places / kSide + std::min(places, op.experts());
  const Grid grid{.blocks = {static_cast<unsigned>(blocks),
                             static_cast<unsigned>(divide_up(op.out.row_size(), kSide))},
                  .threads = kThreads};
  with_activation_type(op.out.dtype, [&]<class T>(TypeTag<T>) {
    const Problem<T> problem = problem_of<T>(op);
    if (is_f8(*op.weight)) {
      launch(context, grid, expert_linear<T, RowWeights<T, E4m3<T>>>, problem);
    } else if (!is_packed(*op.weight->format)) {
      launch(context, grid, expert_linear<T, RowWeights<T, Plain<T>>>, problem);
    } else {
      with_packed_format(tile_format(*op.weight), [&]<class Tag>(Tag) {
        launch(context, grid, expert_linear<T, PackedWeights<T, Tag::kFormat>>, problem);
      });
    }
  });
}

}  // namespace spate::cuda
