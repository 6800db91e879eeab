// Draw: the largest logit, or the largest sum of logit and Gumbel noise. Blocks share a row where
// there are few rows; what each finds is combined by a second kernel. Scores are exact and ties go
// to the smaller token, so the result does not depend on the cut.
//
// Most tokens cost a Philox word and no logarithm: with noise -log(-log(u)), a token can reach a
// score s only if 1 - u <= -log(u) <= e^(logit - s), and 1 - u is the word itself.
#include <algorithm>
#include <climits>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/sampling/gumbel.cuh"
#include "backend/cuda/sampling/row.cuh"
#include "backend/cuda/types.cuh"
#include "base/random.h"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kBlocks = 8;           // of a multiprocessor
constexpr float kMostNoise = 23;     // u is at most 1 - 2^-33
constexpr int kSmallestPart = 8192;  // tokens; less is not worth a block

struct Best {
  float score;
  int32_t token;
};

struct Drawing {
  Rows<const float> logits;
  int size, part_size;  // tokens; parts are whole quads
  bool aligned;
  const float* temperature;
  const int32_t* key;  // [B, 2]
  int64_t key_stride;
  const int32_t* position;
  Best* found;   // [B, parts]
  int32_t* out;  // [B]
};

__device__ Best nothing() { return {-INFINITY, INT_MAX}; }

__device__ void offer(Best& best, float score, int32_t token) {
  if (score > best.score || (score == best.score && token < best.token)) best = {score, token};
}

__device__ Best best_of_warp(Best best) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const float score = __shfl_xor_sync(~0U, best.score, distance);
    const int32_t token = __shfl_xor_sync(~0U, best.token, distance);
    offer(best, score, token);
  }
  return best;
}

__device__ int32_t token_of(const Best& best) { return best.score > -INFINITY ? best.token : -1; }

// Calls body(token, values) for the thread's quads of the tokens [begin, end), and reads the next
// quad meanwhile. All lanes of a warp make the same calls.
template <class Body>
__device__ void each_quad(const Drawing& drawing, const float* row, int begin, int end, Body body) {
  const auto load = [&](int token, float(&values)[kQuad]) {
    if (token < end) {
      load_quad(row, token, drawing.size, drawing.aligned, values);
    } else {
#pragma unroll
      for (float& value : values) value = -INFINITY;
    }
  };
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  int first = begin + (static_cast<int>(threadIdx.x) - lane) * kQuad;  // the warp's
  float next[kQuad];
  load(first + lane * kQuad, next);
  for (; first < end; first += kThreads * kQuad) {
    float values[kQuad];
#pragma unroll
    for (int j = 0; j < kQuad; ++j) values[j] = next[j];
    load(first + (kThreads + lane) * kQuad, next);
    body(first + lane * kQuad, values);
  }
}

// The most that 1 - u may be where the noise lifts the logit to `bar`; NaN where anything may.
// Too much rather than too little: `slack` covers all rounding.
__device__ float most_distance(float logit, float bar) {
  const float slack = fmaf(fabsf(logit), 0x1p-22F, 1e-3F);
  return __expf(logit - bar + slack);
}

// Whether 1 - u is surely larger than that. Its upper 23 bits will do, without a conversion.
__device__ bool is_farther(uint32_t word, float distance) {
  return __uint_as_float(word >> 9 | 0x3F800000U) - 1 > distance;
}

