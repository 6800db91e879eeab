// RMS norm with the layer's own weight.
#pragma once

#include "nn/linear.h"

namespace spate {

class RmsNorm {
 public:
  RmsNorm(const Source& source, int64_t width, float eps)
      : RmsNorm(source.vector("weight", width), eps) {}
  RmsNorm(Vector weight, float eps) : weight_(std::move(weight)), eps_(eps) {}

  // out = norm(x); both [T, C]
  void forward(Step& step, Tensor x, const Operand& out) const {
    const op::RmsNorm norm{.x = x, .weight = weight_.view, .out = out.rows, .eps = eps_};
    run_rounded(step, norm, out);
  }
  // residual += x, then out = norm(residual): one fused op
  void after_add(Step& step, Tensor residual, Tensor x, const Operand& out) const {
    const op::AddRmsNorm norm{
        .residual = residual, .x = x, .weight = weight_.view, .out = out.rows, .eps = eps_};
    run_rounded(step, norm, out);
  }
  Tensor weight() const { return weight_.view; }

 private:
  Vector weight_;
  float eps_;
};

}  // namespace spate
