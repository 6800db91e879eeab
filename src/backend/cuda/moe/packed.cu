// ExpertLinear, the `tiles` kernel, for packed weights and hidden states of bf16, on tensor cores:
// the blocks of linear/tiles.cuh, 64 places of one expert times 64 of its outputs, whose weights
// are decoded on their way to shared memory. Each output is one chain of sums over the inputs in
// order.
//
// The host does not know how many places an expert has: it launches as many blocks as there can be,
// and each looks up which it is; those left over end at once.
#include <algorithm>

#include "backend/cuda/linear/tiles.cuh"
#include "backend/cuda/moe/problem.h"

namespace spate::cuda {
namespace {

struct Problem {
  LinearProblem<bf16> product;  // of expert 0, whose rows are places; rows: unused
  int64_t experts;
  const int32_t* tokens;  // the row of x for each place, or null: its own
  const int32_t* begin;
};

// Places [first, end) of an expert; none where first == end.
struct Block {
  int64_t expert;
  int first, end;
};

// Of all blocks with places, number `index`. Each lane looks at one expert of 32.
__device__ Block find_block(const Problem& p, int index) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  for (int64_t first = 0; first < p.experts; first += 32) {
    const int64_t expert = first + lane;
    const int from = expert < p.experts ? p.begin[expert] : 0;
    const int to = expert < p.experts ? p.begin[expert + 1] : 0;
    // Blocks of this expert and those before.
    const int up_to = sum_through((to - from + kSide - 1) / kSide);
    const uint32_t behind = __ballot_sync(~0U, index < up_to);
    if (behind == 0) {
      index -= __shfl_sync(~0U, up_to, 31);
      continue;
    }
    const int found = __ffs(static_cast<int>(behind)) - 1;
    const int before = found == 0 ? 0 : __shfl_sync(~0U, up_to, found - 1);
    const int begin = __shfl_sync(~0U, from, found) + (index - before) * kSide;
    return {first + found, begin, min(begin + kSide, __shfl_sync(~0U, to, found))};
  }
  return {0, 0, 0};
}

// Starts the copies of a step's x, as fetch_x of tiles.cuh does; rows: of x, or -1.
__device__ void fetch_rows(const LinearProblem<bf16>& p, const int* rows, int64_t begin,
                           StepRow* to) {
#pragma unroll
  for (int i = static_cast<int>(threadIdx.x); i < kSide * kPieces; i += kMmaThreads) {
    const int row = rows[i / kPieces];
    const int64_t column = begin + 8 * (i % kPieces);
    bf16* place = &to[i / kPieces][8 * (i % kPieces)];
    if (p.aligned && column + 8 <= p.in) {
      copy_16_async<false>(place, p.x[max(row, 0)] + column, row >= 0);
      continue;
    }
    for (int k = 0; k < 8; ++k) {
      place[k] = row >= 0 && column + k < p.in ? p.x[row][column + k] : from_float<bf16>(0);
    }
  }
}

template <TileFormat kFormat>
__global__ void __launch_bounds__(kMmaThreads) expert_tiles(const Problem problem) {
  __shared__ __align__(16) StepRow x[2][kSide], w[2][kSide];
  __shared__ int rows[kSide];
  const int thread = static_cast<int>(threadIdx.x), warp = thread / 32, lane = thread % 32;
  const Block block = find_block(problem, static_cast<int>(blockIdx.x));
  if (block.first == block.end) return;
  if (thread < kSide) {
    const int place = block.first + thread;
    rows[thread] = place >= block.end          ? -1
                   : problem.tokens == nullptr ? place
                                               : problem.tokens[place];
  }
  __syncthreads();
  LinearProblem<bf16> p = problem.product;
  p.weight += block.expert * (p.out / kTile) * p.weight_stride;
  if (p.bias != nullptr) p.bias += block.expert * p.out;
  p.rows = block.end;

  const int row = warp / 2 * 32, output = warp % 2 * 32;
  float sums[2][4][4] = {};
  PackedStep<kFormat> step;
  step.fetch(p, 0, w[0]);
  fetch_rows(p, rows, 0, x[0]);
  step.store(w[0]);
  int now = 0;
  for (int64_t begin = 0; begin < p.in; begin += kStep, now = 1 - now) {
    wait_for_all_copies();
    __syncthreads();
    const bool more = begin + kStep < p.in;
    if (more) {
      step.fetch(p, begin + kStep, w[1 - now]);
      fetch_rows(p, rows, begin + kStep, x[1 - now]);
    }
    multiply_step(x[now] + row, w[now] + output, sums);
    if (more) step.store(w[1 - now]);
  }
#pragma unroll
  for (int i = 0; i < 32; ++i) {
    const int m = i / 16, n = i / 4 % 4, k = i % 4;
    store(p, block.first + row + 16 * m + lane / 4 + 8 * (k / 2),
          first_output() + output + 8 * n + lane % 4 * 2 + k % 2, sums[m][n][k]);
  }
}

}  // namespace

bool expert_tiles_accept(const op::ExpertLinear& op) {
  return is_packed(*op.weight->format) && !is_f8(*op.weight) && op.out.dtype == DType::bf16;
}

void multiply_expert_tiles(const Context& context, const op::ExpertLinear& op) {
  const op::Linear one{.x = op.x, .weight = op.weight, .bias = op.bias, .out = op.out};
  Problem problem{.product = linear_problem<bf16>(one),
                  .experts = op.experts(),
                  .tokens = op.tokens.as<int32_t>(),
                  .begin = op.begin.as<int32_t>()};
  problem.product.out = op.out.row_size();
  const int64_t places = op.out.rows();
  // Every expert may have one block that is not full.
  const int64_t blocks = places / kSide + std::min(places, op.experts());
  const Grid grid{.blocks = {static_cast<unsigned>(blocks),
                             static_cast<unsigned>(divide_up(op.out.row_size(), kSide))},
                  .threads = kMmaThreads};
  with_packed_format(tile_format(*op.weight), [&]<class Tag>(Tag) {
    launch(context, grid, expert_tiles<Tag::kFormat>, problem);
  });
}

}  // namespace spate::cuda
