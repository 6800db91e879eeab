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
  // Of a product, and of a group of slabs.
  static constexpr int kColumns = kLatentValues / 2 / kLatentGroups;
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
        first_column_(static_cast<int>(threadIdx.x) / 128 * kLatentGroups * kColumns) {}

  __device__ void add_up() {
    while (true) {
      wait_for_weights();
      const LatentItem item = shared_.item;
      if (item.tiles == 0) return;
      for (int tile = 0; tile < item.tiles; ++tile) {
        if (tile > 0) wait_for_weights();
        add_tile(tile == 0, tile + 1 == item.tiles);
      }
      if (item.end == LatentItem::End::of_item) {
        write(item);
      } else {
        leave_piece(item.end == LatentItem::End::of_last_piece);
      }
    }
  }

 private:
  __device__ void wait_for_weights() {
    wait_for_phase(&shared_.weights_full, weights_parity_);
    weights_parity_ ^= 1;
  }

  __device__ void add_tile(bool first, bool last) {
    Weights weights;
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      load_matrices(weights[step], weight_place(shared_, step));
    }
    const float correction[2] = {shared_.correction[row_], shared_.correction[row_ + 8]};
    if (last) {
      stats_[0] = shared_.stats[row_];
      stats_[1] = shared_.stats[row_ + 8];
    }
    arrive(&shared_.weights_empty);
    if (!first && __any_sync(~0U, correction[0] != 1 || correction[1] != 1)) {
      rescale(values_, correction);
    }
    for_latent_groups([&]<int kGroup>(std::integral_constant<int, kGroup>) {
      wait_for_phase(shared_.keys_full[key_place_.slot] + kGroup, key_place_.parity);
      begin_products();
      multiply(kGroup, weights, !first);
      end_product_group();
    });
    for_latent_groups([&]<int kGroup>(std::integral_constant<int, kGroup>) {
      wait_for_products<kLatentGroups - 1 - kGroup>(values_[kGroup]);
      if (lane_ == 0) arrive(shared_.keys_empty[key_place_.slot] + kGroup);
    });
    key_place_.advance();
  }

  // With the columns of a group; the first products of an item are not added to what was before.
  __device__ void multiply(int group, const Weights& weights, bool add) {
    const int slab = (first_column_ + group * kColumns) / kSlabColumns;
    const uint64_t keys =
        operand_at(uniform_address(shared_.keys[key_place_.slot] + slab * LatentLayout::kKeySlab),
                   LatentLayout::kKeySlab);
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      multiply_registers<Along::columns, kColumns>(values_[group], weights[step],
                                                   operand_behind(keys, 16 * step * kSlabRowBytes),
                                                   step > 0 || add);
    }
  }

  __device__ void write(const LatentItem& item) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const LatentQuery query(problem_, work_, part_, item.first_token, item.tokens,
                              row_ + 8 * half);
      const float factor =
          output_factor(problem_, query.there ? query.head : 0, stats_[half].x, stats_[half].y);
#pragma unroll
      for (int part = 0; part < kLatentGroups; ++part) {
        write_columns(query.out(problem_) + first_column_ + part * kColumns, values_[part], half,
                      factor, query.there);
      }
    }
  }

  __device__ void leave_piece(bool goes_on) {
    const int64_t place = LatentPieces::place(static_cast<int>(blockIdx.x), goes_on) + row_;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t query = place + 8 * half;
      if (lane_ % 4 == 0 && first_column_ == 0) pieces_.stats[query] = stats_[half];
      float* to = pieces_.values + query * kLatentValues + first_column_ + 2 * (lane_ % 4);
#pragma unroll
      for (int part = 0; part < kLatentGroups; ++part) {
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
  float2 stats_[2];  // of the item
  uint32_t weights_parity_ = 0;
  RingPlace<LatentShared::kStages> key_place_;
};

}  // namespace spate::cuda
