// A matrix product with the layer's own weight and, where the checkpoint has one, bias.
#pragma once

#include "load/source.h"
#include "nn/step.h"

namespace spate {

class Linear {
 public:
  struct Options {
    bool bias = false;
    bool of_layer = true;  // see HostWeight
  };
  Linear(const Source& source, int64_t out, int64_t in, Options options)
      : weight_(source.weight("weight", out, in, options.of_layer)) {
    if (options.bias) bias_ = source.vector("bias", out);
  }

  // out [T, O] = x [T, I] * weight^T + bias
  void forward(Step& step, Tensor x, Tensor out) const {
    step.backend.run(op::Linear{.x = x, .weight = &weight_, .bias = bias_.view, .out = out});
  }
  // As one of several products of the same x.
  op::LinearQkv::Part part(Tensor out) const {
    return {.weight = &weight_, .bias = bias_.view, .out = out};
  }
  const Weight& weight() const { return weight_; }

 private:
  Weight weight_;
  Vector bias_;
};

}  // namespace spate
