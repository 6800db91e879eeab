// The ring of a block of `few_rows` and of `medium_rows`, and the two warps that fill it by the
// copy engine, one with weights and one with x.
#pragma once

#include <algorithm>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/few_rows.h"
#include "backend/cuda/types.cuh"
#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {

struct FewRowsWork {
  int tiles, outputs;  // tiles of so many outputs
  int peers, pieces;   // blocks that share the inputs of a tile; pieces of inputs for each
  int stages;          // of the ring
  int weight_slab;     // its bytes there
  int under_way;       // stages at most whose weights are on their way
  float4* left;        // sums that blocks leave, of each the first and the last
  uint32_t* counters;  // of blocks that have left sums, one a tile
};

// What the copy engine brings at once, of so many rows. Codes come two by two, as if they were one
// element of bf16.
inline CUtensorMap few_rows_boxes(const Context& context, const FewRowsProblem& p, const void* data,
                                  int64_t rows, int64_t stride, int box_rows) {
  constexpr int64_t kSize = sizeof(bf16);
  return context.tensor_map(boxed_rows(data, rows, p.row_bytes / kSize, stride / kSize, box_rows));
}
inline CUtensorMap weight_boxes(const Context& context, const FewRowsProblem& p, int outputs) {
  return few_rows_boxes(context, p, p.weight, p.out, p.weight_stride, outputs);
}
inline CUtensorMap x_boxes(const Context& context, const FewRowsProblem& p, int rows) {
  return few_rows_boxes(context, p, p.x, p.rows, p.x_stride, rows);
}

// Of a slab of so many outputs in a ring.
inline int weight_slab_bytes(int outputs) {
  return static_cast<int>(divide_up(outputs, 8)) * 8 * kSlabRowBytes;
}

// Of a ring of so many stages. Memory answers within a microsecond or two, in which it gives a
// multiprocessor about half of these bytes.
template <class Layout>
int stages_under_way(int weight_slab, int stages) {
  constexpr int kBytes = 64 * 1024;
  return std::clamp(kBytes / (Layout::kSlabs * weight_slab), 1, stages);
}

// Stages: slabs of weights, then of x.
template <class Layout>
struct FewRowsRing {
  alignas(1024) unsigned char ring[Layout::kRingBytes];
  Barrier full[Layout::kMostStages], x_full[Layout::kMostStages], empty[Layout::kMostStages];

  __device__ unsigned char* weights(const FewRowsWork& work, int stage) {
    return ring + stage * Layout::stage_bytes(work.weight_slab);
  }
  __device__ unsigned char* x(const FewRowsWork& work, int stage) {
    return weights(work, stage) + Layout::kSlabs * work.weight_slab;
  }
  // One thread, for so many warps that multiply.
  __device__ void init_barriers(int warps) {
    for (int i = 0; i < Layout::kMostStages; ++i) {
      init_barrier(full + i, 1);
      init_barrier(x_full + i, 1);
      init_barrier(empty + i, warps);
    }
  }
};

// Calls body(place, stage) for each place of a block's share in turn, once its stage is empty.
template <class Layout, class Body>
__device__ void for_stages(FewRowsRing<Layout>& shared, const FewRowsWork& work, int begin, int end,
                           const Body& body) {
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

// One lane of a warp. No more is under way than keeps memory busy, for what was asked for besides
// stands in queues before the few rows that products wait for, and those of the kernel ahead.
template <class Layout>
__device__ void load_weights(FewRowsRing<Layout>& shared, const CUtensorMap& weight_map,
                             const FewRowsWork& work, int begin, int end) {
  RingPlace<Layout::kMostStages> earlier;
  for_stages(shared, work, begin, end, [&](int place, int stage) {
    if (place - begin >= work.under_way) {
      wait_for_phase(shared.full + earlier.slot, earlier.parity);
      earlier.advance(work.stages);
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
__device__ void load_x(FewRowsRing<Layout>& shared, const CUtensorMap& x_map,
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

// What the warps behind those that multiply do.
template <class Layout>
__device__ void load_share(FewRowsRing<Layout>& shared, const CUtensorMap& weight_map,
                           const CUtensorMap& x_map, const FewRowsWork& work, bool of_weights,
                           int begin, int end) {
  if (!elected()) return;
  if (of_weights) {
    load_weights(shared, weight_map, work, begin, end);
  } else {
    load_x(shared, x_map, work, begin, end);
  }
}

}  // namespace spate::cuda
