// The warpgroups of the `hopper` kernel that multiply. Each has 64 queries of an item, in
// registers; it starts the products of the next keys and those of the current values together, and
// turns the new scores into weights while the values are multiplied.
#pragma once

#include <type_traits>

#include "backend/cuda/attention/hopper_load.cuh"
#include "backend/cuda/attention/hopper_rows.cuh"
#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {

// A warpgroup: `number` is 0 or 1.
template <int D, class C>
class HopperConsumer {
  using Layout = HopperLayout<D, C>;
  using T = typename Layout::Multiplied;
  static constexpr int kParts = D > 128 ? 2 : 1;  // of the columns, for one product each
  static constexpr int kColumns = D / kParts;
  static constexpr bool kQueriesInRegisters = D <= 128;  // or as an operand in shared memory
  using Queries = std::conditional_t<kQueriesInRegisters, uint32_t[D / 16][4], uint64_t>;
  using Scores = float[Layout::kKeys / 8][4];
  using Weights = uint32_t[Layout::kKeys / 16][4];
  using Values = float[kParts][kColumns / 8][4];

 public:
  __device__ HopperConsumer(HopperShared<D, C>& shared, const AttentionProblem& problem)
      : shared_(shared),
        problem_(problem),
        scale_(problem),
        number_(static_cast<int>(threadIdx.x) / 128),
        lane_(static_cast<int>(threadIdx.x) % 32) {}

  __device__ void attend_items() {
    while (attend_item()) {
    }
  }

 private:
  // False when there is none.
  __device__ bool attend_item() {
    const int slot = item_place_.slot;
    wait_for_phase(shared_.items_full + slot, item_place_.parity);
    item_place_.advance();
    const HopperItem item = shared_.items[slot];
    if (item.tokens == 0) return false;
    const int query = number_ * 64 + static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane_ / 4;
    HopperRows rows(problem_, item, query);
    Queries queries;
    take_queries(queries, slot);
    Scores scores;
    Weights weights;
    Values values = {};
    float correction[2];

    wait_for_phase(shared_.keys_full + key_place_.slot, key_place_.parity);
    begin_products();
    multiply_keys(scores, queries);
    end_product_group();
    wait_for_products<0>(scores);
    release(shared_.keys_empty, key_place_);
    weigh(scores, rows, item, item.first_tile, correction);
    pack(weights, scores);
    if (item.first_tile + 1 < item.end_tile) wait_for_keys(rows);
#pragma unroll 1
    for (int tile = item.first_tile + 1; tile < item.end_tile; ++tile) {
      begin_products();
      multiply_keys(scores, queries);
      end_product_group();
      wait_for_phase(shared_.values_full + value_place_.slot, value_place_.parity);
      begin_products();
      multiply_values(values, weights);
      end_product_group();
      wait_for_products<1>(scores);
      release(shared_.keys_empty, key_place_);
      const bool moved = weigh(scores, rows, item, tile, correction);
      if (tile + 1 < item.end_tile) wait_for_keys(rows);
      wait_for_products<0>(values);
      release(shared_.values_empty, value_place_);
      if (moved) rescale(values, correction);
      pack(weights, scores);
    }
    if (!kQueriesInRegisters) arrive(shared_.items_empty + slot);
    wait_for_phase(shared_.values_full + value_place_.slot, value_place_.parity);
    begin_products();
    multiply_values(values, weights);
    end_product_group();
    wait_for_products<0>(values);
    release(shared_.values_empty, value_place_);
    if (item.shared_part >= 0) {
      leave_piece(values, rows, item, query);
    } else {
      write(values, rows, item, query);
    }
    return true;
  }

  __device__ void release(Barrier* empty, RingPlace<Layout::kStages>& place) const {
    if (lane_ == 0) arrive(empty + place.slot);
    place.advance();
  }

  // Waits for the tile of keys that comes next. Sums of weights are never negative, but the
  // compiler does not know: it would move the softmax behind the next wait for products, where
  // nothing runs beside it.
  __device__ void wait_for_keys(const HopperRows& rows) const {
    const uint32_t never = __any_sync(~0U, rows.sum[0] + rows.sum[1] < 0) ? 1 : 0;
    wait_for_phase(shared_.keys_full + key_place_.slot, key_place_.parity ^ never);
  }

