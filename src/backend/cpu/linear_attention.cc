// Linear attention: which thread takes which tile of columns of which head of which row. How the
// work is shared changes no bits; see kernels/linear_attention.h.
#include <cmath>

#include "backend/cpu/ops.h"

namespace spate::cpu {
namespace {

constexpr int64_t kAlone = 256 * 1024;  // elements of states that one thread goes through before
                                        // others wake up

template <class State>
LinearAttentionHead<State> head_of(const op::LinearAttention& op, int64_t b, int64_t h) {
  const int64_t begin = op.row_begin.as<int32_t>()[b], width = op.q.shape[2];
  const int32_t from = op.state_from.as<int32_t>()[b], to = op.state_to.as<int32_t>()[b];
  State* slots = op.state.as<State>() + h * width * width;
  return {.q = op.q.row<float>(begin) + h * width,
          .k = op.k.row<float>(begin) + h * width,
          .v = op.v.row<float>(begin) + h * width,
          .out = op.out.row<float>(begin) + h * width,
          .q_stride = op.q.row_stride,
          .k_stride = op.k.row_stride,
          .v_stride = op.v.row_stride,
          .out_stride = op.out.row_stride,
          .tokens = op.row_begin.as<int32_t>()[b + 1] - begin,
          .width = width,
          .decay = static_cast<float>(std::exp(-static_cast<double>(op.slope.as<float>()[h]))),
          .scale = op.scale,
          .from = from < 0 ? nullptr : slots + from * op.state.row_stride,
          .to = to < 0 ? nullptr : slots + to * op.state.row_stride,
          .each = op.state_each.data == nullptr ? nullptr : op.state_each.as<int32_t>() + begin,
          .slots = slots,
          .slot_stride = op.state.row_stride};
}

template <class State>
void run_heads(Context& context, const op::LinearAttention& op,
               void (*kernel)(const LinearAttentionHead<State>&, int64_t, State*)) {
  const int64_t rows = op.state_from.rows(), heads = op.q.shape[1], width = op.q.shape[2];
  const int64_t tiles = (width + kStateColumns - 1) / kStateColumns;
  const int64_t tasks = rows * heads * tiles;
  const size_t tile_bytes = static_cast<size_t>(kStateColumns * width) * sizeof(State);
  const auto run_task = [&](int64_t task, int thread) {
    const int64_t head = task / tiles;
    kernel(head_of<State>(op, head / heads, head % heads), task % tiles * kStateColumns,
           static_cast<State*>(context.scratch(thread, tile_bytes)));
  };
  if ((op.q.rows() + rows) * op.state.row_size() <= kAlone) {
    for (int64_t task = 0; task < tasks; ++task) run_task(task, 0);
  } else {
    context.pool().parallel(tasks, run_task);
  }
}

}  // namespace

void run(Context& context, const op::LinearAttention& op) {
  const LinearAttentionKernels& kernels = *context.kernels().linear_attention;
  switch (op.state.dtype) {
    case DType::f32: return run_heads(context, op, kernels.of_f32);
    case DType::bf16: return run_heads(context, op, kernels.of_bf16);
    default: check(false, "states of type ", name_of(op.state.dtype), ", expected f32 or bf16");
  }
}

}  // namespace spate::cpu
