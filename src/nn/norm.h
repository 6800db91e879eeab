// RMS norm with the layer's own weight.
#pragma once

#include "load/source.h"
#include "nn/step.h"

namespace spate {

class RmsNorm {
 public:
  RmsNorm(const Source& source, int64_t width, float eps)
      : RmsNorm(source.vector("weight", width), eps) {}
  RmsNorm(Vector weight, float eps) : weight_(std::move(weight)), eps_(eps) {}

  // out = norm(x); both [T, C]
  void forward(Step& step, Tensor x, Tensor out) const {
    step.backend.run(op::RmsNorm{.x = x, .weight = weight_.view, .out = out, .eps = eps_});
  }
  // residual += x, then out = norm(residual): one fused op
  void after_add(Step& step, Tensor residual, Tensor x, Tensor out) const {
    step.backend.run(op::AddRmsNorm{
        .residual = residual, .x = x, .weight = weight_.view, .out = out, .eps = eps_});
  }
  Tensor weight() const { return weight_.view; }

 private:
  Vector weight_;
  float eps_;
};

}  // namespace spate