__global__ void __launch_bounds__(kThreads) draw_parts(Drawing drawing) {
  const int64_t b = blockIdx.x;
  const int begin = static_cast<int>(blockIdx.y) * drawing.part_size;
  const int end = min(drawing.size, begin + drawing.part_size);
  const float* row = drawing.logits[b];
  Best best = nothing();
  if (drawing.temperature[b] == 0) {
    each_quad(drawing, row, begin, end, [&](int token, const float(&values)[kQuad]) {
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        if (values[j] > best.score) best = {values[j], token + j};
      }
    });
  } else {
    const int32_t* words = drawing.key + b * drawing.key_stride;
    const uint64_t key = static_cast<uint32_t>(words[0]) |
                         static_cast<uint64_t>(static_cast<uint32_t>(words[1])) << 32;
    const auto position = static_cast<uint64_t>(drawing.position[b]);
    float bar = -INFINITY;  // the best score of the warp
    each_quad(drawing, row, begin, end, [&](int token, const float(&values)[kQuad]) {
      const float largest = largest_of(values);
      const bool hopeful = largest > -INFINITY && largest + kMostNoise >= bar;
      if (!__any_sync(~0U, hopeful)) return;
      const Philox4 noise = philox(key, position, static_cast<uint64_t>(token / kQuad));
      // First all four at once: the least word with the largest logit.
      const uint32_t least =
          min(min(noise.word[0], noise.word[1]), min(noise.word[2], noise.word[3]));
      const bool any = hopeful && !is_farther(least, most_distance(largest, bar));
      if (!__any_sync(~0U, any)) return;
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        const bool may_win = any && values[j] > -INFINITY &&
                             !is_farther(noise.word[j], most_distance(values[j], bar));
        if (may_win) offer(best, values[j] + gumbel_of_word(noise.word[j]), token + j);
      }
      bar = value_of(__reduce_max_sync(~0U, key_of(best.score)));
    });
  }
  __shared__ Best of_warp[kThreads / kWarp];
  best = best_of_warp(best);
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  if (lane == 0) of_warp[warp] = best;
  __syncthreads();
  if (warp != 0) return;
  best = best_of_warp(lane < kThreads / kWarp ? of_warp[lane] : nothing());
  if (lane != 0) return;
  if (gridDim.y == 1) {
    drawing.out[b] = token_of(best);
  } else {
    drawing.found[b * gridDim.y + blockIdx.y] = best;
  }
}

// A warp a row.
__global__ void combine_parts(const Best* found, int parts, int32_t* out) {
  const int64_t b = blockIdx.x;
  Best best = nothing();
  for (int p = threadIdx.x; p < parts; p += kWarp) {
    offer(best, found[b * parts + p].score, found[b * parts + p].token);
  }
  best = best_of_warp(best);
  if (threadIdx.x == 0) out[b] = token_of(best);
}

}  // namespace

void run(Context& context, const op::Draw& op) {
  const int64_t rows = op.logits.rows(), size = op.logits.row_size();
  if (rows == 0) return;
  const int64_t wanted = std::clamp<int64_t>(int64_t{context.multiprocessors()} * kBlocks / rows, 1,
                                             divide_up(size, kSmallestPart));
  const int64_t part_size = divide_up(divide_up(size, wanted), kQuad) * kQuad;
  const int64_t parts = divide_up(size, part_size);
  Drawing drawing{.logits = rows_of<const float>(op.logits),
                  .size = static_cast<int>(size),
                  .part_size = static_cast<int>(part_size),
                  .aligned = packs_fit<kQuad>(size, op.logits),
                  .temperature = op.temperature.as<float>(),
                  .key = op.key.as<int32_t>(),
                  .key_stride = op.key.row_stride,
                  .position = op.position.as<int32_t>(),
                  .found = nullptr,
                  .out = op.out.as<int32_t>()};
  if (parts > 1) {
    drawing.found =
        static_cast<Best*>(context.workspace(static_cast<size_t>(rows * parts) * sizeof(Best)));
  }
  launch(context,
         {.blocks = dim3(static_cast<unsigned>(rows), static_cast<unsigned>(parts)),
          .threads = kThreads},
         draw_parts, drawing);
  if (parts == 1) return;
  launch(context, {.blocks = static_cast<unsigned>(rows), .threads = kWarp}, combine_parts,
         drawing.found, static_cast<int>(parts), drawing.out);
}

}  // namespace spate::cuda
