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

// Calls body(place, stage) for each place of a block's share in turn, once its stage is empty.
template <class Layout, class Body>
__device__ void for_stages(FewRowsShared<Layout>& shared, const FewRowsWork& work, int begin,
                           int end, const Body& body) {
  RingPlace<Layout::kMostStages> at;
  for (int place = begin; place < end; ++place, at.advance(work.stages)) {
    // The phase before the first counts as ended.
    wait_for_phase(shared.empty + at.slot, at.parity ^ 1);
    body(place, at.slot);
  }
}

// Where the inputs of a slab begin.
template <class Layout>
__device__ int first_input(const FewRowsWork& work, int place, int slab) {
  const int part = work.peers == 1 ? 0 : cluster_rank() * work.pieces;
  return ((part + place % work.pieces) * Layout::kSlabs + slab) * kSlabColumns;
}

// One lane of a warp. Until products begin, no more is under way than keeps memory busy: what was
// asked for besides would stand in queues before the few rows that products wait for, and those of
// the kernel ahead.
template <class Layout>
__device__ void load_weights(FewRowsShared<Layout>& shared, const CUtensorMap& weight_map,
                             const FewRowsWork& work, int begin, int end) {
  for_stages(shared, work, begin, end, [&](int place, int stage) {
    const int index = place - begin;
    if (index >= work.under_way && index < work.stages) {
      wait_for_phase(shared.full + index - work.under_way, 0);
    }
    arrive_announcing(shared.full + stage, Layout::kSlabs * work.outputs * kSlabRowBytes);
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      copy_box_once(shared.weights(work, stage) + slab * work.weight_slab, weight_map,
                    first_input<Layout>(work, place, slab), place / work.pieces * work.outputs, 0,
                    shared.full + stage);
    }
  });
}

// One lane of another warp.
template <class Layout>
__device__ void load_x(FewRowsShared<Layout>& shared, const CUtensorMap& x_map,
                       const FewRowsWork& work, int begin, int end) {
  wait_for_kernel_before();
  for_stages(shared, work, begin, end, [&](int place, int stage) {
    arrive_announcing(shared.x_full + stage, Layout::kSlabs * Layout::kXSlab);
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      copy_box(shared.x(work, stage) + slab * Layout::kXSlab, x_map,
               first_input<Layout>(work, place, slab), 0, 0, shared.x_full + stage);
    }
  });
}

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
    for (int i = 0; i < Layout::kMostStages; ++i) {
      init_barrier(shared.full + i, 1);
      init_barrier(shared.x_full + i, 1);
      init_barrier(shared.empty + i, kMultiplyingThreads / 32);
    }
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
    if (threadIdx.x < kMultiplyingThreads + 32) {
      if (elected()) load_weights(shared, weight_map, work, begin, end);
    } else {
      if (elected()) load_x(shared, x_map, work, begin, end);
    }
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
  // Codes come two by two, as if they were one element of bf16.
  constexpr int64_t kSize = sizeof(bf16);
  const auto map = [&](const void* data, int64_t rows, int64_t stride, int box_rows) {
    return context.tensor_map(
        boxed_rows(data, rows, p.row_bytes / kSize, stride / kSize, box_rows));
  };
  constexpr int kSums = Layout::kTiles * kMultiplyingThreads;
  const FewRowsCut cut = cut_few_rows(p.out, context.multiprocessors());
  const int64_t tiles = divide_up(p.out, cut.outputs);
  const int64_t pieces = divide_up(p.row_bytes, cut.peers * Layout::kSlabs * kSlabRowBytes);
  const auto blocks = static_cast<unsigned>(
      cut.whole ? tiles * cut.peers : std::min<int64_t>(context.multiprocessors(), tiles * pieces));
  const int weight_slab = static_cast<int>(divide_up(cut.outputs, 8)) * 8 * kSlabRowBytes;
  const FewRowsWork work{
      .tiles = static_cast<int>(tiles),
      .outputs = cut.outputs,
      .peers = cut.peers,
      .pieces = static_cast<int>(pieces),
      .stages = Layout::kRingBytes / Layout::stage_bytes(weight_slab),
      .weight_slab = weight_slab,
      .under_way = std::max(1, kBytesUnderWay / (Layout::kSlabs * weight_slab)),
      .left = static_cast<float4*>(context.workspace(2 * blocks * kSums * sizeof(float4))),
      .counters = context.counters()};
  allow_shared_bytes(few_rows<Layout>, sizeof(FewRowsShared<Layout>));
  launch_early(context,
               {.blocks = blocks,
                .threads = Layout::kThreads,
                .shared_bytes = sizeof(FewRowsShared<Layout>),
                .cluster = static_cast<unsigned>(cut.peers)},
               few_rows<Layout>, map(p.weight, p.out, p.weight_stride, cut.outputs),
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
