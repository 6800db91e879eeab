// Ops that move or combine rows.
#include <cmath>
#include <cstring>

#include "backend/cpu/ops.h"

namespace spate::cpu {

void run(Context& /*context*/, const op::GatherRows& op) {
  const size_t bytes = static_cast<size_t>(op.x.row_size()) * size_of(op.x.dtype);
  for (int64_t b = 0; b < op.rows.rows(); ++b) {
    std::memcpy(op.out.row<float>(b), op.x.row<float>(op.rows.as<int32_t>()[b]), bytes);
  }
}

void run(Context& /*context*/, const op::Add& op) {
  for (int64_t t = 0; t < op.a.rows(); ++t) {
    for (int64_t i = 0; i < op.a.row_size(); ++i) {
      op.out.row<float>(t)[i] = op.a.row<float>(t)[i] + op.b.row<float>(t)[i];
    }
  }
}

void run(Context& /*context*/, const op::Scale& op) {
  for (int64_t t = 0; t < op.x.rows(); ++t) {
    for (int64_t i = 0; i < op.x.row_size(); ++i) op.x.row<float>(t)[i] *= op.factor;
  }
}

void run(Context& /*context*/, const op::Gated& op) {
  const auto activate = [&](float x) {
    if (op.activation == op::Activation::silu) return x / (1 + std::exp(-x));
    return 0.5F * x * (1 + std::tanh(0.7978845608F * (x + 0.044715F * x * x * x)));
  };
  for (int64_t t = 0; t < op.gate.rows(); ++t) {
    for (int64_t i = 0; i < op.gate.row_size(); ++i) {
      op.out.row<float>(t)[i] = activate(op.gate.row<float>(t)[i]) * op.up.row<float>(t)[i];
    }
  }
}

}  // namespace spate::cpu