  __device__ void take_queries(Queries& queries, int slot) const {
    if constexpr (kQueriesInRegisters) {
      const int row = static_cast<int>(threadIdx.x) / 32 * 16 + lane_ % 16;
#pragma unroll
      for (int step = 0; step < D / 16; ++step) {
        const int vector = step % 4 * 2 + lane_ / 16;
        load_matrices(queries[step], shared_.queries[slot] + step / 4 * Layout::kQuerySlab +
                                         row * kSlabRowBytes + (vector ^ row % 8) * 16);
#pragma unroll
        for (uint32_t& pair : queries[step]) pair = convert_pair<T>(pair);
      }
      arrive(shared_.items_empty + slot);
    } else {
      queries = operand_at(shared_address(shared_.queries[slot]) + number_ * 64 * kSlabRowBytes, 0);
    }
  }

  __device__ void multiply_keys(Scores& scores, const Queries& queries) const {
    const uint64_t keys = operand_at(shared_address(shared_.keys[key_place_.slot]), 0);
#pragma unroll
    for (int step = 0; step < D / 16; ++step) {
      const int slab = step / 4, in_row = step % 4 * 32;
      const uint64_t of_step = operand_behind(keys, slab * Layout::kKeySlab + in_row);
      if constexpr (kQueriesInRegisters) {
        multiply_registers<Along::rows, Layout::kKeys, T>(scores, queries[step], of_step, step > 0);
      } else {
        multiply_shared<Layout::kKeys>(
            scores, operand_behind(queries, slab * Layout::kQuerySlab + in_row), of_step, step > 0);
      }
    }
  }

  __device__ void multiply_values(Values& values, const Weights& weights) const {
    const uint64_t of_tile =
        operand_at(shared_address(shared_.values[value_place_.slot]), Layout::kKeySlab);
#pragma unroll
    for (int step = 0; step < Layout::kKeys / 16; ++step) {
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        const int slab = part * kColumns / kSlabColumns;
        multiply_registers<Along::columns, kColumns, T>(
            values[part], weights[step],
            operand_behind(of_tile, slab * Layout::kKeySlab + 16 * step * kSlabRowBytes), true);
      }
    }
  }

  __device__ bool weigh(Scores& scores, HopperRows& rows, const HopperItem& item, int tile,
                        float (&correction)[2]) const {
    const int first_key = tile * Layout::kKeys;
    if (scale_.cap > 0) cap_scores(scores, scale_);
    // Some row of the item does not see its last key, or its first.
    const bool windowed = first_key < first_seen(problem_, item.position + item.tokens - 1);
    if (windowed || first_key + Layout::kKeys - 1 > item.position) {
      rows.hide(scores, first_key, windowed);
    }
    return rows.weigh(scores, scale_.factor, correction);
  }

  // Weights as the left side of products.
  __device__ static void pack(Weights& weights, const Scores& scores) {
#pragma unroll
    for (int step = 0; step < Layout::kKeys / 16; ++step) {
      pack_weights<T>(weights[step], scores[2 * step], scores[2 * step + 1]);
    }
  }

  __device__ void write(const Values& values, const HopperRows& rows, const HopperItem& item,
                        int first_query) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = first_query + 8 * half;
      const int token = query / problem_.group;
      const bool there = token < item.tokens;
      const int head = item.kv_head * problem_.group + query % problem_.group;
      const float sum = row_sum(rows.sum[half]);
      const float factor = output_factor(problem_, there ? head : 0, rows.reference[half], sum);
      bf16* out = static_cast<bf16*>(problem_.out) +
                  int64_t{item.first_token + token} * problem_.out_stride + int64_t{head} * D;
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
        write_columns(out + part * kColumns, values[part], half, factor, there);
      }
    }
  }

  // What `decode` adds to the softmax of the rows' own keys.
  __device__ void leave_piece(const Values& values, const HopperRows& rows, const HopperItem& item,
                              int first_query) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = first_query + 8 * half;
      const int token = query / problem_.group;
      const float sum = row_sum(rows.sum[half]);
      if (token >= item.tokens) continue;
      const int head = item.kv_head * problem_.group + query % problem_.group;
      const int64_t place =
          shared_place(problem_, item.shared_part, item.first_token + token, head);
      if (lane_ % 4 == 0) problem_.shared.stats[place] = {rows.reference[half], sum};
      float* to = problem_.shared.values + place * D + 2 * (lane_ % 4);
#pragma unroll
      for (int part = 0; part < kParts; ++part) {
#pragma unroll
        for (int tile = 0; tile < kColumns / 8; ++tile) {
          const float* pair = values[part][tile] + 2 * half;
          *reinterpret_cast<float2*>(to + part * kColumns + 8 * tile) = {pair[0], pair[1]};
        }
      }
    }
  }

  HopperShared<D, C>& shared_;
  const AttentionProblem& problem_;
  const HopperScale scale_;
  const int number_, lane_;
  RingPlace<Layout::kItemSlots> item_place_;
  RingPlace<Layout::kStages> key_place_, value_place_;
};

}  // namespace spate::cuda
