// Normalisation, alone and after an addition.
#include <cmath>

#include "backend/cpu/ops.h"

namespace spate::cpu {

void run(Context& /*context*/, const op::RmsNorm& op) {
  const int64_t width = op.weight.rows();
  const int64_t heads = op.x.row_size() / width;
  for (int64_t t = 0; t < op.x.rows(); ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      const float* x = op.x.row<float>(t) + h * width;
      float* out = op.out.row<float>(t) + h * width;
      float squares = 0;
      for (int64_t i = 0; i < width; ++i) squares += x[i] * x[i];
      const float factor = 1 / std::sqrt(squares / static_cast<float>(width) + op.eps);
      for (int64_t i = 0; i < width; ++i) out[i] = x[i] * factor * op.weight.as<float>()[i];
    }
  }
}

void run(Context& context, const op::AddRmsNorm& op) {
  run(context, op::Add{.a = op.residual, .b = op.x, .out = op.residual});
  run(context, op::RmsNorm{.x = op.residual, .weight = op.weight, .out = op.out, .eps = op.eps});
}

}  // namespace spate::cpu
