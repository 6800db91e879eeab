// Products of few rows with plain weights or codes of e4m3, bound by reading the weights. Two warps
// fill a ring of stages by the copy engine, one with weights and one with x; a warpgroup
// multiplies, with weights as the left side, so that few rows are no waste.
//
// Equal shares of the weights, one a block, keep all multiprocessors reading to the end. Where
// outputs can be cut into a tile for each block, blocks have whole tiles, and where that leaves
// half of a product's left side empty, two peers have a tile and half of its inputs each. Otherwise
// all pieces of inputs of all tiles form one sequence, tile after tile, of which each block has a
// part; where a tile was cut so, each block leaves its sums in the workspace and the last one to
// arrive adds them up, in the order of the blocks.
//
// Weights are nobody's result, so a block asks for its first ones before the kernel ahead has
// ended.
#pragma once

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/few_rows_tile.cuh"

namespace spate::cuda {

// Starts products with one slab of a stage, added to what there is where `add`.
template <class Layout>
__device__ void multiply_slab(FewRowsShared<Layout>& shared, const FewRowsWork& work, int stage,
                              int slab, FewRowsSums<Layout>& sums, bool add) {
  const uint64_t weights =
      operand_at(shared_address(shared.weights(work, stage)) + slab * work.weight_slab, 0);
  const uint64_t x = operand_at(shared_address(shared.x(work, stage)) + slab * Layout::kXSlab, 0);
  begin_products();
#pragma unroll
  for (int bytes = 0; bytes < kSlabRowBytes; bytes += 32) {
    multiply_few<Layout::kElement>(sums, operand_behind(weights, bytes), operand_behind(x, bytes),
                                   add || bytes > 0);
  }
  end_product_group();
}

template <class Layout>
__device__ void multiply_stage(FewRowsShared<Layout>& shared, const FewRowsWork& work, int stage,
                               FewRowsSums<Layout>& sums) {
  if constexpr (Layout::kElement == Element::bf16) {
#pragma unroll
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      multiply_slab(shared, work, stage, slab, sums, true);
    }
    wait_for_products<0>(sums);
  } else {
    // Products of e4m3 are added with 13 bits, so not many of them.
    FewRowsSums<Layout> few[2];
    const auto add = [&](const FewRowsSums<Layout>& of_slab) {
#pragma unroll
      for (int i = 0; i < Layout::kTiles * 4; ++i) sums[i / 4][i % 4] += of_slab[i / 4][i % 4];
    };
#pragma unroll
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      multiply_slab(shared, work, stage, slab, few[slab % 2], false);
      if (slab == 0) continue;
      wait_for_products<1>(few[1 - slab % 2]);
      add(few[1 - slab % 2]);
    }
    wait_for_products<0>(few[(Layout::kSlabs - 1) % 2]);
    add(few[(Layout::kSlabs - 1) % 2]);
  }
}

template <class Layout>
__device__ void multiply_share(FewRowsShared<Layout>& shared, const FewRowsProblem& p,
                               const FewRowsWork& work, const Shares& shares, int place, int end) {
  RingPlace<Layout::kMostStages> at;
  SumWriter<Layout> writer(p, work);
  while (place < end) {
    const int tile = place / work.pieces, tile_end = min(end, (tile + 1) * work.pieces);
    writer.begin(tile);
    FewRowsSums<Layout> sums{};
    for (; place < tile_end; ++place, at.advance(work.stages)) {
      wait_for_phase(shared.full + at.slot, at.parity);
      wait_for_phase(shared.x_full + at.slot, at.parity);
      multiply_stage(shared, work, at.slot, sums);
      if (threadIdx.x % 32 == 0) arrive(shared.empty + at.slot);
    }
    if (work.peers > 1) return finish_with_peer(shared, writer, sums);
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
    shared.init_barriers(kMultiplyingThreads / 32);
    init_barrier(&shared.peer_sent, 1);
    publish_barriers();
  }
  __syncthreads();
  if (work.peers > 1) arrive_in_cluster();
  let_next_kernel_begin();
  const Shares shares{work.tiles * work.pieces, static_cast<int>(gridDim.x) / work.peers};
  const int block = static_cast<int>(blockIdx.x) / work.peers;
  const int begin = shares.begin(block), end = shares.begin(block + 1);
  if (threadIdx.x >= kMultiplyingThreads) {
    load_share(shared, weight_map, x_map, work, threadIdx.x < kMultiplyingThreads + 32, begin, end);
    if (work.peers > 1) wait_for_cluster();
  } else {
    wait_for_kernel_before();
    multiply_share(shared, p, work, shares, begin, end);
  }
}

// How outputs are cut into tiles.
struct FewRowsCut {
  int peers, outputs;  // as in FewRowsWork
  bool whole;          // each block has a tile, alone or with its peer
};

inline FewRowsCut cut_few_rows(int64_t outputs, int multiprocessors) {
  for (const int peers : {2, 1}) {
    const int64_t of_tile = divide_up(outputs, multiprocessors / peers);
    if (of_tile >= kLeastTileOutputs && of_tile <= kMostTileOutputs) {
      return {peers, static_cast<int>(of_tile), true};
    }
  }
  return {1, kMostTileOutputs, false};
}

template <class Layout>
void launch_few_rows(const Context& context, const FewRowsProblem& p) {
  constexpr int kSums = Layout::kTiles * kMultiplyingThreads;
  const FewRowsCut cut = cut_few_rows(p.out, context.multiprocessors());
  const int64_t tiles = divide_up(p.out, cut.outputs);
  const int64_t pieces = divide_up(p.row_bytes, cut.peers * Layout::kSlabs * kSlabRowBytes);
  const auto blocks = static_cast<unsigned>(
      cut.whole ? tiles * cut.peers : std::min<int64_t>(context.multiprocessors(), tiles * pieces));
  const int weight_slab = weight_slab_bytes(cut.outputs);
  const int stages = Layout::kRingBytes / Layout::stage_bytes(weight_slab);
  const FewRowsWork work{
      .tiles = static_cast<int>(tiles),
      .outputs = cut.outputs,
      .peers = cut.peers,
      .pieces = static_cast<int>(pieces),
      .stages = stages,
      .weight_slab = weight_slab,
      .under_way = stages_under_way<Layout>(weight_slab, stages),
      .left = static_cast<float4*>(context.workspace(2 * blocks * kSums * sizeof(float4))),
      .counters = context.counters()};
  allow_shared_bytes(few_rows<Layout>, sizeof(FewRowsShared<Layout>));
  launch_early(context,
               {.blocks = blocks,
                .threads = Layout::kThreads,
                .shared_bytes = sizeof(FewRowsShared<Layout>),
                .cluster = static_cast<unsigned>(cut.peers)},
               few_rows<Layout>, weight_boxes(context, p, cut.outputs),
               x_boxes(context, p, Layout::kRows), p, work);
}

template <Element kElement>
void multiply_few_rows(const Context& context, const FewRowsProblem& p) {
  if (p.rows <= 8) return launch_few_rows<FewRowsLayout<kElement, 8>>(context, p);
  if (p.rows <= 16) return launch_few_rows<FewRowsLayout<kElement, 16>>(context, p);
  if (p.rows <= 32) return launch_few_rows<FewRowsLayout<kElement, 32>>(context, p);
  launch_few_rows<FewRowsLayout<kElement, 64>>(context, p);
}

}  // namespace spate::cuda
