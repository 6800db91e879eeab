// The warpgroup of the `latent` kernel that multiplies queries with tiles of keys and turns the
// products into weights, which it leaves in shared memory for those that add up values.
#pragma once

#include "backend/cuda/attention/hopper_rows.cuh"
#include "backend/cuda/attention/latent_work.cuh"

namespace spate::cuda {

// A place in the tile of weights.
__device__ inline unsigned char* weight_place(LatentShared& shared, int row, int vector) {
  return shared.weights + row * kSlabRowBytes + (vector ^ row % 8) * 16;
}

// With the columns of a group of slabs.
template <int kGroup>
__device__ void multiply_latent_keys(float (&scores)[kLatentKeys / 8][4], LatentShared& shared,
                                     int slot) {
  const uint64_t queries = operand_at(shared_address(shared.queries), 0);
  const uint64_t keys = operand_at(shared_address(shared.keys[slot]), 0);
  bool add = kGroup > 0;
#pragma unroll
  for (int step = 0; step < kLatentWidth / 16; ++step) {
    if ((latent_slabs(kGroup) >> step / 4 & 1) == 0) continue;
    const int place = step / 4 * LatentLayout::kKeySlab + step % 4 * 32;
    multiply_shared<kLatentKeys>(scores, operand_behind(queries, place),
                                 operand_behind(keys, place), add);
    add = true;
  }
}

// Leaves weights, and what brings the sums before to their references.
__device__ inline void leave_weights(LatentShared& shared,
                                     const float (&weights)[kLatentKeys / 8][4],
                                     const float (&correction)[2], int row) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int tile = 0; tile < kLatentKeys / 8; ++tile) {
      *reinterpret_cast<uint32_t*>(weight_place(shared, row + 8 * half, tile) + 4 * (lane % 4)) =
          pack<bf16>(weights[tile][2 * half], weights[tile][2 * half + 1]);
    }
    if (lane % 4 == 0) shared.correction[row + 8 * half] = correction[half];
  }
}

__device__ inline LatentTile tile_of(const LatentWalk& walk, const LatentWork& work) {
  using End = LatentTile::End;
  const LatentPlace& at = walk.at();
  const End end = !walk.last()                  ? End::none
                  : !walk.begun_here()          ? End::of_first_piece
                  : at.tile + 1 == walk.tiles() ? End::of_item
                                                : End::of_last_piece;
  return {walk.first(), end, at.shape.first_token + at.first_token(work), at.tokens(work)};
}

__device__ inline void score_latents(LatentShared& shared, const AttentionProblem& problem,
                                     const LatentWork& work, const LatentShare& share) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
  const HopperScale scale(problem);
  uint32_t weights_parity = 0, queries_parity = 0;
  RingPlace<LatentShared::kStages> key_place;
  HopperRows rows(problem, {}, row);
  float scores[kLatentKeys / 8][4], correction[2];
  for (LatentWalk walk(problem, work, share); walk.there(); walk.advance()) {
    const int position = walk.at().position(work), first_key = walk.at().tile * kLatentKeys;
    if (walk.first()) {
      rows = HopperRows(problem, {.position = position, .step = 1}, row);
      wait_for_phase(&shared.queries_full, queries_parity);
      queries_parity ^= 1;
    }
    wait_for_phase(shared.keys_full[key_place.slot], key_place.parity);
    begin_products();
    multiply_latent_keys<0>(scores, shared, key_place.slot);
    end_product_group();
    wait_for_phase(shared.keys_full[key_place.slot] + 1, key_place.parity);
    begin_products();
    multiply_latent_keys<1>(scores, shared, key_place.slot);
    end_product_group();
    wait_for_products<0>(scores);
    if (lane == 0) {
      for (Barrier& group : shared.keys_empty[key_place.slot]) arrive(&group);
      if (walk.last()) arrive(&shared.queries_empty);
    }
    key_place.advance();
    if (scale.cap > 0) cap_scores(scores, scale);
    if (first_key + kLatentKeys - 1 > position) rows.hide(scores, first_key, false);
    rows.weigh(scores, scale.factor, correction);

    wait_for_phase(&shared.weights_empty, weights_parity ^ 1);
    weights_parity ^= 1;
    leave_weights(shared, scores, correction, row);
    if (walk.last()) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = row_sum(rows.sum[half]);
        if (lane % 4 == 0) shared.stats[row + 8 * half] = {rows.reference[half], sum};
      }
    }
    if (row == 0 && lane == 0) shared.tile = tile_of(walk, work);
    arrive(&shared.weights_full);
  }
  wait_for_phase(&shared.weights_empty, weights_parity ^ 1);
  if (row == 0 && lane == 0) shared.tile.tokens = 0;
  arrive(&shared.weights_full);
}

}  // namespace spate::cuda
