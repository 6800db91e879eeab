// Normalisation, alone, after an addition and with a gate. A block works on a row, or a warp on
// each of a few narrow ones. A thread keeps its first packs of the row in registers and reads the
// others again. Threads and the order of sums follow from the width alone.
#include <algorithm>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/f8_round.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kPack = kRoundedPack;  // elements
constexpr int kKept = kRoundedKept;  // packs
constexpr int kMostThreads = kMostRoundingThreads;

enum class Kind { plain, add, gate };

// Rows of `width` elements: `heads` to a row of the tensors.
template <class T>
struct Norm {
  Rows<const T> x;
  Rows<T> residual;      // add: x is added to it first
  Rows<const T> gate{};  // gate: what is normed is multiplied with its sigmoid
  Rows<T> out;
  const float* weight;  // [width]; gate: [heads, width]
  int64_t rows, heads, width;
  float eps;
  bool aligned;
  F8Rows rounded;  // with kRound: in place of out
};

// The sum over a row's threads; all get the same bits.
__device__ float row_sum(float value) {
  value = warp_sum(value);
  if (blockDim.x == kWarp) return value;
  __shared__ float of_warp[kMostThreads / kWarp];
  const int lane = threadIdx.x % kWarp;
  if (lane == 0) of_warp[threadIdx.x / kWarp] = value;
  __syncthreads();
  return warp_sum(lane < blockDim.x / kWarp ? of_warp[lane] : 0);
}

template <Kind kKind, bool kRound, class T>
__global__ void __launch_bounds__(kMostThreads) rms_norm(Norm<T> norm) {
  let_next_kernel_begin();
  wait_for_kernel_before();
  const int64_t row = int64_t{blockIdx.x} * blockDim.y + threadIdx.y;
  if (row >= norm.rows) return;
  const int64_t t = row / norm.heads, first = row % norm.heads * norm.width;
  const T* x = norm.x[t] + first;
  constexpr bool kAdd = kKind == Kind::add;
  T* residual = kAdd ? norm.residual[t] + first : nullptr;
  const float* weight = norm.weight + (kKind == Kind::gate ? first : 0);
  const int64_t step = int64_t{blockDim.x} * kPack;

  // What is normed, from column `i` on; after an addition, the sum as its type rounds it.
  const auto read = [&](int64_t i, float(&values)[kPack]) {
    load_pack(x + i, norm.aligned, norm.width - i, values);
    if constexpr (kAdd) {
      float old[kPack];
      load_pack(residual + i, norm.aligned, norm.width - i, old);
#pragma unroll
      for (int j = 0; j < kPack; ++j) values[j] = to_float(from_float<T>(old[j] + values[j]));
      store_pack(residual + i, norm.aligned, norm.width - i, values);
    }
  };
  float kept[kKept][kPack] = {}, sum = 0;
  int64_t i = threadIdx.x * kPack;
#pragma unroll
  for (int k = 0; k < kKept; ++k, i += step) {
    if (i >= norm.width) continue;
    read(i, kept[k]);
#pragma unroll
    for (int j = 0; j < kPack; ++j) sum = fmaf(kept[k][j], kept[k][j], sum);
  }
  for (; i < norm.width; i += step) {
    float values[kPack];
    read(i, values);
#pragma unroll
    for (int j = 0; j < kPack; ++j) sum = fmaf(values[j], values[j], sum);
  }
  const float factor = 1 / sqrtf(row_sum(sum) / static_cast<float>(norm.width) + norm.eps);

  const auto scale = [&](int64_t at, float(&values)[kPack]) {
    float weights[kPack];
    load_pack(weight + at, norm.aligned, norm.width - at, weights);
#pragma unroll
    for (int j = 0; j < kPack; ++j) values[j] = values[j] * factor * weights[j];
    if constexpr (kKind == Kind::gate) {
      float gates[kPack];
      load_pack(norm.gate[t] + first + at, norm.aligned, norm.width - at, gates);
#pragma unroll
      for (int j = 0; j < kPack; ++j) values[j] /= 1 + expf(-gates[j]);
    }
  };
  if constexpr (kRound) {  // all of the row is kept
    i = threadIdx.x * kPack;
#pragma unroll
    for (int k = 0; k < kKept; ++k, i += step) {
      if (i < norm.width) scale(i, kept[k]);
#pragma unroll
      for (float& value : kept[k]) value = to_float(from_float<T>(value));
    }
    return round_kept(norm.rounded, row, kept);
  }
  const auto write = [&](int64_t at, float(&values)[kPack]) {
    scale(at, values);
    store_pack(norm.out[t] + first + at, norm.aligned, norm.width - at, values);
  };
  i = threadIdx.x * kPack;
#pragma unroll
  for (int k = 0; k < kKept; ++k, i += step) {
    if (i < norm.width) write(i, kept[k]);
  }
  for (; i < norm.width; i += step) {
    float values[kPack];
    load_pack((kAdd ? residual : x) + i, norm.aligned, norm.width - i, values);
    write(i, values);
  }
}

