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
  unsigned rows, heads;
  int width;
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

template <Kind kKind, bool kRound, bool kAligned, class T>
__global__ void __launch_bounds__(kMostThreads) rms_norm(Norm<T> norm) {
  let_next_kernel_begin();
  constexpr bool kAdd = kKind == Kind::add;
  const unsigned row = blockIdx.x * blockDim.y + threadIdx.y;
  const unsigned t = kAdd ? row : row / norm.heads;
  const int width = norm.width, first = kAdd ? 0 : static_cast<int>(row % norm.heads) * width;
  const int own = static_cast<int>(threadIdx.x) * kPack,
            step = static_cast<int>(blockDim.x) * kPack;
  const float* weight = norm.weight + (kKind == Kind::gate ? first : 0);
  float weights[kKept][kPack];  // no kernel writes them, so they are read before the wait
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = own + k * step;
    if (i < width) load_pack(weight + i, kAligned, width - i, weights[k]);
  }
  wait_for_kernel_before();
  if (row >= norm.rows) return;
  const T* x = norm.x[t] + first;
  T* residual = kAdd ? norm.residual[t] + first : nullptr;
  T* out = norm.out[t] + first;

  using Pack = KeptPack<T, kPack>;
  const auto load = [&](int i, Pack& pack, Pack& old) {
    pack.load(x + i, kAligned, width - i);
    if constexpr (kAdd) old.load(residual + i, kAligned, width - i);
  };
  // Makes a pack what is normed: after an addition, the sum as its type rounds it.
  float sum = 0;
  const auto add = [&](int i, Pack& pack, const Pack& old) {
    float values[kPack];
    pack.take(values);
    if constexpr (kAdd) {
      float others[kPack];
      old.take(others);
#pragma unroll
      for (int j = 0; j < kPack; ++j) values[j] = others[j] + values[j];
      pack.keep(values);
      pack.store(residual + i, kAligned, width - i);
      pack.take(values);
    }
#pragma unroll
    for (int j = 0; j < kPack; ++j) sum = fmaf(values[j], values[j], sum);
  };
  // All loads come before the first store: behind it they would wait, lest they read what it wrote.
  Pack kept[kKept], old[kKept];
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    if (own + k * step < width) load(own + k * step, kept[k], old[k]);
  }
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    if (own + k * step < width) add(own + k * step, kept[k], old[k]);
  }
  if constexpr (!kRound) {
    for (int i = own + kKept * step; i < width; i += step) {
      Pack pack, other;
      load(i, pack, other);
      add(i, pack, other);
    }
  }
  const float factor = 1 / sqrtf(row_sum(sum) / static_cast<float>(width) + norm.eps);

  const auto scale = [&](int i, Pack& pack, const float(&by)[kPack]) {
    float values[kPack];
    pack.take(values);
#pragma unroll
    for (int j = 0; j < kPack; ++j) values[j] = values[j] * factor * by[j];
    if constexpr (kKind == Kind::gate) {
      float gates[kPack];
      load_pack(norm.gate[t] + first + i, kAligned, width - i, gates);
#pragma unroll
      for (int j = 0; j < kPack; ++j) values[j] /= 1 + expf(-gates[j]);
    }
    pack.keep(values);
  };
#pragma unroll
  for (int k = 0; k < kKept; ++k) {
    const int i = own + k * step;
    if (i < width) {
      scale(i, kept[k], weights[k]);
      if constexpr (!kRound) kept[k].store(out + i, kAligned, width - i);
    } else {
      kept[k] = {};
    }
  }
  if constexpr (kRound) {  // all of the row is kept
    round_kept(norm.rounded, row, kept);
  } else {
    for (int i = own + kKept * step; i < width; i += step) {
      Pack pack;
      pack.load((kAdd ? residual : x) + i, kAligned, width - i);
      load_pack(weight + i, kAligned, width - i, weights[0]);
      scale(i, pack, weights[0]);
      pack.store(out + i, kAligned, width - i);
    }
  }
}

template <Kind kKind, bool kRound, class T>
void launch_norm(const Context& context, const Grid& grid, const Norm<T>& norm) {
  launch_early(context, grid,
               norm.aligned ? rms_norm<kKind, kRound, true, T> : rms_norm<kKind, kRound, false, T>,
               norm);
}

template <Kind kKind, class T>
void run_norm(const Context& context, const Norm<T>& norm) {
  if constexpr (kKind != Kind::gate) {
    if (norm.rounded.codes != nullptr) {
      return launch_norm<kKind, true>(
          context, {.blocks = norm.rows, .threads = rounding_threads(norm.width)}, norm);
    }
  }
  const int64_t wanted = divide_up(norm.width, kKept * kPack);
  const auto threads = static_cast<unsigned>(
      std::clamp<int64_t>(divide_up(wanted, kWarp) * kWarp, kWarp, kMostThreads));
  const unsigned together = threads == kWarp ? 4 : 1;  // rows of a block
  launch_norm<kKind, false>(context,
                            {.blocks = static_cast<unsigned>(divide_up(norm.rows, together)),
                             .threads = dim3(threads, together)},
                            norm);
}

// Where `rounded` has codes, they are written in place of out.
void run_norm(const Context& context, const op::RmsNorm& op, const F8Rows& rounded) {
  const int64_t width = op.weight.rows(), heads = width == 0 ? 0 : op.x.row_size() / width;
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    run_norm<Kind::plain>(context, Norm<T>{.x = rows_of<const T>(op.x),
                                           .residual = {},
                                           .out = rows_of<T>(op.out),
                                           .weight = op.weight.as<float>(),
                                           .rows = static_cast<unsigned>(op.x.rows() * heads),
                                           .heads = static_cast<unsigned>(heads),
                                           .width = static_cast<int>(width),
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
                                .rows = static_cast<unsigned>(op.x.rows()),
                                .heads = 1,
                                .width = static_cast<int>(width),
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
                                 .rows = static_cast<unsigned>(op.x.rows() * op.groups),
                                 .heads = static_cast<unsigned>(op.groups),
                                 .width = static_cast<int>(width),
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
