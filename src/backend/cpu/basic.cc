// Ops that move or combine rows.
#include <algorithm>
#include <cstring>

#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"

namespace spate::cpu {

void run(Context& context, const op::GatherRows& op) {
  check(size_of(op.x.dtype) == sizeof(float), "rows of type ", name_of(op.x.dtype));
  const size_t bytes = static_cast<size_t>(op.x.row_size()) * sizeof(float);
  for_rows(context, op.rows.rows(), op.x.row_size(), [&](int64_t b, int /*thread*/) {
    std::memcpy(op.out.row<float>(b), op.x.row<float>(op.rows.as<int32_t>()[b]), bytes);
  });
}

void run(Context& context, const op::PutRows& op) {
  check(op.x.dtype == DType::f32, "rows of type ", name_of(op.x.dtype));
  const size_t bytes = static_cast<size_t>(op.x.row_size()) * sizeof(float);
  for_rows(context, op.rows.rows(), op.x.row_size(), [&](int64_t n, int /*thread*/) {
    std::memcpy(op.x.row<float>(op.index.as<int32_t>()[n]), op.rows.row<float>(n), bytes);
  });
}

void run(Context& /*context*/, const op::TakeDrawn& op) {
  auto* tokens = op.tokens.as<int32_t>();
  for (int64_t t = 0; t < op.tokens.rows(); ++t) {
    if (tokens[t] < 0) tokens[t] = std::max(op.drawn.as<int32_t>()[-1 - tokens[t]], 0);
  }
}

void run(Context& context, const op::Add& op) {
  const RowKernels& kernels = *context.kernels().rows;
  for_rows(context, op.a.rows(), op.a.row_size(), [&](int64_t t, int /*thread*/) {
    kernels.add(op.a.row<float>(t), op.b.row<float>(t), op.out.row<float>(t), op.a.row_size());
  });
}

void run(Context& context, const op::Scale& op) {
  const RowKernels& kernels = *context.kernels().rows;
  for_rows(context, op.x.rows(), op.x.row_size(), [&](int64_t t, int /*thread*/) {
    kernels.scale(op.x.row<float>(t), op.factor, op.x.row_size());
  });
}

void run(Context& context, const op::Gated& op) {
  const RowKernels& kernels = *context.kernels().rows;
  const auto kernel = activation_kernel(kernels, op.activation);
  for_rows(context, op.gate.rows(), op.gate.row_size(), [&](int64_t t, int /*thread*/) {
    kernel(op.gate.row<float>(t), op.up.row<float>(t), op.out.row<float>(t), op.gate.row_size());
  });
}

}  // namespace spate::cpu
