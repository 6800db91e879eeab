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
#include "backend/cuda/attention/hopper_rows.cuh"
#include "backend/cuda/attention/latent_work.cuh"
#include "backend/cuda/launch.cuh"

namespace spate::cuda {
namespace {

constexpr int kValueWarps = 8, kScoreWarps = 4;
constexpr int kLatentThreads = 32 * (kValueWarps + kScoreWarps + 4);  // of the last four one loads

// Of each thread; the register file has 512 for the four warps of a quarter.
constexpr int kValueRegisters = 176, kScoreRegisters = 112, kLoaderRegisters = 48;

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

// A place in the tile of weights.
__device__ inline unsigned char* weight_place(LatentShared& shared, int row, int vector) {
  return shared.weights + row * kSlabRowBytes + (vector ^ row % 8) * 16;
}

// ---- The warpgroup of scores.

// With the columns of a group of slabs.
template <int kGroup>
__device__ void multiply_latent_keys(float (&scores)[kLatentKeys / 8][4], LatentShared& shared,
                                     int slot) {
  const uint64_t queries = operand_at(shared_address(shared.queries), 0);
  const uint64_t keys = operand_at(shared_address(shared.keys[slot]), 0);
  bool add = kGroup > 0;
#pragma unroll
  for (int step = 0; step < kLatentWidth / 16; ++step) {
    if ((latent_slabs(kGroup) >> step / 4 & 1) == 0) continue;
    const int place = step / 4 * LatentLayout::kKeySlab + step % 4 * 32;
    multiply_shared<kLatentKeys>(scores, operand_behind(queries, place),
                                 operand_behind(keys, place), add);
    add = true;
  }
}

// Leaves weights, and what brings the sums before to their references.
__device__ void leave_weights(LatentShared& shared, const float (&weights)[kLatentKeys / 8][4],
                              const float (&correction)[2], int row) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
#pragma unroll
    for (int tile = 0; tile < kLatentKeys / 8; ++tile) {
      *reinterpret_cast<uint32_t*>(weight_place(shared, row + 8 * half, tile) + 4 * (lane % 4)) =
          pack<bf16>(weights[tile][2 * half], weights[tile][2 * half + 1]);
    }
    if (lane % 4 == 0) shared.correction[row + 8 * half] = correction[half];
  }
}

__device__ LatentTile tile_of(const LatentWalk& walk, const LatentWork& work) {
  using End = LatentTile::End;
  const LatentPlace& at = walk.at();
  const End end = !walk.last()                  ? End::none
                  : !walk.begun_here()          ? End::of_first_piece
                  : at.tile + 1 == walk.tiles() ? End::of_item
                                                : End::of_last_piece;
  return {walk.first(), end, at.shape.first_token + at.first_token(work), at.tokens(work)};
}

__device__ void score_latents(LatentShared& shared, const AttentionProblem& problem,
                              const LatentWork& work, const LatentShare& share) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane / 4;
  const HopperScale scale(problem);
  uint32_t weights_parity = 0, queries_parity = 0;
  RingPlace<LatentShared::kStages> key_place;
  HopperRows rows(problem, {}, row);
  float scores[kLatentKeys / 8][4], correction[2];
  for (LatentWalk walk(problem, work, share); walk.there(); walk.advance()) {
    const int position = walk.at().position(work), first_key = walk.at().tile * kLatentKeys;
    if (walk.first()) {
      rows = HopperRows(problem, {.position = position, .step = 1}, row);
      wait_for_phase(&shared.queries_full, queries_parity);
      queries_parity ^= 1;
    }
    wait_for_phase(shared.keys_full[key_place.slot], key_place.parity);
    begin_products();
    multiply_latent_keys<0>(scores, shared, key_place.slot);
    end_product_group();
    wait_for_phase(shared.keys_full[key_place.slot] + 1, key_place.parity);
    begin_products();
    multiply_latent_keys<1>(scores, shared, key_place.slot);
    end_product_group();
    wait_for_products<0>(scores);
    if (lane == 0) {
      for (Barrier& group : shared.keys_empty[key_place.slot]) arrive(&group);
      if (walk.last()) arrive(&shared.queries_empty);
    }
    key_place.advance();
    if (scale.cap > 0) cap_scores(scores, scale);
    if (first_key + kLatentKeys - 1 > position) rows.hide(scores, first_key, false);
    rows.weigh(scores, scale.factor, correction);

    wait_for_phase(&shared.weights_empty, weights_parity ^ 1);
    weights_parity ^= 1;
    leave_weights(shared, scores, correction, row);
    if (walk.last()) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float sum = row_sum(rows.sum[half]);
        if (lane % 4 == 0) shared.stats[row + 8 * half] = {rows.reference[half], sum};
      }
    }
    if (row == 0 && lane == 0) shared.tile = tile_of(walk, work);
    __syncwarp();
    if (lane == 0) arrive(&shared.weights_full);
  }
  wait_for_phase(&shared.weights_empty, weights_parity ^ 1);
  if (row == 0 && lane == 0) shared.tile.tokens = 0;
  __syncwarp();
  if (lane == 0) arrive(&shared.weights_full);
}

// ---- The warpgroups of values; `number` is 0 or 1.

