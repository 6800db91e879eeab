// Products of few rows with plain weights or codes of e4m3, bound by reading the weights. All
// pieces of inputs of all tiles of outputs form one sequence, tile after tile, which is cut into
// equal shares, one a block and one block a multiprocessor: so all of them read to the end, however
// many tiles there are. A loading warp keeps a ring of stages under way by the copy engine; a
// warpgroup multiplies, with weights as the left side, so that few rows are no waste. Where a tile
// was cut between blocks, each leaves its sums in the workspace and the last one to arrive adds
// them up, in the order of the blocks.
//
// Weights are nobody's result, so a block asks for its first ones before the kernel ahead has
// ended.
#pragma once

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/few_rows_tile.cuh"

namespace spate::cuda {

// The loading warp, one lane of it.
template <class Layout>
__device__ void load_share(FewRowsShared<Layout>& shared, const CUtensorMap& weight_map,
                           const CUtensorMap& x_map, int pieces, int begin, int end) {
  const auto load_weights = [&](int place, int stage) {
    arrive_announcing(shared.full + stage, Layout::kStageBytes);
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      copy_box_once(shared.weights[stage][slab], weight_map,
                    (place % pieces * Layout::kSlabs + slab) * kSlabColumns,
                    place / pieces * Layout::kOutputs, 0, shared.full + stage);
    }
  };
  const auto load_x = [&](int place, int stage) {
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      copy_box(shared.x[stage][slab], x_map,
               (place % pieces * Layout::kSlabs + slab) * kSlabColumns, 0, 0, shared.full + stage);
    }
  };
  const int ahead = min(end - begin, Layout::kStages);
  for (int i = 0; i < ahead; ++i) load_weights(begin + i, i);
  wait_for_kernel_before();
  for (int i = 0; i < ahead; ++i) load_x(begin + i, i);
  RingPlace<Layout::kStages> place;
  for (int i = begin + ahead; i < end; ++i, place.advance()) {
    wait_for_phase(shared.empty + place.slot, place.parity);
    load_weights(i, place.slot);
    load_x(i, place.slot);
  }
}

// Products with one slab of a stage, added to what there is where `add`.
template <class Layout>
__device__ void multiply_slab(FewRowsShared<Layout>& shared, int stage, int slab,
                              FewRowsSums<Layout>& sums, bool add) {
  const uint64_t weights = operand_at(shared_address(shared.weights[stage][slab]), 0);
  const uint64_t x = operand_at(shared_address(shared.x[stage][slab]), 0);
#pragma unroll
  for (int bytes = 0; bytes < kSlabRowBytes; bytes += 32) {
    multiply_few<Layout::kElement>(sums, operand_behind(weights, bytes), operand_behind(x, bytes),
                                   add || bytes > 0);
  }
  end_product_group();
}

template <class Layout>
__device__ void multiply_stage(FewRowsShared<Layout>& shared, int stage,
                               FewRowsSums<Layout>& sums) {
  if constexpr (Layout::kElement == Element::bf16) {
    begin_products();
#pragma unroll
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      multiply_slab(shared, stage, slab, sums, true);
    }
    wait_for_products<0>(sums);
  } else {
    // Products of e4m3 are added with 13 bits, so not many of them.
#pragma unroll
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      FewRowsSums<Layout> few;
      begin_products();
      multiply_slab(shared, stage, slab, few, false);
      wait_for_products<0>(few);
#pragma unroll
      for (int i = 0; i < Layout::kTiles * 4; ++i) sums[i / 4][i % 4] += few[i / 4][i % 4];
    }
  }
}

template <class Layout>
__device__ void multiply_share(FewRowsShared<Layout>& shared, const FewRowsProblem& p,
                               const FewRowsWork& work, const Shares& shares, int place, int end) {
  RingPlace<Layout::kStages> at;
  SumWriter<Layout> writer(p);
  while (place < end) {
    const int tile = place / work.pieces, tile_end = min(end, (tile + 1) * work.pieces);
    writer.begin(tile);
    FewRowsSums<Layout> sums{};
    for (; place < tile_end; ++place, at.advance()) {
      wait_for_phase(shared.full + at.slot, at.parity);
      multiply_stage(shared, at.slot, sums);
      if (threadIdx.x % 32 == 0) arrive(shared.empty + at.slot);
    }
    finish_tile(shared, writer, work, shares, tile, sums);
  }
}

template <class Layout>
__global__ void __launch_bounds__(Layout::kThreads, 1)
    few_rows(const __grid_constant__ CUtensorMap weight_map,
             const __grid_constant__ CUtensorMap x_map, const __grid_constant__ FewRowsProblem p,
             const __grid_constant__ FewRowsWork work) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<FewRowsShared<Layout>*>(bytes);
  if (threadIdx.x == 0) {
    for (int i = 0; i < Layout::kStages; ++i) {
      init_barrier(shared.full + i, 1);
      init_barrier(shared.empty + i, kMultiplyingThreads / 32);
    }
    publish_barriers();
  }
  __syncthreads();
  let_next_kernel_begin();
  const Shares shares{work.tiles * work.pieces, static_cast<int>(gridDim.x)};
  const int block = static_cast<int>(blockIdx.x);
  const int begin = shares.begin(block), end = shares.begin(block + 1);
  if (threadIdx.x >= kMultiplyingThreads) {
    if (elected()) load_share(shared, weight_map, x_map, work.pieces, begin, end);
  } else {
    wait_for_kernel_before();
    multiply_share(shared, p, work, shares, begin, end);
  }
}

template <class Layout>
void launch_few_rows(const Context& context, const FewRowsProblem& p) {
  // Codes come two by two, as if they were one element of bf16.
  constexpr int64_t kSize = sizeof(bf16);
  const auto map = [&](const void* data, int64_t rows, int64_t stride, int box_rows) {
    return context.tensor_map(
        boxed_rows(data, rows, p.row_bytes / kSize, stride / kSize, box_rows));
  };
  constexpr int kSums = Layout::kTiles * kMultiplyingThreads;
  const int64_t tiles = divide_up(p.out, Layout::kOutputs);
  const int64_t pieces = divide_up(p.row_bytes, Layout::kSlabs * kSlabRowBytes);
  const auto blocks =
      static_cast<unsigned>(std::min<int64_t>(context.multiprocessors(), tiles * pieces));
  const FewRowsWork work{
      .tiles = static_cast<int>(tiles),
      .pieces = static_cast<int>(pieces),
      .left = static_cast<float4*>(context.workspace(2 * blocks * kSums * sizeof(float4))),
      .counters = context.counters()};
  allow_shared_bytes(few_rows<Layout>, sizeof(FewRowsShared<Layout>));
  launch_early(context,
               {.blocks = blocks,
                .threads = Layout::kThreads,
                .shared_bytes = sizeof(FewRowsShared<Layout>)},
               few_rows<Layout>, map(p.weight, p.out, p.weight_stride, Layout::kOutputs),
               map(p.x, p.rows, p.x_stride, Layout::kRows), p, work);
}

template <Element kElement>
void multiply_few_rows(const Context& context, const FewRowsProblem& p) {
  if (p.rows <= 8) return launch_few_rows<FewRowsLayout<kElement, 8>>(context, p);
  if (p.rows <= 16) return launch_few_rows<FewRowsLayout<kElement, 16>>(context, p);
  if (p.rows <= 32) return launch_few_rows<FewRowsLayout<kElement, 32>>(context, p);
  launch_few_rows<FewRowsLayout<kElement, 64>>(context, p);
}

}  // namespace spate::cuda