template <Kind kKind, class T>
void run_norm(const Context& context, const Norm<T>& norm) {
  if (norm.rounded.codes != nullptr) {
    return launch_early(
        context,
        {.blocks = static_cast<unsigned>(norm.rows), .threads = rounding_threads(norm.width)},
        rms_norm<kKind, true, T>, norm);
  }
  const int64_t wanted = divide_up(norm.width, kKept * kPack);
  const auto threads = static_cast<unsigned>(
      std::clamp<int64_t>(divide_up(wanted, kWarp) * kWarp, kWarp, kMostThreads));
  const unsigned together = threads == kWarp ? 4 : 1;  // rows of a block
  launch_early(context,
               {.blocks = static_cast<unsigned>(divide_up(norm.rows, together)),
                .threads = dim3(threads, together)},
               rms_norm<kKind, false, T>, norm);
}

// Where `rounded` has codes, they are written in place of out.
void run_norm(const Context& context, const op::RmsNorm& op, const F8Rows& rounded) {
  const int64_t width = op.weight.rows(), heads = width == 0 ? 0 : op.x.row_size() / width;
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    run_norm<Kind::plain>(context, Norm<T>{.x = rows_of<const T>(op.x),
                                           .residual = {},
                                           .out = rows_of<T>(op.out),
                                           .weight = op.weight.as<float>(),
                                           .rows = op.x.rows() * heads,
                                           .heads = heads,
                                           .width = width,
                                           .eps = op.eps,
                                           .aligned = packs_fit<kPack>(width, op.x, op.out) &&
                                                      starts_at_pack<kPack>(op.weight),
                                           .rounded = rounded});
  });
}

void run_norm(const Context& context, const op::AddRmsNorm& op, const F8Rows& rounded) {
  const int64_t width = op.weight.rows();
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    run_norm<Kind::add>(context,
                        Norm<T>{.x = rows_of<const T>(op.x),
                                .residual = rows_of<T>(op.residual),
                                .out = rows_of<T>(op.out),
                                .weight = op.weight.as<float>(),
                                .rows = op.x.rows(),
                                .heads = 1,
                                .width = width,
                                .eps = op.eps,
                                .aligned = packs_fit<kPack>(width, op.x, op.residual, op.out) &&
                                           starts_at_pack<kPack>(op.weight),
                                .rounded = rounded});
  });
}

void run_norm(const Context& context, const op::GatedGroupNorm& op) {
  const int64_t width = op.weight.rows() / op.groups;
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    run_norm<Kind::gate>(context,
                         Norm<T>{.x = rows_of<const T>(op.x),
                                 .residual = {},
                                 .gate = rows_of<const T>(op.gate),
                                 .out = rows_of<T>(op.out),
                                 .weight = op.weight.as<float>(),
                                 .rows = op.x.rows() * op.groups,
                                 .heads = op.groups,
                                 .width = width,
                                 .eps = op.eps,
                                 .aligned = packs_fit<kPack>(width, op.x, op.gate, op.out) &&
                                            starts_at_pack<kPack>(op.weight)});
  });
}

// A row of which each thread's packs are all kept is rounded where it is normed.
template <class Op>
void run_rounded(Context& context, const op::Rounded<Op>& op) {
  const int64_t width = op.op.out.row_size();
  if (op.op.x.shape.rank() == 2 && rounding_keeps(width)) {
    return run_norm(context, op.op, f8_rows(op.to, width));
  }
  run(context, op.op);
  run(context, op::RoundRows{.x = op.op.out, .to = op.to});
}

}  // namespace

void run(Context& context, const op::GatedGroupNorm& op) { run_norm(context, op); }
void run(Context& context, const op::RmsNorm& op) { run_norm(context, op, {}); }
void run(Context& context, const op::AddRmsNorm& op) { run_norm(context, op, {}); }
void run(Context& context, const op::Rounded<op::RmsNorm>& op) { run_rounded(context, op); }
void run(Context& context, const op::Rounded<op::AddRmsNorm>& op) { run_rounded(context, op); }

}  // namespace spate::cuda
