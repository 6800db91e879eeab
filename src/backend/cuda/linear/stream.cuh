// Products of few rows with packed weights: each is read once, decoded in registers and multiplied
// with all rows by tensor cores.
//
// A warp has 32 outputs (two tiles) and a piece of the inputs; the warps of a block share the
// outputs and their sums are added in order at the end. In terms of mma.cuh the weights are `a` and
// the rows of x are `b`. Any order of inputs and outputs will do, so each thread takes what lies
// together in memory: with g = lane / 4 and t = lane % 4, outputs 4g to 4g + 3 of the 32 in one
// load of 16 bytes, and groups of four inputs chosen by t. Outputs 4g and 4g + 1 are rows g and g +
// 8 of the first product, 4g + 2 and 4g + 3 of the second.
//
// Codes of packed weights are whole numbers that bf16 holds exactly. They are multiplied as such
// over a part of the inputs, whose sum then takes the part's step and shift in f32.
#pragma once

#include <type_traits>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/decode.cuh"
#include "backend/cuda/linear/stream.h"
#include "backend/cuda/mma.cuh"

namespace spate::cuda {

constexpr int kStreamOutputs = 32;  // of a block
constexpr int kStreamColumns = 8;   // rows of x in one product: columns of `b`
constexpr int kMostStreamWarps = 16;

// What a warp reads of x for one step: kInputs consecutive elements of a row, for one thread.
template <int kInputs>
struct StreamX {
  alignas(2 * kInputs) uint32_t pairs[kInputs / 2];
};

// Elements [begin, begin + kInputs) of a row; zeros behind its end and for rows that are not there.
template <int kInputs>
__device__ inline StreamX<kInputs> load_x(const StreamProblem& p, int64_t row, int64_t begin) {
  StreamX<kInputs> out{};
  if (row >= p.rows) return out;
  const bf16* from = p.x[row] + begin;
  if (p.aligned && begin + kInputs <= p.in) {
    using Piece = std::conditional_t<kInputs == 8, uint4, uint2>;
    *reinterpret_cast<Piece*>(out.pairs) = *reinterpret_cast<const Piece*>(from);
    return out;
  }
#pragma unroll
  for (int i = 0; i < kInputs; ++i) {
    const auto element =
        begin + i < p.in ? reinterpret_cast<const uint16_t*>(from)[i] : uint16_t{0};
    out.pairs[i / 2] |= static_cast<uint32_t>(element) << 16 * (i % 2);
  }
  return out;
}

// ---- Where the weights come from. Each kind says what a product and a step's part of x look like
// (Problem, X, load_x) and what becomes of a sum in the end.

// Hidden states as they are, of which a step takes kInputs, each thread kInputsOfThread.
template <int kInputs, int kInputsOfThread>
struct PlainX {
  using Problem = StreamProblem;
  using X = StreamX<kInputsOfThread>;
  __device__ static X load_x(const StreamProblem& p, int64_t row, int64_t step, int t) {
    return spate::cuda::load_x<kInputsOfThread>(p, row, kInputs * step + kInputsOfThread * t);
  }
  __device__ static float finish(const StreamProblem& /*p*/, float sum, int64_t /*row*/,
                                 int64_t /*output*/) {
    return sum;
  }
};

__device__ inline uint32_t subtract_pairs(uint32_t a, uint32_t b) {
  const __nv_bfloat162 out = __hsub2(*reinterpret_cast<const __nv_bfloat162*>(&a),
                                     *reinterpret_cast<const __nv_bfloat162*>(&b));
  return *reinterpret_cast<const uint32_t*>(&out);
}

// The codes of a group less their middle, in bf16: of inputs 0 and 2, and of inputs 1 and 3. A code
// below 128 in the last bits of 128.0 makes 128 + code; bit 7 of larger ones goes to what is taken
// off.
template <TileFormat kFormat>
__device__ inline uint2 code_pairs(uint32_t codes) {
  constexpr TileLayout kLayout = kLayoutOf<kFormat>;
  constexpr uint32_t k128 = 0x43004300, k256 = 0x43804380;
  constexpr uint32_t kOff = k128 + 0x00010001U * kLayout.middle;
  constexpr bool kWide = kLayout.middle == 128;
  const auto pair = [](uint32_t two) {
    uint32_t off = kOff;
    if constexpr (kWide) off = (two & 0x00800080) ^ k256;
    return subtract_pairs((two & 0x007F007F) | k128, off);
  };
  return {pair(codes), pair(codes >> 8)};
}

// Tiles. A step is a part. Of a part of 32 inputs thread t has two groups, of one of 16 inputs one.
template <TileFormat kFormat>
struct PackedWeights : PlainX<kLayoutOf<kFormat>.part, kLayoutOf<kFormat>.part / 4> {
  static constexpr TileLayout kLayout = kLayoutOf<kFormat>;
  static constexpr int kGroups = kLayout.part / 16;
  static constexpr int kParts = kLayout.block / kLayout.part;
  static constexpr int kWords = kLayout.bits == 8 ? kGroups : 1;
  static constexpr bool kShifted = kLayout.minimum >= 0;
  struct Raw {
    uint4 words[kWords];
    uint4 extra;
    uint2 scale, minimum;
    uint32_t steps, shifts;
  };

