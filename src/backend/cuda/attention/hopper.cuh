// Attention of many queries on Hopper's matrix products, after FlashAttention-3 (Shah et al.,
// 2024). A block stays on its multiprocessor and takes items: tiles of up to 128 queries of one row
// and key/value head. One warp brings queries and tiles of keys and values to shared memory
// (hopper_load.cuh), others convert what has eight bits (hopper_codes.cuh); two warpgroups multiply
// (hopper_consume.cuh).
//
// Tiles of keys begin at multiples of their size counted from position 0, and a query's result
// takes nothing from others, so that a token's bits depend on its own keys alone.
#pragma once

#include <limits>

#include "backend/cuda/attention/cache_map.h"
#include "backend/cuda/attention/hopper_codes.cuh"
#include "backend/cuda/attention/hopper_consume.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {

constexpr int kHopperThreads = 32 * (kConsumerWarps + 1 + kConverterWarps);

// Of each thread, where C is the type of the cache; the register file has 512 for the three warps
// of a quarter. Codes on their way take some.
template <class C>
constexpr int kLoaderRegisters = sizeof(C) == 1 ? 56 : 40;
template <class C>
constexpr int kConsumerRegisters = sizeof(C) == 1 ? 224 : 232;
static_assert(2 * kConsumerRegisters<e4m3> + kLoaderRegisters<e4m3> <= 512);  // or they wait
static_assert(2 * kConsumerRegisters<bf16> + kLoaderRegisters<bf16> <= 512);

template <int D, class C>
__global__ void __launch_bounds__(kHopperThreads, 1)
    hopper(const __grid_constant__ AttentionProblem problem,
           const __grid_constant__ HopperWork work, const __grid_constant__ HopperMaps maps,
           uint32_t* counters) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<HopperShared<D, C>*>(bytes);
  let_next_kernel_begin();
  if (threadIdx.x == 0) shared.init_barriers();
  if (threadIdx.x == 32) prefetch_map(maps.queries);
  if (threadIdx.x / 32 == 2) {
    prefetch_maps(maps.keys);
    prefetch_maps(maps.values);
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
  constexpr int kMost = HopperLayout<D>::kKeys;
  map_boxes(context, problem, problem.keys, problem.key_stride, kMost, maps.keys);
  map_boxes(context, problem, problem.values, problem.value_stride, kMost, maps.values);
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
