// What a gate does to an element beside it: activation(gate) * up.
#pragma once

#include "backend/cuda/mma.cuh"
#include "backend/ops/linear.h"

namespace spate::cuda {

// x / (1 + e^y).
struct ExactRatio {
  __device__ float operator()(float x, float y) const { return x / (1 + expf(y)); }
};
// To about 20 bits, and 0 beyond y of 87: for results that are rounded to bf16.
struct FastRatio {
  __device__ float operator()(float x, float y) const {
    return x * inverse_fast(1 + exp2_fast(y * kLog2E));
  }
};

// x / (1 + e^-x)
template <class Ratio>
struct SiluTimes {
  __device__ float operator()(float gate, float up) const { return Ratio{}(gate, -gate) * up; }
};

// 0.5 * x * (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2 / pi) * (x + 0.044715 * x^3): no
// difference of close numbers.
template <class Ratio>
struct GeluTanhTimes {
  __device__ float operator()(float gate, float up) const {
    const float inner = fmaf(gate * gate, 0.044715F, 1) * gate;
    return Ratio{}(gate, inner * (-2 * 0.7978845608F)) * up;
  }
};

template <class Ratio>
struct ClippedSiluTimes {
  __device__ float operator()(float gate, float up) const {
    const float g = gate > kLimit ? kLimit : gate;  // a NaN stays one
    const float u = up > kLimit ? kLimit : up < -kLimit ? -kLimit : up;
    return Ratio{}(g, -op::kClippedSlope * g) * (u + 1);
  }
  static constexpr float kLimit = op::kClippedLimit;
};

// Calls f(TypeTag<Gate>) for the activation; results are of type T.
#pragma nv_exec_check_disable
template <class T, class F>
__host__ __device__ auto with_gate(op::Activation activation, const F& f) {
  using Ratio = std::conditional_t<std::is_same_v<T, float>, ExactRatio, FastRatio>;
  switch (activation) {
    case op::Activation::silu: return f(TypeTag<SiluTimes<Ratio>>{});
    case op::Activation::gelu_tanh: return f(TypeTag<GeluTanhTimes<Ratio>>{});
    case op::Activation::clipped_silu: return f(TypeTag<ClippedSiluTimes<Ratio>>{});
  }
}

}  // namespace spate::cuda
