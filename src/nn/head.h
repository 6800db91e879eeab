// The two ends of a model: token ids to hidden rows, hidden rows to logits. A tied head multiplies
// with the embedding table itself.
#pragma once

#include <optional>

#include "nn/linear.h"
#include "nn/norm.h"

namespace spate {

class Embedding {
 public:
  Embedding(const Source& source, int64_t vocabulary, int64_t width)
      : table_(source.weight("weight", vocabulary, width)) {}
  void forward(Step& step, Tensor hidden) const {
    step.backend.run(op::Embed{.tokens = step.batch.tokens, .table = &table_, .out = hidden});
  }
  const Weight& table() const { return table_; }

 private:
  Weight table_;
};

class Head {
 public:
  // `tied` is the embedding table to share, or null: then lm_head.weight is read below `root`.
  Head(const Source& root, const Source& norm, const Config& config, const Weight* tied)
      : norm_(norm_weight(root, norm, config), config.norm_eps), shared_(tied) {
    if (tied == nullptr) {
      own_.emplace(root / "lm_head", config.vocabulary, config.width,
                   Linear::Options{.of_layer = false});
    }
  }
  // logits [B, V] = head(norm(rows [B, C])); rows are overwritten.
  void forward(Step& step, Tensor rows, Tensor logits) const {
    norm_.forward(step, rows, rows);
    const Weight& weight = shared_ != nullptr ? *shared_ : own_->weight();
    step.backend.run(op::Linear{.x = rows, .weight = &weight, .out = logits});
  }

 private:
  // A head whose columns have length one is the stored one behind a norm with weights that much
  // smaller.
  static Vector norm_weight(const Source& root, const Source& norm, const Config& config) {
    if (!config.normalized_head) return norm.vector("weight", config.width);
    std::vector<float> weight = norm.values("weight", config.width);
    const std::vector<float> lengths =
        (root / "lm_head").column_lengths("weight", config.vocabulary, config.width);
    constexpr float kLeast = 1e-7F;
    for (size_t i = 0; i < weight.size(); ++i) weight[i] /= lengths[i] + kLeast;
    return root.constant(weight);
  }

  RmsNorm norm_;
  std::optional<Linear> own_;
  const Weight* shared_;
};

}  // namespace spate