class LatentValues {
  static constexpr int kColumns = kLatentValues / 4;  // of a product, and of a group of slabs
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
        first_column_(static_cast<int>(threadIdx.x) / 128 * 2 * kColumns) {}

  __device__ void add_up() {
    uint32_t weights_parity = 0;
    RingPlace<LatentShared::kStages> key_place;
    while (true) {
      wait_for_phase(&shared_.weights_full, weights_parity);
      weights_parity ^= 1;
      const LatentTile tile = shared_.tile;
      if (tile.tokens == 0) return;
      Weights weights;
      float correction[2];
      float2 stats[2];
      take_weights(weights, correction, stats);
      if (tile.first) clear();
      rescale(correction);

#pragma unroll
      for (int group = 0; group < kLatentGroups; ++group) {
        wait_for_phase(shared_.keys_full[key_place.slot] + group, key_place.parity);
        begin_products();
        multiply(group, weights, key_place.slot);
        end_product_group();
      }
      wait_for_products<1>(values_[0]);
      if (lane_ == 0) arrive(shared_.keys_empty[key_place.slot]);
      wait_for_products<0>(values_[1]);
      if (lane_ == 0) arrive(shared_.keys_empty[key_place.slot] + 1);
      key_place.advance();
      if (tile.end == LatentTile::End::of_item) {
        write(tile, stats);
      } else if (tile.end != LatentTile::End::none) {
        leave_piece(tile.end == LatentTile::End::of_last_piece, stats);
      }
    }
  }

 private:
  __device__ void clear() {
#pragma unroll
    for (auto& part : values_) {
#pragma unroll
      for (auto& tile : part) {
#pragma unroll
        for (float& value : tile) value = 0;
      }
    }
  }

  __device__ void take_weights(Weights& weights, float (&correction)[2], float2 (&stats)[2]) {
    const int row = static_cast<int>(threadIdx.x) % 128 / 32 * 16 + lane_ % 16;
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      load_matrices(weights[step], weight_place(shared_, row, 2 * step + lane_ / 16));
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      correction[half] = shared_.correction[row_ + 8 * half];
      stats[half] = shared_.stats[row_ + 8 * half];
    }
    __syncwarp();
    if (lane_ == 0) arrive(&shared_.weights_empty);
  }

  __device__ void rescale(const float (&correction)[2]) {
    if (!__any_sync(~0U, correction[0] != 1 || correction[1] != 1)) return;
#pragma unroll
    for (auto& part : values_) {
#pragma unroll
      for (auto& tile : part) {
#pragma unroll
        for (int i = 0; i < 4; ++i) tile[i] *= correction[i / 2];
      }
    }
  }

  // With the group's half of the columns.
  __device__ void multiply(int group, const Weights& weights, int slot) {
    const uint64_t keys = operand_at(shared_address(shared_.keys[slot]), LatentLayout::kKeySlab);
    const int slab = (first_column_ + group * kColumns) / kSlabColumns;
#pragma unroll
    for (int step = 0; step < kLatentKeys / 16; ++step) {
      multiply_registers<Along::columns, kColumns>(
          values_[group], weights[step],
          operand_behind(keys, slab * LatentLayout::kKeySlab + 16 * step * kSlabRowBytes), true);
    }
  }

  __device__ void write(const LatentTile& tile, const float2 (&stats)[2]) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const LatentQuery query(problem_, work_, part_, tile.first_token, tile.tokens,
                              row_ + 8 * half);
      const float factor =
          output_factor(problem_, query.there ? query.head : 0, stats[half].x, stats[half].y);
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        write_columns(query.out(problem_) + first_column_ + part * kColumns, values_[part], half,
                      factor, query.there);
      }
    }
  }

  __device__ void leave_piece(bool goes_on, const float2 (&stats)[2]) {
    const int64_t place = LatentPieces::place(static_cast<int>(blockIdx.x), goes_on) + row_;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t query = place + 8 * half;
      if (lane_ % 4 == 0 && first_column_ == 0) pieces_.stats[query] = stats[half];
      float* to = pieces_.values + query * kLatentValues + first_column_ + 2 * (lane_ % 4);
#pragma unroll
      for (int part = 0; part < 2; ++part) {
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
};

__global__ void __launch_bounds__(kLatentThreads, 1)
    latent(const __grid_constant__ AttentionProblem problem,
           const __grid_constant__ LatentWork work, const __grid_constant__ LatentMaps maps,
           const __grid_constant__ LatentPieces pieces) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<LatentShared*>(bytes);
  if (threadIdx.x == 0) shared.init_barriers(kScoreWarps, kValueWarps);
  if (threadIdx.x == 32) {
    prefetch_map(maps.queries);
    prefetch_map(maps.keys[0]);
  }
  const LatentShare share = find_share<kLatentThreads>(problem, work, ShareEnd::first);
  if (share.found.row < 0) return;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (warp < kValueWarps) {
    take_registers<kValueRegisters>();
    LatentValues(shared, problem, work, pieces, share.part).add_up();
  } else if (warp < kValueWarps + kScoreWarps) {
    keep_registers<kScoreRegisters>();
    score_latents(shared, problem, work, share);
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
  for (int size = 0; size < kBoxSizes; ++size) {
    maps.keys[size] =
        map_cache(context, problem, problem.keys, problem.key_stride, box_rows<kLatentWidth>(size));
  }
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
