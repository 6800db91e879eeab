// Normalisation. x may be [T, C], or [T, H, D] to norm each head by itself.
#pragma once

#include "backend/contract.h"

namespace spate::op {

// out = x / sqrt(mean(x^2) + eps) * weight, over the last axis (Zhang and Sennrich, 2019).
// out may be x.
struct RmsNorm {
  static constexpr std::string_view kName = "rms_norm";
  Tensor x;       // [T, C] or [T, H, D]
  Tensor weight;  // [C] or [D], f32
  Tensor out;     // like x
  float eps = 1e-6F;
  void contract() const {
    Dim T{"T"}, H{"H"}, C{"C"};
    if (x.shape.rank() == 3) {
      match("x", x, {T, H, C});
      match("out", out, x.dtype, {T, H, C});
    } else {
      match("x", x, {T, C});
      match("out", out, x.dtype, {T, C});
    }
    match("weight", weight, DType::f32, {C});
  }
  int64_t bytes() const { return 2 * x.bytes(); }
  int64_t flops() const { return 4 * x.shape.elements(); }
};

// Fused: residual += x, then out = RmsNorm(residual). Meaning: backend/fused.cc.
struct AddRmsNorm {
  static constexpr std::string_view kName = "add_rms_norm";
  Tensor residual;  // [T, C], in place
  Tensor x;         // [T, C]
  Tensor weight;    // [C], f32
  Tensor out;       // [T, C], may be x
  float eps = 1e-6F;
  void contract() const {
    Dim T{"T"}, C{"C"};
    match("residual", residual, {T, C});
    match("x", x, residual.dtype, {T, C});
    match("weight", weight, DType::f32, {C});
    match("out", out, residual.dtype, {T, C});
  }
  int64_t bytes() const { return 4 * x.bytes(); }
  int64_t flops() const { return 5 * x.shape.elements(); }
};

// out[t] = the RMS norm of each of `groups` equal parts of x[t], times weight / (1 + e^-gate[t]).
// out may be x.
struct GatedGroupNorm {
  static constexpr std::string_view kName = "gated_group_norm";
  Tensor x;       // [T, C]
  Tensor gate;    // [T, C]
  Tensor weight;  // [C], f32
  Tensor out;     // [T, C]
  int64_t groups = 1;
  float eps = 1e-6F;
  void contract() const {
    Dim T{"T"}, C{"C"};
    match("x", x, {T, C});
    match("gate", gate, x.dtype, {T, C});
    match("weight", weight, DType::f32, {C});
    match("out", out, x.dtype, {T, C});
    check(groups > 0 && C.value % groups == 0, "op contract: ", groups, " groups of ", C.value,
          " elements");
  }
  int64_t bytes() const { return 3 * x.bytes(); }
  int64_t flops() const { return 8 * x.shape.elements(); }
};

}  // namespace spate::op
