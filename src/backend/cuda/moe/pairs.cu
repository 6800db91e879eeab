// Pairs of tokens and experts: sorting them, and bringing their rows together again; and rows with
// a gate.
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPack = 8;  // elements

struct Pairs {
  const int32_t* chosen;
  bool aligned;  // to 16 bytes
  int64_t count;
  int each, experts;
  int32_t* begin;
  int32_t* tokens;
  int32_t* places;
};

constexpr int kGroupThreads = 1024;
constexpr int kGroupWarps = kGroupThreads / kWarp;
static_assert(kGroupWarps == kWarp, "a warp adds what all warps counted");
constexpr int kQuad = 4;  // pairs that a lane reads at once

// Experts of the pairs from `first` on; pairs that are not there have none.
__device__ inline void load_quad(const Pairs& p, int64_t first, int (&experts)[kQuad]) {
  if (p.aligned && first + kQuad <= p.count) {
    const int4 quad = *reinterpret_cast<const int4*>(p.chosen + first);
    experts[0] = quad.x, experts[1] = quad.y, experts[2] = quad.z, experts[3] = quad.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < kQuad; ++i) {
    experts[i] = first + i < p.count ? p.chosen[first + i] : p.experts;
  }
}

// A block for each expert, of which every warp has a range of all pairs. Its first place is the
// number of pairs with smaller experts; from there on its own pairs come in their order.
__global__ void __launch_bounds__(kGroupThreads) group_pairs(const Pairs p) {
  __shared__ int smaller[kGroupWarps], own[kGroupWarps];
  const auto expert = static_cast<int>(blockIdx.x);
  const int warp = static_cast<int>(threadIdx.x) / kWarp,
            lane = static_cast<int>(threadIdx.x) % kWarp;
  constexpr int kAtOnce = kWarp * kQuad;
  const int64_t steps = (p.count + kAtOnce - 1) / kAtOnce;
  const int64_t begin = steps * warp / kGroupWarps * kAtOnce;
  const int64_t end = steps * (warp + 1) / kGroupWarps * kAtOnce;

  int counts[2] = {};  // of this lane: of smaller experts, and of its own
  for (int64_t first = begin + lane * kQuad; first < end; first += kAtOnce) {
    int experts[kQuad];
    load_quad(p, first, experts);
#pragma unroll
    for (const int e : experts) {
      counts[0] += e < expert ? 1 : 0;
      counts[1] += e == expert ? 1 : 0;
    }
  }
  const int of_smaller = __reduce_add_sync(~0U, counts[0]);
  const int of_own = __reduce_add_sync(~0U, counts[1]);
  if (lane == 0) {
    smaller[warp] = of_smaller;
    own[warp] = of_own;
  }
  __syncthreads();
  const int expert_begin = __reduce_add_sync(~0U, smaller[lane]);
  if (threadIdx.x == 0) {
    p.begin[expert] = expert_begin;
    if (expert == 0) p.begin[p.experts] = static_cast<int32_t>(p.count);
  }
  if (of_own == 0) return;
  int next = expert_begin + __reduce_add_sync(~0U, lane < warp ? own[lane] : 0);
  for (int64_t first = begin + lane * kQuad; first - lane * kQuad < end; first += kAtOnce) {
    int experts[kQuad];
    load_quad(p, first, experts);
    int mine = 0;  // pairs of this lane
#pragma unroll
    for (const int e : experts) mine += e == expert ? 1 : 0;
    const int through = sum_through(mine);
    int place = next + through - mine;
    next += __shfl_sync(~0U, through, kWarp - 1);
#pragma unroll
    for (int i = 0; i < kQuad; ++i) {
      if (experts[i] != expert) continue;
      p.places[first + i] = place;
      p.tokens[place++] = static_cast<int32_t>((first + i) / p.each);
    }
  }
}

// A thread has a pack of a token's columns.
template <class T>
__global__ void __launch_bounds__(kThreads)
    expert_sum(Rows<const T> pairs, Rows<const int32_t> places, Rows<const float> weights, int each,
               int64_t tokens, int64_t width, bool aligned, Rows<T> out) {
  const int64_t packs = (width + kPack - 1) / kPack;
  for (int64_t i = int64_t{blockIdx.x} * kThreads + threadIdx.x; i < tokens * packs;
       i += int64_t{gridDim.x} * kThreads) {
    const int64_t t = i / packs, column = i % packs * kPack;
    float sums[kPack] = {};
#pragma unroll 4
    for (int k = 0; k < each; ++k) {
      float values[kPack];
      load_pack(pairs[places[t][k]] + column, aligned, width - column, values);
      const float weight = weights[t][k];
#pragma unroll
      for (int j = 0; j < kPack; ++j) sums[j] = fmaf(weight, values[j], sums[j]);
    }
    store_pack(out[t] + column, aligned, width - column, sums);
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
                    .aligned = starts_at_pack<kQuad>(op.chosen),
                    .count = op.chosen.shape.elements(),
                    .each = static_cast<int>(op.chosen.row_size()),
                    .experts = experts,
                    .begin = op.begin.as<int32_t>(),
                    .tokens = op.tokens.as<int32_t>(),
                    .places = op.places.as<int32_t>()};
  launch(context, {.blocks = static_cast<unsigned>(experts), .threads = kGroupThreads}, group_pairs,
         pairs);
}

void run(Context& context, const op::ExpertSum& op) {
  const int64_t width = op.out.row_size(), packs = op.out.rows() * divide_up(width, kPack);
  with_activation_type(op.out.dtype, [&]<class T>(TypeTag<T>) {
    launch(context,
           {.blocks = static_cast<unsigned>(divide_up(packs, kThreads)), .threads = kThreads},
           expert_sum<T>, rows_of<const T>(op.pairs), rows_of<const int32_t>(op.places),
           rows_of<const float>(op.weights), static_cast<int>(op.places.row_size()), op.out.rows(),
           width, packs_fit<kPack>(width, op.pairs, op.out), rows_of<T>(op.out));
  });
}

void run(Context& context, const op::GateRows& op) {
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    launch(context, {.blocks = static_cast<unsigned>(op.x.rows()), .threads = kThreads},
           gate_rows<T>, rows_of<T>(op.x), rows_of<const float>(op.gate), op.x.row_size());
  });
}

}  // namespace spate::cuda
