// The warpgroup of the `latent` kernel that multiplies queries with tiles of keys and turns the
// products into weights, which it leaves in shared memory for those that add up values.
#pragma once

#include "backend/cuda/attention/hopper_rows.cuh"
#include "backend/cuda/attention/latent_work.cuh"
#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {

// Where a lane stores, or loads, the 16 columns of a step in the tile of weights, for its warp's 16
// rows.
__device__ inline unsigned char* weight_place(LatentShared& shared, int step) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane % 16;
  return shared.weights + row * kSlabRowBytes + ((2 * step + lane / 16) ^ row % 8) * 16;
}

class LatentScores {
  using Scores = float[kLatentKeys / 8][4];

 public:
  __device__ LatentScores(LatentShared& shared, const AttentionProblem& problem,
                          const LatentWork& work)
      : shared_(shared),
        problem_(problem),
        work_(work),
        scale_(problem),
        lane_(static_cast<int>(threadIdx.x) % 32),
        row_(static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane_ / 4),
        rows_(problem, {}, row_) {}

  __device__ void weigh_share(const LatentShare& share) {
    for (LatentWalk walk(problem_, work_, share); walk.there(); walk.advance()) weigh_item(walk);
    wait_for_phase(&shared_.weights_empty, weights_parity_ ^ 1);
    if (row_ == 0 && lane_ == 0) shared_.item.tiles = 0;
    arrive(&shared_.weights_full);
  }

 private:
  __device__ void weigh_item(const LatentWalk& walk) {
    const LatentPlace& at = walk.at();
    const int begin = at.tile, end = walk.end_tile();
    item_ = {.tiles = end - begin,
             .end = begin > 0                ? LatentItem::End::of_first_piece
                    : end == at.tiles(work_) ? LatentItem::End::of_item
                                             : LatentItem::End::of_last_piece,
             .first_token = at.shape.first_token + at.first_token(work_),
             .tokens = at.tokens(work_)};
    position_ = at.position(work_);
    rows_ = HopperRows(problem_, {.position = position_, .step = 1}, row_);
    wait_for_phase(&shared_.queries_full, queries_parity_);
    queries_parity_ ^= 1;
    for (int tile = begin; tile < end; ++tile) {
      const bool first = tile == begin, last = tile + 1 == end;
      Scores scores;
      multiply(scores, last);
      weigh(scores, tile, first, last);
    }
  }

  // With the next tile of keys, the last of the item or not.
  __device__ void multiply(Scores& products, bool last) {
    const uint64_t queries = operand_at(uniform_address(shared_.queries), 0);
    const uint64_t keys = operand_at(uniform_address(shared_.keys[key_place_.slot]), 0);
    for_latent_groups([&]<int kGroup>(std::integral_constant<int, kGroup>) {
      wait_for_phase(shared_.keys_full[key_place_.slot] + kGroup, key_place_.parity);
      begin_products();
      bool add = kGroup > 0;
#pragma unroll
      for (int step = 0; step < kLatentWidth / 16; ++step) {
        if ((latent_slabs(kGroup) >> step / 4 & 1) == 0) continue;
        const int place = step / 4 * LatentLayout::kKeySlab + step % 4 * 32;
        multiply_shared<kLatentKeys>(products, operand_behind(queries, place),
                                     operand_behind(keys, place), add);
        add = true;
      }
      end_product_group();
    });
    wait_for_products<0>(products);
    if (lane_ == 0) {
      for (Barrier& group : shared_.keys_empty[key_place_.slot]) arrive(&group);
      if (last) arrive(&shared_.queries_empty);
    }
    key_place_.advance();
  }

  // Turns products into weights and leaves them, with what brings the sums before to their
  // references.
  __device__ void weigh(Scores& scores, int tile, bool first, bool last) {
    const int first_key = tile * kLatentKeys;
    if (scale_.cap > 0) cap_scores(scores, scale_);
    if (first_key + kLatentKeys - 1 > position_) rows_.hide(scores, first_key, false);
    float correction[2];
    rows_.weigh(scores, scale_.factor, correction);
    wait_for_phase(&shared_.weights_empty, weights_parity_ ^ 1);
    weights_parity_ ^= 1;
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      uint32_t weights[4];
      pack_weights<bf16>(weights, scores[2 * step], scores[2 * step + 1]);
      store_matrices(weight_place(shared_, step), weights);
    }
    if (lane_ % 4 == 0) {
      shared_.correction[row_] = correction[0];
      shared_.correction[row_ + 8] = correction[1];
    }
    if (first && row_ == 0 && lane_ == 0) shared_.item = item_;
    if (last) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = row_sum(rows_.sum[half]);
        if (lane_ % 4 == 0) shared_.stats[row_ + 8 * half] = {rows_.reference[half], sum};
      }
    }
    arrive(&shared_.weights_full);
  }

  LatentShared& shared_;
  const AttentionProblem& problem_;
  const LatentWork& work_;
  const HopperScale scale_;
  const int lane_, row_;
  HopperRows rows_;
  LatentItem item_;
  int position_;  // of the item's first token
  uint32_t weights_parity_ = 0, queries_parity_ = 0;
  RingPlace<LatentShared::kStages> key_place_;
};

}  // namespace spate::cuda
