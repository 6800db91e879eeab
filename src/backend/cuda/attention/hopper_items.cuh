// The items that blocks of the `hopper` kernel take: tiles of queries of one row and key/value
// head, some tokens with all heads of the group. Each block takes one item after the other, as they
// are numbered, from a counter on the device.
#pragma once

#include <type_traits>

#include "backend/cuda/attention/rows.cuh"
#include "backend/cuda/copy_engine.cuh"

namespace spate::cuda {

// C is the type of the cache. Codes are multiplied as f16, which holds all that the cache does.
template <int D, class C = bf16>
struct HopperLayout {
  static constexpr bool kCoded = sizeof(C) == 1;
  using Multiplied = std::conditional_t<kCoded, half, bf16>;
  static constexpr int kKeys = D <= 128 ? 128 : 64;  // of a tile
  static constexpr int kSlabs = (D + kSlabColumns - 1) / kSlabColumns;
  static constexpr int kQuerySlab = kItemQueries * kSlabRowBytes, kKeySlab = kKeys * kSlabRowBytes;
  static constexpr int kItemSlots = 1;
  // Tiles of keys, and of values; and, where they are converted, of codes of both.
  static constexpr int kStages = D <= 64 ? 4 : D <= 128 && !kCoded ? 3 : 2;
  static constexpr int kCodeStages = 4;
};

struct HopperItem {
  int first_token, tokens;  // of the step; no tokens: there are no more items
  int position;             // of the first token; of shared keys the last one
  int step;                 // from a token's position to the next one's; 0: they see the same keys
  int kv_head;
  int row;                   // whose keys they are
  int shared_part;           // of its rows: the number; -1: not of shared keys
  int first_tile, end_tile;  // of keys
};

// How items are numbered: row after row; in a row, some heads at once, whose keys fit the L2 cache
// together; among these, tiles of queries with many keys first, heads beside each other.
struct HopperWork {
  TiledRows rows;
  int tile_tokens;
  int keys_at_once;  // of all heads that are taken at once
};

// Finds items in ascending order, for a whole warp.
class ItemFinder {
 public:
  __device__ ItemFinder(const AttentionProblem& problem, const HopperWork& work)
      : problem_(problem),
        work_(work),
        rows_(work.rows == TiledRows::shared_parts ? problem.shared.parts_in_table : problem.rows) {
  }

  // The row (or the part of shared keys) that has it and its number in the row; row -1 when there
  // are fewer.
  struct Found {
    int row, number;
  };
  __device__ Found find(int item) {
    constexpr int kAtOnce = 8;  // times 32 rows, whose tokens are read together
    while (first_row_ < rows_) {
      int of_row[kAtOnce];
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i) {
        const int row = first_row_ + 32 * i + static_cast<int>(threadIdx.x) % 32;
        of_row[i] = row < rows_ ? tiles_of(row) * problem_.kv_heads : 0;
      }
#pragma unroll
      for (int i = 0; i < kAtOnce; ++i, first_row_ += 32) {
        if (__all_sync(~0U, of_row[i] == 0)) continue;
        const int through = sum_through(of_row[i]);
        const uint32_t behind = __ballot_sync(~0U, item < before_ + through);
        if (behind != 0) {
          const int found = __ffs(static_cast<int>(behind)) - 1;
          const int others = __shfl_sync(~0U, through, max(found - 1, 0));
          return {first_row_ + found, item - before_ - (found > 0 ? others : 0)};
        }
        before_ += __shfl_sync(~0U, through, 31);
      }
      // Unused parts of shared keys are last.
      if (work_.rows == TiledRows::shared_parts && __all_sync(~0U, of_row[kAtOnce - 1] == 0)) break;
    }
    return {-1, 0};
  }

  __device__ int tiles_of(int row) const {
    int tokens = 0;
    if (work_.rows == TiledRows::shared_parts) {
      tokens = shared_part(problem_, row).rows;
    } else if (const RowShape shape = row_shape(problem_, row);
               takes_row(problem_, work_.rows, shape)) {
      tokens = shape.tokens;
    }
    return (tokens + work_.tile_tokens - 1) / work_.tile_tokens;
  }

 private:
  const AttentionProblem& problem_;
  const HopperWork& work_;
  const int rows_;
  int first_row_ = 0;  // of the 32 that are looked at
  int before_ = 0;     // items of the rows before
};

// Item `number` of a part of shared keys.
template <int D>
__device__ HopperItem shared_item_of(const AttentionProblem& problem, const HopperWork& work,
                                     const SharedPart& part, int number) {
  constexpr int kKeys = HopperLayout<D>::kKeys;
  const int first = number / problem.kv_heads * work.tile_tokens;
  return {.first_token = part.first_row + first,
          .tokens = min(work.tile_tokens, part.rows - first),
          .position = part.end - 1,
          .step = 0,
          .kv_head = number % problem.kv_heads,
          .row = part.first_row,
          .shared_part = part.number,
          .first_tile = part.begin / kKeys,
          .end_tile = (part.end - 1) / kKeys + 1};
}

// Item `number` of a row that has so many tiles of tokens.
template <int D>
__device__ HopperItem item_of(const AttentionProblem& problem, const HopperWork& work, int row,
                              int tiles, int number) {
  constexpr int kKeys = HopperLayout<D>::kKeys;
  const RowShape shape = row_shape(problem, row);
  const int most_heads = min(problem.kv_heads, max(work.keys_at_once / shape.length, 1));
  const int section = number / (tiles * most_heads);
  const int of_section = number - section * tiles * most_heads;
  const int heads = min(most_heads, problem.kv_heads - section * most_heads);
  const int first = (tiles - 1 - of_section / heads) * work.tile_tokens;
  HopperItem item;
  item.first_token = shape.first_token + first;
  item.tokens = min(work.tile_tokens, shape.tokens - first);
  item.position = shape.position(first);
  item.step = 1;
  item.row = row;
  item.shared_part = -1;
  item.kv_head = section * most_heads + of_section % heads;
  item.first_tile = first_seen(problem, item.position) / kKeys;
  item.end_tile = (item.position + item.tokens - 1) / kKeys + 1;
  return item;
}

}  // namespace spate::cuda
