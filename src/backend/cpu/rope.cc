// Rotary positions, and the writing of keys and values to their slots.
#include <cmath>

#include "backend/cpu/ops.h"
#include "tensor/half.h"

namespace spate::cpu {
namespace {

void store(DType type, void* to, int64_t index, float value) {
  switch (type) {
    case DType::f16: static_cast<uint16_t*>(to)[index] = f32_to_f16(value); break;
    case DType::bf16: static_cast<uint16_t*>(to)[index] = f32_to_bf16(value); break;
    default: static_cast<float*>(to)[index] = value; break;
  }
}

}  // namespace

void run(Context& /*context*/, const op::RopeApply& op) {
  const int64_t heads = op.x.shape[1];
  const int64_t width = op.x.shape[2];
  const int64_t pairs = op.rope.frequencies.rows();
  const bool halves = op.rope.pairs == RopePairs::halves;
  for (int64_t t = 0; t < op.x.rows(); ++t) {
    for (int64_t h = 0; h < heads; ++h) {
      float* x = op.x.row<float>(t) + h * width;
      for (int64_t i = 0; i < pairs; ++i) {
        const double angle = static_cast<double>(op.positions.as<int32_t>()[t]) *
                             static_cast<double>(op.rope.frequencies.as<float>()[i]);
        const float cosine = static_cast<float>(std::cos(angle)) * op.rope.magnitude;
        const float sine = static_cast<float>(std::sin(angle)) * op.rope.magnitude;
        float& a = halves ? x[i] : x[2 * i];
        float& b = halves ? x[i + pairs] : x[2 * i + 1];
        const float old = a;
        a = old * cosine - b * sine;
        b = old * sine + b * cosine;
      }
    }
  }
}

void run(Context& /*context*/, const op::KvWrite& op) {
  for (int64_t t = 0; t < op.key.rows(); ++t) {
    const int64_t slot = op.kv.slot.as<int32_t>()[t];
    for (int64_t i = 0; i < op.key.row_size(); ++i) {
      store(op.kv.keys.dtype, op.kv.keys.data, slot * op.kv.keys.row_stride + i,
            op.key.row<float>(t)[i]);
      store(op.kv.values.dtype, op.kv.values.data, slot * op.kv.values.row_stride + i,
            op.value.row<float>(t)[i]);
    }
  }
}

void run(Context& context, const op::QkvNormRopeWrite& op) {
  if (op.q_norm.data != nullptr) {
    run(context, op::RmsNorm{.x = op.q, .weight = op.q_norm, .out = op.q, .eps = op.eps});
    run(context, op::RmsNorm{.x = op.key, .weight = op.k_norm, .out = op.key, .eps = op.eps});
  }
  run(context, op::RopeApply{.x = op.q, .positions = op.positions, .rope = op.rope});
  run(context, op::RopeApply{.x = op.key, .positions = op.positions, .rope = op.rope});
  run(context, op::KvWrite{.key = op.key, .value = op.value, .kv = op.kv});
}

}  // namespace spate::cpu
