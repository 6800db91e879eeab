// Normalisation, alone, after an addition and with a gate.
#include <cmath>

#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"

namespace spate::cpu {

void run(Context& context, const op::RmsNorm& op) {
  const RowKernels& kernels = *context.kernels().rows;
  const int64_t width = op.weight.rows();
  for_rows(context, op.x.rows(), op.x.row_size(), [&](int64_t t, int /*thread*/) {
    for (int64_t i = 0; i < op.x.row_size(); i += width) {
      kernels.rms_norm(op.x.row<float>(t) + i, op.weight.as<float>(), op.out.row<float>(t) + i,
                       width, op.eps);
    }
  });
}

void run(Context& context, const op::AddRmsNorm& op) {
  const RowKernels& kernels = *context.kernels().rows;
  for_rows(context, op.x.rows(), op.x.row_size(), [&](int64_t t, int /*thread*/) {
    kernels.add_rms_norm(op.residual.row<float>(t), op.x.row<float>(t), op.weight.as<float>(),
                         op.out.row<float>(t), op.x.row_size(), op.eps);
  });
}

void run(Context& context, const op::GatedGroupNorm& op) {
  const RowKernels& kernels = *context.kernels().rows;
  const int64_t width = op.x.row_size(), of_group = width / op.groups;
  constexpr int64_t kWork = 16;  // of an element, in plain ones: an exponential
  for_rows(context, op.x.rows(), kWork * width, [&](int64_t t, int /*thread*/) {
    const float* gate = op.gate.row<float>(t);
    float* out = op.out.row<float>(t);
    for (int64_t i = 0; i < width; i += of_group) {
      kernels.rms_norm(op.x.row<float>(t) + i, op.weight.as<float>() + i, out + i, of_group,
                       op.eps);
    }
    for (int64_t i = 0; i < width; ++i) out[i] *= 1 / (1 + std::exp(-gate[i]));
  });
}

}  // namespace spate::cpu