  __device__ static int64_t steps(const StreamProblem& p) { return p.in / kLayout.part; }
  // First of this thread's groups, counted in the block.
  __device__ static int first_group(int64_t step, int t) {
    return kGroups * (4 * static_cast<int>(step % kParts) + t);
  }

  __device__ static Raw load(const StreamProblem& p, int64_t step, int g, int t) {
    const int64_t tile = min(int64_t{blockIdx.x} * 2 + g / 4, divide_up(p.out, kTile) - 1);
    const uint8_t* block = p.weight + tile * p.weight_stride + step / kParts * kLayout.bytes;
    const int part = static_cast<int>(step % kParts), group = first_group(step, t);
    const int output = 4 * (g % 4);
    Raw raw;
#pragma unroll
    for (int i = 0; i < kWords; ++i) {
      raw.words[i] = *reinterpret_cast<const uint4*>(block + kLayout.codes +
                                                     group_offset(kLayout.bits, output, group + i));
    }
    if constexpr (kLayout.extra >= 0) {
      raw.extra = *reinterpret_cast<const uint4*>(block + kLayout.extra +
                                                  group_offset(kLayout.extra_bits, output, group));
    }
    if constexpr (kLayout.exponents) {
      raw.scale.x = *reinterpret_cast<const uint32_t*>(block + kLayout.scale + output);
    } else {
      raw.scale = *reinterpret_cast<const uint2*>(block + kLayout.scale + 2 * output);
    }
    if constexpr (kLayout.minimum >= 0) {
      raw.minimum = *reinterpret_cast<const uint2*>(block + kLayout.minimum + 2 * output);
    }
    if constexpr (kLayout.steps >= 0) {
      raw.steps = *reinterpret_cast<const uint32_t*>(block + kLayout.steps + kTile * part + output);
    }
    if constexpr (kLayout.shifts >= 0) {
      raw.shifts =
          *reinterpret_cast<const uint32_t*>(block + kLayout.shifts + kTile * part + output);
    }
    return raw;
  }

  __device__ static uint32_t word_of(const uint4& words, int output) {
    return output == 0 ? words.x : output == 1 ? words.y : output == 2 ? words.z : words.w;
  }
  __device__ static float half_of(const uint2& halves, int output) {
    const uint32_t pair = output < 2 ? halves.x : halves.y;
    return __half2float(__ushort_as_half(static_cast<uint16_t>(pair >> 16 * (output % 2))));
  }
  __device__ static float scale(const Raw& raw, int output) {
    if constexpr (!kLayout.exponents) return half_of(raw.scale, output);
    return scale_of<kFormat>(raw.scale.x >> 8 * output & 255);
  }
  __device__ static Affine affine(const Raw& raw, int output) {
    const uint32_t step = kLayout.steps >= 0 ? raw.steps >> 8 * output & 255 : 0;
    const uint32_t shift = kLayout.shifts >= 0 ? raw.shifts >> 8 * output & 255 : 0;
    return affine_of<kFormat>(scale(raw, output), kShifted ? half_of(raw.minimum, output) : 0, step,
                              shift);
  }

  template <int kColumns>
  __device__ static void multiply(const Raw& raw, int64_t step, int t,
                                  const StreamX<4 * kGroups> (&x)[kColumns],
                                  float (&sums)[kColumns][2][4]) {
    const int group = first_group(step, t);
    uint32_t a[kGroups][2][4];
    Affine affines[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) {
      affines[j] = affine(raw, j);
#pragma unroll
      for (int h = 0; h < kGroups; ++h) {
        const uint32_t extra = kLayout.extra >= 0 ? word_of(raw.extra, j) : 0;
        const uint2 pairs = code_pairs<kFormat>(group_codes<kFormat>(
            word_of(raw.words[kWords == 1 ? 0 : h], j), group_shift(kLayout.bits, group + h), extra,
            group_shift(kLayout.extra_bits, group + h)));
        a[h][j / 2][j % 2] = pairs.x;
        a[h][j / 2][2 + j % 2] = pairs.y;
      }
    }
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      float products[2][4] = {}, of_x[4] = {};
#pragma unroll
      for (int h = 0; h < kGroups; ++h) {
        const uint32_t* group_x = x[n].pairs + 2 * h;
        const uint32_t b0 = __byte_perm(group_x[0], group_x[1], 0x5410);  // inputs 0 and 2
        const uint32_t b1 = __byte_perm(group_x[0], group_x[1], 0x7632);
        mma<bf16>(products[0], a[h][0], b0, b1);
        mma<bf16>(products[1], a[h][1], b0, b1);
        if constexpr (kShifted) {
          constexpr uint32_t kOnes = 0x3F803F80;
          mma<bf16>(of_x, {kOnes, kOnes, kOnes, kOnes}, b0, b1);
        }
      }
#pragma unroll
      for (int j = 0; j < 4; ++j) {
#pragma unroll
        for (int c = 0; c < 2; ++c) {
          float& sum = sums[n][j / 2][2 * (j % 2) + c];
          sum += affines[j].step * products[j / 2][2 * (j % 2) + c];
          if constexpr (kShifted) sum += affines[j].shift * of_x[c];
        }
      }
    }
  }
};

