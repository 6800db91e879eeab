// Products of some more rows than few with plain weights or codes of e4m3, which reading the
// weights and the rows bounds: a block has up to 256 outputs, 64 for each warpgroup, and all of
// them read the same x in shared memory. Where there are not as many outputs, up to four peers have
// a part of the inputs each; they exchange their sums through shared memory, and each brings a part
// of the rows to its end.
#pragma once

#include "backend/cuda/linear/few_rows_load.cuh"
#include "backend/cuda/linear/few_rows_products.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {

constexpr int kGroupOutputs = 64, kMostGroups = 4, kMostPeers = 4;

template <Element kElement_, int kRows_>
struct MediumRowsLayout {
  static constexpr Element kElement = kElement_;
  static constexpr int kRows = kRows_;
  static constexpr int kSlabs = 1;  // of a stage
  static constexpr int kXSlab = kRows * kSlabRowBytes;
  static constexpr int kMostThreads = kMostGroups * 128 + 64;
  static constexpr int kTiles = kRows / 8;  // of 8 rows
  static constexpr int kRingBytes = 216 * 1024;
  static constexpr int stage_bytes(int weight_slab) { return kSlabs * (weight_slab + kXSlab); }
  static constexpr int kMostStages = kRingBytes / stage_bytes(kGroupOutputs / 2 * kSlabRowBytes);
};

template <class Layout>
struct MediumRowsShared : FewRowsRing<Layout> {
  Barrier received;
  float x_scales[Layout::kRows];
};

template <class Layout>
using MediumRowsSums = float[Layout::kTiles][4];

// Waits for the threads that multiply, so many of them.
__device__ inline void sync_multiplying(int threads) {
  asm volatile("bar.sync 1, %0;" : : "r"(threads) : "memory");
}

template <class Layout>
__device__ void multiply_inputs(MediumRowsShared<Layout>& shared, const FewRowsWork& work,
                                int group, MediumRowsSums<Layout>& sums) {
  RingPlace<Layout::kMostStages> at;
  for (int piece = 0; piece < work.pieces; ++piece, at.advance(work.stages)) {
    wait_for_phase(shared.full + at.slot, at.parity);
    wait_for_phase(shared.x_full + at.slot, at.parity);
    const uint64_t weights = operand_at(
        shared_address(shared.weights(work, at.slot)) + group * kGroupOutputs * kSlabRowBytes, 0);
    const uint64_t x = operand_at(shared_address(shared.x(work, at.slot)), 0);
    begin_products();
#pragma unroll
    for (int bytes = 0; bytes < kSlabRowBytes; bytes += 32) {
      multiply_few<Layout::kElement>(sums, operand_behind(weights, bytes), operand_behind(x, bytes),
                                     piece > 0 || bytes > 0);
    }
    end_product_group();
    wait_for_products<0>(sums);
    if (threadIdx.x % 32 == 0) arrive(shared.empty + at.slot);
  }
}

// Adds up what the peers have of the tiles of rows that this one brings to their end. The rings of
// all have been emptied; sums go there.
template <class Layout>
__device__ void exchange_sums(MediumRowsShared<Layout>& shared, int peers, int threads,
                              MediumRowsSums<Layout>& sums) {
  const int thread = static_cast<int>(threadIdx.x), rank = cluster_rank();
  const int tiles = Layout::kTiles / peers;  // of each
  auto* all = reinterpret_cast<float4*>(shared.ring);
  const auto place = [&](int from, int tile) {
    return all + (from * tiles + tile % tiles) * threads + thread;
  };
  if (thread == 0) {
    arrive_announcing(&shared.received,
                      (peers - 1) * tiles * threads * static_cast<int>(sizeof(float4)));
  }
#pragma unroll
  for (int i = 0; i < Layout::kTiles; ++i) {
    const int owner = i / tiles;
    if (owner == rank) continue;
    store_in_block(place(rank, i),
                   int4{__float_as_int(sums[i][0]), __float_as_int(sums[i][1]),
                        __float_as_int(sums[i][2]), __float_as_int(sums[i][3])},
                   &shared.received, owner);
  }
  wait_for_phase(&shared.received, 0);
#pragma unroll
  for (int i = 0; i < Layout::kTiles; ++i) {
    if (i / tiles != rank) continue;
    float4 sum{0, 0, 0, 0};
    for (int peer = 0; peer < peers; ++peer) {  // in one order, whoever adds
      const float4 part =
          peer == rank ? float4{sums[i][0], sums[i][1], sums[i][2], sums[i][3]} : *place(peer, i);
      sum = {sum.x + part.x, sum.y + part.y, sum.z + part.z, sum.w + part.w};
    }
    sums[i][0] = sum.x;
    sums[i][1] = sum.y;
    sums[i][2] = sum.z;
    sums[i][3] = sum.w;
  }
}

// Tiles [first, last) of rows, of the block's outputs.
template <class Layout>
__device__ void write_sums(const MediumRowsShared<Layout>& shared, const FewRowsProblem& p,
                           int64_t begin, int64_t end, int first, int last,
                           const MediumRowsSums<Layout>& sums) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t output = begin + thread / 32 * 16 + 8 * half + lane / 4;
    if (output >= end) continue;
    const float bias = p.bias != nullptr ? p.bias[output] : 0;
    float scale = 1;
    if constexpr (Layout::kElement == Element::e4m3) scale = p.weight_scales[output];
