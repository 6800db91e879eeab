// A matrix product with the layer's own weight and, where the checkpoint has one, bias.
#pragma once

#include <optional>
#include <span>

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

  // One of several products of the same x: where it lies below their common place.
  struct Part {
    std::string_view name;
    int64_t out;
  };
  // Those products as one, the outputs of each behind those of the one before; nothing where the
  // backend does not join them.
  static std::optional<Linear> joined(const Source& source, std::span<const Part> parts, int64_t in,
                                      Options options);

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
  Linear(Weight weight, Vector bias) : weight_(std::move(weight)), bias_(std::move(bias)) {}

  Weight weight_;
  Vector bias_;
};

inline std::optional<Linear> Linear::joined(const Source& source, std::span<const Part> parts,
                                            int64_t in, Options options) {
  const auto named = [&](std::string_view ending) {
    std::vector<Source::Part> out;
    for (const Part& part : parts) out.push_back({cat(part.name, ending), part.out});
    return out;
  };
  std::optional<Weight> weight = source.joined(named(".weight"), in, options.of_layer);
  if (!weight) return {};
  return Linear(std::move(*weight), options.bias ? source.joined_vector(named(".bias")) : Vector{});
}

}  // namespace spate