// ---- The kernel: blocks of 32 outputs times 8 * kColumns rows, threads [32, warps].

// Adds the warps' sums for 8 rows and stores them.
template <class Weights>
__device__ void store_sums(const typename Weights::Problem& p, const float (&sums)[2][4],
                           int64_t first, float (*shared)[kStreamColumns][kStreamOutputs + 4]) {
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
  for (int c = 0; c < 2; ++c) {
    *reinterpret_cast<float4*>(&shared[threadIdx.y][2 * t + c][4 * g]) =
        make_float4(sums[0][c], sums[0][2 + c], sums[1][c], sums[1][2 + c]);
  }
  __syncthreads();
  constexpr int kSums = kStreamColumns * kStreamOutputs;
  for (unsigned i = threadIdx.y * 32 + threadIdx.x; i < kSums; i += blockDim.y * 32) {
    const int64_t row = first + i / kStreamOutputs;
    const int64_t output = int64_t{blockIdx.x} * kStreamOutputs + i % kStreamOutputs;
    if (row >= p.rows || output >= p.out) continue;
    float sum = 0;
    for (unsigned warp = 0; warp < blockDim.y; ++warp) {
      sum += shared[warp][i / kStreamOutputs][i % kStreamOutputs];
    }
    sum = Weights::finish(p, sum, row, output);
    if (p.bias != nullptr) sum += p.bias[output];
    if (p.to_f32) {
      static_cast<float*>(p.to)[row * p.to_stride + output] = sum;
    } else {
      static_cast<bf16*>(p.to)[row * p.to_stride + output] = from_float<bf16>(sum);
    }
  }
  __syncthreads();
}

template <class Weights, int kColumns>
__global__ void __launch_bounds__(32 * kMostStreamWarps) stream(const typename Weights::Problem p) {
  __shared__ float shared[kMostStreamWarps][kStreamColumns][kStreamOutputs + 4];
  // Steps whose loads are under way together.
  constexpr int kAtOnce = kColumns == 1 ? 4 : kColumns == 2 ? 2 : 1;
  const int g = static_cast<int>(threadIdx.x) / 4, t = static_cast<int>(threadIdx.x) % 4;
  const int64_t first = int64_t{blockIdx.y} * kStreamColumns * kColumns;
  const int64_t steps = Weights::steps(p);
  const int64_t end = steps * (threadIdx.y + 1) / blockDim.y;
  float sums[kColumns][2][4] = {};

  const auto load_columns = [&](int64_t step, typename Weights::X(&x)[kColumns]) {
#pragma unroll
    for (int n = 0; n < kColumns; ++n) {
      x[n] = Weights::load_x(p, first + kStreamColumns * n + g, step, t);
    }
  };
  int64_t step = steps * threadIdx.y / blockDim.y;
  for (; step + kAtOnce <= end; step += kAtOnce) {
    typename Weights::Raw raw[kAtOnce];
    typename Weights::X x[kAtOnce][kColumns];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) raw[i] = Weights::load(p, step + i, g, t);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) load_columns(step + i, x[i]);
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) Weights::multiply(raw[i], step + i, t, x[i], sums);
  }
  for (; kAtOnce > 1 && step < end; ++step) {
    const typename Weights::Raw raw = Weights::load(p, step, g, t);
    typename Weights::X x[kColumns];
    load_columns(step, x);
    Weights::multiply(raw, step, t, x, sums);
  }
#pragma unroll
  for (int n = 0; n < kColumns; ++n) {
    store_sums<Weights>(p, sums[n], first + kStreamColumns * n, shared);
  }
}

template <class Weights, int kColumns>
void launch_stream_columns(const Context& context, const typename Weights::Problem& p) {
  const int64_t blocks = divide_up(p.out, kStreamOutputs);
  const dim3 grid{static_cast<unsigned>(blocks),
                  static_cast<unsigned>(divide_up(p.rows, kStreamColumns * kColumns))};
  // With few blocks, more warps to each: enough loads under way. Two blocks of 8 warps are on a
  // multiprocessor at once.
  const unsigned warps = blocks <= context.multiprocessors() ? kMostStreamWarps : 8;
  launch(context, {.blocks = grid, .threads = {32, warps}}, stream<Weights, kColumns>, p);
}

template <class Weights>
void launch_stream(const Context& context, const typename Weights::Problem& p) {
  if (p.rows <= 8) {
    launch_stream_columns<Weights, 1>(context, p);
  } else if (p.rows <= 16) {
    launch_stream_columns<Weights, 2>(context, p);
  } else {
    launch_stream_columns<Weights, 4>(context, p);
  }
}

}  // namespace spate::cuda
