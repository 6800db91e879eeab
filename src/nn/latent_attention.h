// Multi-head latent attention (DeepSeek-V2): H query heads on one key for all of them, whose first
// `rank` elements, the latent, are also its value. What turns a latent into the keys and values of
// a head is folded into queries and outputs: a query goes into the latents' space before attention,
// and the mixed latents come out of it after. So the cache holds rank + R elements a token.
#pragma once

#include <optional>

#include "nn/linear.h"
#include "nn/norm.h"

namespace spate {

class LatentAttention {
 public:
  LatentAttention(const Source& source, const Config& config, const Rope& rope, int64_t layer);

  // Queries and keys come from plain rows.
  Operand operand(Step& /*step*/, Tensor rows) const { return rows; }

  // out [T, C] = attention(x [T, C]); writes the step's keys to the cache. out may be x.
  void forward(Step& step, const Operand& x, Tensor out) const;

  static KvNeeds kv_needs(const Config& config);
  // Elements of scratch that forward takes for a token.
  static int64_t scratch_width(const Config& config);

 private:
  void make_queries(Step& step, Tensor x, Tensor queries) const;  // [T, H, D], turned
  void write_keys(Step& step, Tensor x) const;

  int64_t heads_, head_width_, turned_width_;
  Latent latent_;
  std::optional<Linear> q_;             // without query latents
  std::optional<Linear> q_in_, q_out_;  // with
  std::optional<RmsNorm> q_norm_;
  Linear key_, o_;
  RmsNorm latent_norm_;
  Weight into_latents_;    // [H * rank, plain]
  Weight out_of_latents_;  // [H * value, rank]
  Rope rope_;              // its frequencies belong to the model
  int64_t layer_;
  float scale_;
};

}  // namespace spate
