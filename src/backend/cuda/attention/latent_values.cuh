// The warpgroups of the `latent` kernel that add up weighed values, half of the columns each, and
// what becomes of the sums: a query's output, or a piece where its item is cut between shares.
#pragma once

#include "backend/cuda/attention/latent_scores.cuh"

namespace spate::cuda {

// What items that are cut between shares leave: of each block the item that began in another share,
// and the one that goes on in another one.
struct LatentPieces {
  float* values;  // [blocks, 2, kLatentQueries, kLatentValues]
  float2* stats;  // [blocks, 2, kLatentQueries]: reference, sum of weights

  static size_t bytes(int blocks) {
    return static_cast<size_t>(blocks) * 2 * kLatentQueries *
           (kLatentValues * sizeof(float) + sizeof(float2));
  }
  static LatentPieces in(void* workspace, int blocks) {
    float* values = static_cast<float*>(workspace);
    const size_t queries = size_t{2} * blocks * kLatentQueries;
    return {values, reinterpret_cast<float2*>(values + queries * kLatentValues)};
  }
  // Counted in queries.
  __device__ static int64_t place(int block, bool goes_on) {
    return (2 * int64_t{block} + (goes_on ? 1 : 0)) * kLatentQueries;
  }
};

// Where a query of an item belongs.
struct LatentQuery {
  int token, head;  // of the step
  bool there;

  // Of those whose tokens are [first_token, first_token + tokens).
  __device__ LatentQuery(const AttentionProblem& problem, const LatentWork& work, int part,
                         int first_token, int tokens, int query) {
    const int of_item = query / work.heads;
    token = first_token + of_item;
    head = part * kLatentQueries + query % work.heads;
    there = of_item < tokens && head < problem.group;
  }
  __device__ bf16* out(const AttentionProblem& problem) const {
    return static_cast<bf16*>(problem.out) + token * problem.out_stride +
           int64_t{head} * kLatentValues;
  }
};

class LatentValues {
  static constexpr int kColumns = kLatentValues / 4;  // of a product, and of a group of slabs
  using Weights = uint32_t[kLatentKeys / 16][4];

 public:
  __device__ LatentValues(LatentShared& shared, const AttentionProblem& problem,
                          const LatentWork& work, const LatentPieces& pieces, int part)
      : shared_(shared),
        problem_(problem),
        work_(work),
        pieces_(pieces),
        part_(part),
        lane_(static_cast<int>(threadIdx.x) % 32),
        row_(static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane_ / 4),
        first_column_(static_cast<int>(threadIdx.x) / 128 * 2 * kColumns) {}

  __device__ void add_up() {
    uint32_t weights_parity = 0;
    RingPlace<LatentShared::kStages> key_place;
    while (true) {
      wait_for_phase(&shared_.weights_full, weights_parity);
      weights_parity ^= 1;
      const LatentTile tile = shared_.tile;
      if (tile.tokens == 0) return;
      Weights weights;
      float correction[2];
      float2 stats[2];
      take_weights(weights, correction, stats);
      if (tile.first) clear();
      if (__any_sync(~0U, correction[0] != 1 || correction[1] != 1)) rescale(values_, correction);

#pragma unroll
      for (int group = 0; group < kLatentGroups; ++group) {
        wait_for_phase(shared_.keys_full[key_place.slot] + group, key_place.parity);
        begin_products();
        multiply(group, weights, key_place.slot);
        end_product_group();
      }
      wait_for_products<1>(values_[0]);
      if (lane_ == 0) arrive(shared_.keys_empty[key_place.slot]);
      wait_for_products<0>(values_[1]);
      if (lane_ == 0) arrive(shared_.keys_empty[key_place.slot] + 1);
      key_place.advance();
      if (tile.end == LatentTile::End::of_item) {
        write(tile, stats);
      } else if (tile.end != LatentTile::End::none) {
        leave_piece(tile.end == LatentTile::End::of_last_piece, stats);
      }
    }
  }

 private:
  __device__ void clear() {
#pragma unroll
    for (auto& part : values_) {
#pragma unroll
      for (auto& tile : part) {
#pragma unroll
        for (float& value : tile) value = 0;
      }
    }
  }

  __device__ void take_weights(Weights& weights, float (&correction)[2], float2 (&stats)[2]) {
    const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane_ % 16;
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      load_matrices(weights[step], weight_place(shared_, row, 2 * step + lane_ / 16));
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      correction[half] = shared_.correction[row_ + 8 * half];
      stats[half] = shared_.stats[row_ + 8 * half];
    }
    arrive(&shared_.weights_empty);
  }

  // With the group's half of the columns.
  __device__ void multiply(int group, const Weights& weights, int slot) {
    const uint64_t keys = operand_at(shared_address(shared_.keys[slot]), LatentLayout::kKeySlab);
    const int slab = (first_column_ + group * kColumns) / kSlabColumns;
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      multiply_registers<Along::columns, kColumns>(
          values_[group], weights[step],
          operand_behind(keys, slab * LatentLayout::kKeySlab + 16 * step * kSlabRowBytes), true);
    }
  }

  __device__ void write(const LatentTile& tile, const float2 (&stats)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const LatentQuery query(problem_, work_, part_, tile.first_token, tile.tokens,
                              row_ + 8 * half);
      const float factor =
          output_factor(problem_, query.there ? query.head : 0, stats[half].x, stats[half].y);
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        write_columns(query.out(problem_) + first_column_ + part * kColumns, values_[part], half,
                      factor, query.there);
      }
    }
  }

  __device__ void leave_piece(bool goes_on, const float2 (&stats)[2]) {
    const int64_t place = LatentPieces::place(static_cast<int>(blockIdx.x), goes_on) + row_;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t query = place + 8 * half;
      if (lane_ % 4 == 0 && first_column_ == 0) pieces_.stats[query] = stats[half];
      float* to = pieces_.values + query * kLatentValues + first_column_ + 2 * (lane_ % 4);
#pragma unroll
      for (int part = 0; part < 2; ++part) {
#pragma unroll
        for (int tile = 0; tile < kColumns / 8; ++tile) {
          *reinterpret_cast<float2*>(to + part * kColumns + 8 * tile) = {
              values_[part][tile][2 * half], values_[part][tile][2 * half + 1]};
        }
      }
    }
  }

  LatentShared& shared_;
  const AttentionProblem& problem_;
  const LatentWork& work_;
  const LatentPieces& pieces_;
  const int part_;  // of the heads
  const int lane_, row_, first_column_;
  float values_[kLatentGroups][kColumns / 8][4];
};

}  // namespace spate::cuda
