// A gated activation whose results are rounded to eight bits: threads keep the packs of a row
// between both.
#include "backend/cuda/gated.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/f8_round.cuh"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

template <class T>
struct GatedRows {
  Rows<const T> gate, up;
  bool aligned;
  F8Rows to;
};

// A block takes a row. Packs of 16 bits take so few registers that a multiprocessor has two blocks
// of any size, of which one loads while the other stores.
template <class T, class Gate>
__global__ void __launch_bounds__(kMostRoundingThreads, sizeof(T) == 2 ? 2 : 1)
    round_gated(GatedRows<T> rows) {
  let_next_kernel_begin();
  wait_for_kernel_before();
  const int64_t row = blockIdx.x, width = rows.to.width;
  const auto column = [&](int k) { return (int64_t{k} * blockDim.x + threadIdx.x) * kRoundedPack; };
  KeptPack<T, kRoundedPack> kept[kRoundedKept] = {}, ups[kRoundedKept];
#pragma unroll
  for (int k = 0; k < kRoundedKept; ++k) {
    const int64_t count = width - column(k);
    if (count <= 0) continue;
    kept[k].load(rows.gate[row] + column(k), rows.aligned, count);
    ups[k].load(rows.up[row] + column(k), rows.aligned, count);
  }
#pragma unroll
  for (int k = 0; k < kRoundedKept; ++k) {
    if (column(k) >= width) continue;
    RoundedPack values, others;
    kept[k].take(values);
    ups[k].take(others);
#pragma unroll
    for (int i = 0; i < kRoundedPack; ++i) values[i] = Gate{}(values[i], others[i]);
    kept[k].keep(values);
  }
  round_kept(rows.to, row, kept);
}

}  // namespace

void run(Context& context, const op::Rounded<op::Gated>& op) {
  const op::Gated& gated = op.op;
  const int64_t width = gated.out.row_size();
  if (!rounding_keeps(width)) {
    run(context, gated);
    return run(context, op::RoundRows{.x = gated.out, .to = op.to});
  }
  with_activation_type(gated.out.dtype, [&]<class T>(TypeTag<T>) {
    const GatedRows<T> rows{rows_of<const T>(gated.gate), rows_of<const T>(gated.up),
                            packs_fit<kRoundedPack>(width, gated.gate, gated.up),
                            f8_rows(op.to, width)};
    with_gate<T>(gated.activation, [&]<class Gate>(TypeTag<Gate>) {
      launch_early(
          context,
          {.blocks = static_cast<unsigned>(rows.to.rows), .threads = rounding_threads(width)},
          round_gated<T, Gate>, rows);
    });
  });
}

}  // namespace spate::cuda