#pragma unroll
    for (int i = 0; i < 2 * Layout::kTiles; ++i) {
      const int row = i / 2 * 8 + lane % 4 * 2 + i % 2;
      if (i / 2 < first || i / 2 >= last || row >= p.rows) continue;
      float sum = sums[i / 2][2 * half + i % 2];
      if constexpr (Layout::kElement == Element::e4m3) sum *= scale * shared.x_scales[row];
      sum += bias;
      if (p.to_f32) {
        static_cast<float*>(p.to)[row * p.to_stride + output] = sum;
      } else {
        static_cast<bf16*>(p.to)[row * p.to_stride + output] = from_float<bf16>(sum);
      }
    }
  }
}

template <class Layout>
__global__ void __launch_bounds__(Layout::kMostThreads, 1)
    medium_rows(const __grid_constant__ CUtensorMap weight_map,
                const __grid_constant__ CUtensorMap x_map, const __grid_constant__ FewRowsProblem p,
                const __grid_constant__ FewRowsWork work) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<MediumRowsShared<Layout>*>(bytes);
  const int thread = static_cast<int>(threadIdx.x);
  const int multiplying = static_cast<int>(blockDim.x) - 64;
  if (thread == 0) {
    shared.init_barriers(multiplying / 32);
    init_barrier(&shared.received, 1);
    publish_barriers();
  }
  __syncthreads();
  let_next_kernel_begin();
  const int tile = static_cast<int>(blockIdx.x) / work.peers;
  if (thread >= multiplying) {
    const int begin = tile * work.pieces;
    load_share(shared, weight_map, x_map, work, thread < multiplying + 32, begin,
               begin + work.pieces);
    if (work.peers > 1) {
      __syncwarp();
      sync_cluster();
    }
    return;
  }
  wait_for_kernel_before();
  if constexpr (Layout::kElement == Element::e4m3) {
    for (int row = thread; row < p.rows; row += multiplying) {
      shared.x_scales[row] = p.x_scales[row];
    }
    sync_multiplying(multiplying);
  }
  MediumRowsSums<Layout> sums;
  multiply_inputs(shared, work, thread / 128, sums);
  int first = 0, last = Layout::kTiles;
  if (work.peers > 1) {
    sync_cluster();
    exchange_sums(shared, work.peers, multiplying, sums);
    const int tiles = Layout::kTiles / work.peers;
    first = cluster_rank() * tiles;
    last = first + tiles;
  }
  const int64_t begin = int64_t{tile} * work.outputs;
  write_sums(shared, p, begin, min(begin + work.outputs, p.out), first, last, sums);
}

// How outputs are cut: into tiles of so many, of which `peers` blocks each have a part of the
// inputs. No peers: they cannot be.
struct MediumRowsCut {
  int peers = 0, outputs = 0;
};

inline MediumRowsCut cut_medium_rows(int64_t outputs, int multiprocessors) {
  for (int peers = kMostPeers; peers > 0; peers /= 2) {
    // Not all groups of multiprocessors are multiples of four: 132 have room for 30 such clusters.
    const int64_t tiles = peers == 4 ? multiprocessors / 4 * 7 / 8 : multiprocessors / peers;
    const int64_t of_tile = divide_up(outputs, std::max<int64_t>(1, tiles));
    if (of_tile >= kGroupOutputs / 2 && of_tile <= kMostGroups * kGroupOutputs) {
      return {peers, static_cast<int>(of_tile)};
    }
  }
  return {};
}

template <class Layout>
void launch_medium_rows(const Context& context, const FewRowsProblem& p) {
  const MediumRowsCut cut = cut_medium_rows(p.out, context.multiprocessors());
  const int64_t tiles = divide_up(p.out, cut.outputs);
  const int weight_slab = weight_slab_bytes(cut.outputs);
  const int stages = Layout::kRingBytes / Layout::stage_bytes(weight_slab);
  const FewRowsWork work{.tiles = static_cast<int>(tiles),
                         .outputs = cut.outputs,
                         .peers = cut.peers,
                         .pieces = static_cast<int>(
                             divide_up(p.row_bytes, cut.peers * Layout::kSlabs * kSlabRowBytes)),
                         .stages = stages,
                         .weight_slab = weight_slab,
                         .under_way = stages_under_way<Layout>(weight_slab, stages),
                         .left = nullptr,
                         .counters = nullptr};
  allow_shared_bytes(medium_rows<Layout>, sizeof(MediumRowsShared<Layout>));
  launch_early(context,
               {.blocks = static_cast<unsigned>(tiles * cut.peers),
                .threads = static_cast<unsigned>(divide_up(cut.outputs, kGroupOutputs) * 128 + 64),
                .shared_bytes = sizeof(MediumRowsShared<Layout>),
                .cluster = static_cast<unsigned>(cut.peers)},
               medium_rows<Layout>, weight_boxes(context, p, cut.outputs),
               x_boxes(context, p, Layout::kRows), p, work);
}

}  // namespace spate::cuda
