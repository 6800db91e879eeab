#include "nn/latent_attention.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "nn/rope.h"

namespace spate {
namespace {

constexpr float kInnerEps = 1e-6F;  // of the norms of latents, whatever the config says

// Places elements of plain floats as a weight of `out` rows: element (row, column) is the stored
// one of that index.
Weight place_picked(Backend& backend, const HostTensor& stored, int64_t out, int64_t in,
                    const std::function<int64_t(int64_t row, int64_t column)>& index) {
  const auto size = static_cast<size_t>(stored.format->block_bytes);
  std::vector<std::byte> bytes(static_cast<size_t>(out * in) * size);
  std::byte* to = bytes.data();
  for (int64_t row = 0; row < out; ++row) {
    for (int64_t column = 0; column < in; ++column, to += size) {
      std::memcpy(to, stored.bytes.data() + static_cast<size_t>(index(row, column)) * size, size);
    }
  }
  return backend.place({.format = stored.format, .out = out, .in = in, .bytes = bytes.data()});
}

Weight place(Backend& backend, const HostTensor& stored) {
  return backend.place({.format = stored.format,
                        .out = stored.shape[0],
                        .in = stored.shape[1],
                        .bytes = stored.bytes.data()});
}

}  // namespace

LatentAttention::LatentAttention(const Source& source, const Config& config, const Rope& rope,
                                 int64_t layer)
    : heads_(config.heads),
      head_width_(config.head_width),
      turned_width_(config.rope_width),
      latent_(config.latent),
      key_(source / "kv_a_proj_with_mqa", latent_.rank + turned_width_, config.width,
           {config.qkv_bias}),
      o_(source / "o_proj", config.width, heads_ * latent_.value_width, {config.output_bias}),
      latent_norm_(source / "kv_a_layernorm", latent_.rank, kInnerEps),
      rope_(rope),
      layer_(layer),
      scale_(latent_score_factor(config) / std::sqrt(static_cast<float>(head_width_))) {
  const int64_t width = heads_ * head_width_;
  if (latent_.query_rank == 0) {
    q_.emplace(source / "q_proj", width, config.width, Linear::Options{});
  } else {
    q_in_.emplace(source / "q_a_proj", latent_.query_rank, config.width,
                  Linear::Options{config.qkv_bias});
    q_norm_.emplace(source / "q_a_layernorm", latent_.query_rank, kInnerEps);
    q_out_.emplace(source / "q_b_proj", width, latent_.query_rank, Linear::Options{});
  }

  if (latent_.apart) {
    into_latents_ =
        place(source.backend(),
              (source / "k_b_proj").plain("weight", heads_ * latent_.rank, latent_.plain_width));
    out_of_latents_ =
        place(source.backend(),
              (source / "v_b_proj").plain("weight", heads_ * latent_.value_width, latent_.rank));
    return;
  }
  // Rows of a head: from the latent to the key's plain elements, then to its value.
  const int64_t plain = latent_.plain_width, value = latent_.value_width, rank = latent_.rank;
  const int64_t of_head = plain + value;
  const HostTensor stored = (source / "kv_b_proj").plain("weight", heads_ * of_head, rank);
  into_latents_ = place_picked(source.backend(), stored, heads_ * rank, plain,
                               [&](int64_t row, int64_t column) {
                                 return (row / rank * of_head + column) * rank + row % rank;
                               });
  out_of_latents_ = place_picked(
      source.backend(), stored, heads_ * value, rank, [&](int64_t row, int64_t column) {
        return (row / value * of_head + plain + row % value) * rank + column;
      });
}

void LatentAttention::make_queries(Step& step, Tensor x, Tensor queries) const {
  const Tensor flat = queries.columns(0, {heads_ * head_width_});
  if (q_) {
    q_->forward(step, x, flat);
  } else {
    auto frame = step.scratch.frame();
    const Tensor low = step.take({step.tokens(), latent_.query_rank});
    q_in_->forward(step, x, low);
    q_norm_->forward(step, low, low);
    q_out_->forward(step, low, flat);
  }
  step.backend.run(op::RopeApply{.x = queries,
                                 .positions = step.batch.positions,
                                 .rope = rope_,
                                 .begin = latent_.plain_width});
}

void LatentAttention::write_keys(Step& step, Tensor x) const {
  auto frame = step.scratch.frame();
  const int64_t width = latent_.rank + turned_width_;
  const Tensor key = step.take({step.tokens(), width});
  key_.forward(step, x, key);
  const Tensor latent = key.columns(0, {latent_.rank});
  latent_norm_.forward(step, latent, latent);
  step.backend.run(op::RopeApply{.x = key.columns(latent_.rank, {1, turned_width_}),
                                 .positions = step.batch.positions,
                                 .rope = rope_});
  step.backend.run(op::KvWrite{.key = key.columns(0, {1, width}), .kv = step.kv_view(layer_)});
}

void LatentAttention::forward(Step& step, const Operand& x, Tensor out) const {
  auto frame = step.scratch.frame();
  const int64_t tokens = step.tokens(), width = latent_.rank + turned_width_;
  const Tensor absorbed = step.take({tokens, heads_, width});
  write_keys(step, x.rows);
  {
    auto of_queries = step.scratch.frame();
    const Tensor queries = step.take({tokens, heads_, head_width_});
    make_queries(step, x.rows, queries);
    step.backend.run(op::LinearHeads{.x = queries, .weight = &into_latents_, .out = absorbed});
  }
  const Tensor mixed = step.take({tokens, heads_, latent_.rank});
  step.backend.run(
      op::Attention{.q = absorbed, .out = mixed, .kv = step.kv_view(layer_), .scale = scale_});
  const Tensor values = step.take({tokens, heads_, latent_.value_width});
  step.backend.run(op::LinearHeads{.x = mixed, .weight = &out_of_latents_, .out = values});
  o_.forward(step, values.columns(0, {heads_ * latent_.value_width}), out);
}

KvNeeds LatentAttention::kv_needs(const Config& config) {
  return {.layers = config.layers,
          .kv_heads = 1,
          .head_width = config.latent.rank + config.rope_width,
          .latent_width = config.latent.rank};
}

int64_t LatentAttention::scratch_width(const Config& config) {
  const Latent& latent = config.latent;
  const int64_t key = latent.rank + config.rope_width;
  const int64_t queries = config.heads * config.head_width + latent.query_rank;
  const int64_t values = config.heads * (latent.rank + latent.value_width);
  return config.heads * key + std::max({key, queries, values});
}

}  // namespace spate
