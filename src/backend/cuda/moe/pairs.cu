// Pairs of tokens and experts: sorting them, and bringing their rows together again; and rows with
// a gate.
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / kWarp;

struct Pairs {
  const int32_t* chosen;
  int64_t count;
  int each, experts;
  int32_t* begin;
  int32_t* tokens;
  int32_t* places;
};

// A block for each expert. Its first place is the number of pairs with smaller experts; from there
// on its own pairs come in their order, kThreads of all pairs at a time.
__global__ void __launch_bounds__(kThreads) group_pairs(const Pairs p) {
  __shared__ int before, of_warp[kWarps];
  const auto expert = static_cast<int>(blockIdx.x);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  if (thread == 0) before = 0;
  __syncthreads();
  int smaller = 0;
  for (int64_t i = thread; i < p.count; i += kThreads) smaller += p.chosen[i] < expert ? 1 : 0;
  atomicAdd(&before, smaller);
  __syncthreads();
  int next = before;
  if (thread == 0) {
    p.begin[expert] = next;
    if (expert == 0) p.begin[p.experts] = static_cast<int32_t>(p.count);
  }
  for (int64_t first = 0; first < p.count; first += kThreads) {
    const int64_t i = first + thread;
    const bool mine = i < p.count && p.chosen[i] == expert;
    const unsigned of_lanes = __ballot_sync(~0U, mine);
    if (thread % kWarp == 0) of_warp[warp] = __popc(of_lanes);
    __syncthreads();
    int place = next + __popc(of_lanes & ((1U << thread % kWarp) - 1));
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      if (w < warp) place += of_warp[w];
      next += of_warp[w];
    }
    if (mine) {
      p.places[i] = place;
      p.tokens[place] = static_cast<int32_t>(i / p.each);
    }
    __syncthreads();
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    expert_sum(Rows<const T> pairs, Rows<const int32_t> places, Rows<const float> weights, int each,
               int64_t width, Rows<T> out) {
  const int64_t t = blockIdx.x;
  for (int64_t c = int64_t{blockIdx.y} * kThreads + threadIdx.x; c < width;
       c += int64_t{gridDim.y} * kThreads) {
    float sum = 0;
    for (int k = 0; k < each; ++k) {
      sum = fmaf(weights[t][k], to_float(pairs[places[t][k]][c]), sum);
    }
    out[t][c] = from_float<T>(sum);
  }
}

template <class T>
__global__ void __launch_bounds__(kThreads)
    gate_rows(Rows<T> x, Rows<const float> gate, int64_t width) {
  const int64_t t = blockIdx.x;
  const float factor = 1 / (1 + expf(-gate[t][0]));
  for (int64_t c = threadIdx.x; c < width; c += kThreads) {
    x[t][c] = from_float<T>(to_float(x[t][c]) * factor);
  }
}

}  // namespace

void run(Context& context, const op::GroupPairs& op) {
  const auto experts = static_cast<int>(op.begin.rows() - 1);
  const Pairs pairs{.chosen = op.chosen.as<int32_t>(),
                    .count = op.chosen.shape.elements(),
                    .each = static_cast<int>(op.chosen.row_size()),
                    .experts = experts,
                    .begin = op.begin.as<int32_t>(),
                    .tokens = op.tokens.as<int32_t>(),
                    .places = op.places.as<int32_t>()};
  launch(context, {.blocks = static_cast<unsigned>(experts), .threads = kThreads}, group_pairs,
         pairs);
}

void run(Context& context, const op::ExpertSum& op) {
  const int64_t width = op.out.row_size();
  const dim3 blocks{static_cast<unsigned>(op.out.rows()),
                    static_cast<unsigned>(divide_up(width, kThreads))};
  with_activation_type(op.out.dtype, [&]<class T>(TypeTag<T>) {
    launch(context, {.blocks = blocks, .threads = kThreads}, expert_sum<T>,
           rows_of<const T>(op.pairs), rows_of<const int32_t>(op.places),
           rows_of<const float>(op.weights), static_cast<int>(op.places.row_size()), width,
           rows_of<T>(op.out));
  });
}

void run(Context& context, const op::GateRows& op) {
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    launch(context, {.blocks = static_cast<unsigned>(op.x.rows()), .threads = kThreads},
           gate_rows<T>, rows_of<T>(op.x), rows_of<const float>(op.gate), op.x.row_size());
  });
}

}  // namespace spate::cuda
