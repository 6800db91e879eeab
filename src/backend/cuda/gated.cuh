// What a gate does to an element beside it: activation(gate) * up.
#pragma once

#include "backend/ops/linear.h"

namespace spate::cuda {

// x / (1 + e^-x)
struct SiluTimes {
  __device__ float operator()(float gate, float up) const { return gate / (1 + expf(-gate)) * up; }
};

// 0.5 * x * (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2 / pi) * (x + 0.044715 * x^3): no
// difference of close numbers.
struct GeluTanhTimes {
  __device__ float operator()(float gate, float up) const {
    const float inner = fmaf(gate * gate, 0.044715F, 1) * gate;
    return gate / (1 + expf(inner * (-2 * 0.7978845608F))) * up;
  }
};

struct ClippedSiluTimes {
  __device__ float operator()(float gate, float up) const {
    const float g = gate > kLimit ? kLimit : gate;  // a NaN stays one
    const float u = up > kLimit ? kLimit : up < -kLimit ? -kLimit : up;
    return g / (1 + expf(-op::kClippedSlope * g)) * (u + 1);
  }
  static constexpr float kLimit = op::kClippedLimit;
};

// Any of them, for kernels that do much else.
__device__ inline float gate_times(op::Activation activation, float gate, float up) {
  switch (activation) {
    case op::Activation::silu: return SiluTimes{}(gate, up);
    case op::Activation::gelu_tanh: return GeluTanhTimes{}(gate, up);
    default: return ClippedSiluTimes{}(gate, up);
  }
}

}  // namespace spate::cuda
