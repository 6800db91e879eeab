// Latent attention (DeepSeek-AI, 2024: multi-head latent attention with its projections folded into
// queries and outputs) on Hopper's matrix products: keys of 576 elements, the same for all heads,
// whose first 512 are the values. latent_work.cuh says what a block works on.
//
// A block has three warpgroups and a warp that loads. One warpgroup multiplies the queries with a
// tile of keys and turns the products into weights, which the two others find in shared memory;
// these have half of the value columns each, and add up weighed values while the first goes on
// with the next tile. An item that is cut between shares leaves a piece in each, and a second
// kernel merges them.
//
// A query's result takes nothing from others, and tiles of keys begin at multiples of their size
// counted from position 0: where items are not cut, a token's bits depend on its own keys alone.
#include "backend/cuda/attention/latent_load.cuh"
#include "backend/cuda/attention/latent_values.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {
namespace {

constexpr int kValueWarps = 8, kScoreWarps = 4;
constexpr int kLatentThreads = 32 * (kValueWarps + kScoreWarps + 4);  // of the last four one loads

// Of each thread; the register file has 512 for the four warps of a quarter.
constexpr int kValueRegisters = 176, kScoreRegisters = 120, kLoaderRegisters = 40;
static_assert(2 * kValueRegisters + kScoreRegisters + kLoaderRegisters <= 512);  // or they wait

__global__ void __launch_bounds__(kLatentThreads, 1)
    latent(const __grid_constant__ AttentionProblem problem,
           const __grid_constant__ LatentWork work, const __grid_constant__ LatentMaps maps,
           const __grid_constant__ LatentPieces pieces) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<LatentShared*>(bytes);
  if (threadIdx.x == 0) shared.init_barriers(kScoreWarps, kValueWarps);
  if (threadIdx.x == 32) prefetch_map(maps.queries);
  if (threadIdx.x / 32 == 2) prefetch_maps(maps.keys);
  const LatentShare share = find_share<kLatentThreads>(problem, work, ShareEnd::first);
  if (share.found.row < 0) return;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (warp < kValueWarps) {
    take_registers<kValueRegisters>();
    LatentValues(shared, problem, work, pieces, share.part).add_up();
  } else if (warp < kValueWarps + kScoreWarps) {
    keep_registers<kScoreRegisters>();
    LatentScores(shared, problem, work).weigh_share(share);
  } else {
    keep_registers<kLoaderRegisters>();
    if (warp > kValueWarps + kScoreWarps) return;
    load_latents(shared, problem, work, maps, share);
  }
}

// Merges the pieces of the item that goes on behind a block's share; a warp has one query. Grid:
// blocks of `latent`, queries / warps.
constexpr int kMergeWarps = 4;
__global__ void __launch_bounds__(32 * kMergeWarps)
    merge_latents(const __grid_constant__ AttentionProblem problem,
                  const __grid_constant__ LatentWork work,
                  const __grid_constant__ LatentPieces pieces) {
  const LatentShare share = find_share<32 * kMergeWarps>(problem, work, ShareEnd::last);
  if (share.found.row < 0) return;
  const LatentPlace at(problem, work, share.found);
  const int begin = share.end - 1 - at.tile, end = begin + at.tiles(work);
  if (begin < share.begin || end <= share.end) return;  // it begins before, or ends here
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(blockIdx.y) * kMergeWarps + static_cast<int>(threadIdx.x) / 32;
  const LatentQuery query(problem, work, share.part, at.shape.first_token + at.first_token(work),
                          at.tokens(work), row);
  if (!query.there) return;
  const int first = static_cast<int>(blockIdx.x);
  const int last = share.shares.block_of(end - 1) * work.parts + share.part;
  const auto place_of = [&](int block) { return LatentPieces::place(block, block == first) + row; };

  float2 merged{-INFINITY, 0};
  for (int block = first; block <= last; block += work.parts) {
    merged.x = fmaxf(merged.x, pieces.stats[place_of(block)].x);
  }
  float4 values[kLatentValues / 128] = {};
  for (int block = first; block <= last; block += work.parts) {
    const float2 stats = pieces.stats[place_of(block)];
    const float weight = piece_weight(stats, merged.x);
    merged.y = fmaf(weight, stats.y, merged.y);
    const auto* piece =
        reinterpret_cast<const float4*>(pieces.values + place_of(block) * kLatentValues) + lane;
#pragma unroll
    for (int i = 0; i < kLatentValues / 128; ++i) {
      add_weighed(values[i], weight, __ldcs(piece + 32 * i));
    }
  }
  const float factor = output_factor(problem, query.head, merged.x, merged.y);
#pragma unroll
  for (int i = 0; i < kLatentValues / 128; ++i) {
    reinterpret_cast<uint2*>(query.out(problem))[32 * i + lane] = {
        pack<bf16>(values[i].x * factor, values[i].y * factor),
        pack<bf16>(values[i].z * factor, values[i].w * factor)};
  }
}

}  // namespace

void attend_latents(const Context& context, const AttentionProblem& problem, bool whole_items) {
  LatentWork work{.heads = std::min(problem.group, kLatentQueries),
                  .parts = static_cast<int>(divide_up(problem.group, kLatentQueries)),
                  .whole_items = whole_items};
  work.tokens = kLatentQueries / work.heads;
  work.shares = std::max(context.multiprocessors() / work.parts, 1);
  const int blocks = work.shares * work.parts;
  LatentMaps maps;
  maps.queries =
      context.tensor_map({.data = problem.q,
                          .sizes = {kLatentWidth, static_cast<uint64_t>(problem.group),
                                    static_cast<uint64_t>(problem.tokens)},
                          .strides = {kLatentWidth, static_cast<uint64_t>(problem.q_stride)},
                          .box = {kSlabColumns, static_cast<uint32_t>(work.heads),
                                  static_cast<uint32_t>(work.tokens)}});
  map_boxes(context, problem, problem.keys, problem.key_stride, kLatentKeys, maps.keys);
  const LatentPieces pieces =
      LatentPieces::in(context.workspace(LatentPieces::bytes(blocks)), blocks);
  allow_shared_bytes(latent, sizeof(LatentShared));
  launch(context,
         {.blocks = static_cast<unsigned>(blocks),
          .threads = kLatentThreads,
          .shared_bytes = sizeof(LatentShared)},
         latent, problem, work, maps, pieces);
  if (whole_items) return;
  launch(context,
         {.blocks = dim3(static_cast<unsigned>(blocks), kLatentQueries / kMergeWarps),
          .threads = 32 * kMergeWarps},
         merge_latents, problem, work, pieces);
}

}  // namespace spate::cuda
