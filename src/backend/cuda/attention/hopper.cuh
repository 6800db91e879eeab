// Attention of many queries on Hopper's matrix products, after FlashAttention-3 (Shah et al.,
// 2024). A block stays on its multiprocessor and takes items: tiles of up to 128 queries of one row
// and key/value head. One warp brings queries and tiles of keys and values to shared memory
// (hopper_load.cuh); two warpgroups have 64 queries each, in registers. A warpgroup starts the
// products of the next keys and those of the current values together, and turns the new scores into
// weights while the values are multiplied.
//
// Tiles of keys begin at multiples of their size counted from position 0, and a query's result
// takes nothing from others, so that a token's bits depend on its own keys alone.
#pragma once

#include <limits>
#include <type_traits>

#include "backend/cuda/attention/cache_map.h"
#include "backend/cuda/attention/hopper_codes.cuh"
#include "backend/cuda/attention/hopper_load.cuh"
#include "backend/cuda/attention/hopper_rows.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

constexpr int kHopperThreads = 32 * (kConsumerWarps + 1 + kConverterWarps);

// Of each thread, where C is the type of the cache; the register file has 512 for the three warps
// of a quarter. Codes on their way take some.
template <class C>
constexpr int kLoaderRegisters = sizeof(C) == 1 ? 56 : 40;
template <class C>
constexpr int kConsumerRegisters = sizeof(C) == 1 ? 224 : 232;

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

template <int D, class C>
__global__ void __launch_bounds__(kHopperThreads, 1)
    hopper(const __grid_constant__ AttentionProblem problem,
           const __grid_constant__ HopperWork work, const __grid_constant__ HopperMaps maps,
           uint32_t* counters) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<HopperShared<D, C>*>(bytes);
  let_next_kernel_begin();
  if (threadIdx.x == 0) shared.init_barriers();
  if (threadIdx.x == 32) {
    prefetch_map(maps.queries);
    prefetch_map(maps.keys[0]);
    prefetch_map(maps.values[0]);
  }
  __syncthreads();
  if (threadIdx.x >= 32 * kConsumerWarps) {
    keep_registers<kLoaderRegisters<C>>();
    if (threadIdx.x >= 32 * (kConsumerWarps + 1)) {
      if constexpr (HopperLayout<D, C>::kCoded) CodeConverter<D, C>(shared).convert_items();
      return;
    }
    load_items(shared, problem, work, maps, counters);
    // The block that ends last leaves zeros behind.
    if (threadIdx.x == 32 * kConsumerWarps && atomicAdd(counters + 1, 1) == gridDim.x - 1) {
      counters[0] = 0;
      counters[1] = 0;
    }
  } else {
    take_registers<kConsumerRegisters<C>>();
    HopperConsumer<D, C>(shared, problem).attend_items();
  }
}

// The most items that rows of the step can have; no row is empty. How many parts of shared keys
// there are is known on the device alone.
inline int64_t most_items(const AttentionProblem& problem, const HopperWork& work) {
  if (work.rows == TiledRows::shared_parts) return std::numeric_limits<int>::max();
  const int64_t rows = most_tiled_rows(problem, work.rows);
  // Each of these rows has a last tile; all others are full.
  return rows == 0 ? 0 : (rows + problem.tokens / work.tile_tokens) * problem.kv_heads;
}

template <int D, class C>
void launch_hopper_of(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  const HopperWork work{
      .rows = rows,
      .tile_tokens = kItemQueries / problem.group,
      .keys_at_once = context.properties().l2CacheSize / (2 * 2 * static_cast<int>(sizeof(C)) * D)};
  const int heads = problem.kv_heads * problem.group;
  HopperMaps maps;
  maps.queries = context.tensor_map(
      {.data = problem.q,
       .sizes = {D, static_cast<uint64_t>(heads), static_cast<uint64_t>(problem.tokens)},
       .strides = {D, static_cast<uint64_t>(problem.q_stride)},
       .box = {kSlabColumns, static_cast<uint32_t>(problem.group),
               static_cast<uint32_t>(work.tile_tokens)}});
  for (int size = 0; size < kBoxSizes; ++size) {
    const int rows_of_box = box_rows<D>(size);
    maps.keys[size] = map_cache(context, problem, problem.keys, problem.key_stride, rows_of_box);
    maps.values[size] =
        map_cache(context, problem, problem.values, problem.value_stride, rows_of_box);
  }
  const int64_t blocks = std::min<int64_t>(most_items(problem, work), context.multiprocessors());
  allow_shared_bytes(hopper<D, C>, sizeof(HopperShared<D, C>));
  launch(context,
         {.blocks = static_cast<unsigned>(blocks),
          .threads = kHopperThreads,
          .shared_bytes = sizeof(HopperShared<D, C>)},
         hopper<D, C>, problem, work, maps, context.counters());
}

template <int D>
void launch_hopper(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  if constexpr (D <= kMostCodedWidth) {
    if (problem.cache == DType::e4m3) return launch_hopper_of<D, e4m3>(context, problem, rows);
  }
  launch_hopper_of<D, bf16>(context, problem, rows);
}

}  // namespace spate::cuda
