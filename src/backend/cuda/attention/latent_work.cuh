// What the blocks of the `latent` kernel work on, and what they have in shared memory.
//
// All heads of latent attention have one key, whose first elements are its value. An item is a tile
// of up to 64 queries of one row: some tokens with all their heads, or one token with 64 of them.
// Each item takes tiles of 64 keys up to that of its last token. Those of all rows form one
// sequence, row after row and token after token, which is cut into equal shares. Where tokens have
// more than 64 heads, a share belongs to some blocks side by side, one for each 64 heads, which
// find keys that another one has read in the L2 cache.
#pragma once

#include <type_traits>
#include <utility>

#include "backend/cuda/attention/cache_map.h"
#include "backend/cuda/attention/hopper_load.cuh"
#include "backend/cuda/attention/pieces.cuh"

namespace spate::cuda {

constexpr int kLatentWidth = 576, kLatentValues = 512;
constexpr int kLatentQueries = 64;  // of an item
using LatentLayout = HopperLayout<kLatentWidth>;
constexpr int kLatentKeys = LatentLayout::kKeys;  // of a tile

struct LatentWork {
  int heads;         // of an item
  int tokens;        // of an item, at most
  int parts;         // of the heads of a token: blocks of a share
  int shares;        // at most
  bool whole_items;  // are never cut: a share is the items that begin in it
};

// Boxes of keys have 2^n rows, up to a tile's.
constexpr int kLatentBoxSizes = 7;
static_assert(kLatentKeys == 1 << (kLatentBoxSizes - 1));

struct LatentMaps {
  CUtensorMap queries, keys[kLatentBoxSizes];
};

// The sum of floor((begin + i * step) / 64) over i < count; step is 1 to 64. Sums of floors turn
// into smaller ones by exchanging the axes, as in Euclid's algorithm.
__device__ inline int sum_of_floors(int count, int step, int begin) {
  int64_t n = count, a = step, b = begin, m = kLatentKeys, sum = 0;
  while (n > 0) {
    sum += n * (n - 1) / 2 * (a / m) + n * (b / m);
    a %= m;
    b %= m;
    const int64_t top = a * n + b;
    n = top / m;
    b = top % m;
    const int64_t old = m;
    m = a;
    a = old;
  }
  return static_cast<int>(sum);
}

// Tiles of keys of a row's first items.
__device__ inline int tiles_before(const LatentWork& work, const RowShape& shape, int items) {
  const int full = min(items, shape.tokens / work.tokens);
  const int tiles = sum_of_floors(full, work.tokens, shape.position(work.tokens - 1) + kLatentKeys);
  return tiles + (items > full ? (shape.length + kLatentKeys - 1) / kLatentKeys : 0);
}
__device__ inline int items_of(const LatentWork& work, const RowShape& shape) {
  return (shape.tokens + work.tokens - 1) / work.tokens;
}

// Shares of the sequence, one for `parts` blocks side by side.
struct LatentShare {
  Shares shares;
  int part;        // of the heads
  int begin, end;  // places; none where there is nothing to do
  FoundRow found;  // the row of a place
};

// The share of a block, and the row of its first place, or its last one. For a whole block of
// kThreads.
enum class ShareEnd { first, last };
template <int kThreads>
__device__ LatentShare find_share(const AttentionProblem& problem, const LatentWork& work,
                                  ShareEnd wanted) {
  const int number = static_cast<int>(blockIdx.x) / work.parts;
  LatentShare share{.part = static_cast<int>(blockIdx.x) % work.parts};
  const auto count = [&](int row) {
    const RowShape shape = row_shape(problem, row);
    return tiles_before(work, shape, items_of(work, shape));
  };
  share.found = find_row<kThreads>(problem.rows, count, [&](int total) {
    share.shares = {total, min(max(total / kLeastShare, 1), work.shares)};
    share.begin = share.end = total;
    if (number >= share.shares.blocks) return total;
    share.begin = share.shares.begin(number);
    share.end = share.shares.begin(number + 1);
    return wanted == ShareEnd::first ? share.begin : share.end - 1;
  });
  return share;
}

// A place in the sequence.
struct LatentPlace {
  int row, item, tile;  // item counts from the row's first, tile from the item's
  int place;
  RowShape shape;

  __device__ LatentPlace(const AttentionProblem& problem, const LatentWork& work,
                         const FoundRow& found)
      : row(found.row), item(0), place(found.place), shape(row_shape(problem, found.row)) {
    const int in_row = place - found.before;
    for (int count = items_of(work, shape); count > 1;) {  // the last that begins there or before
      const int half = count / 2;
      const bool begun = tiles_before(work, shape, item + half) <= in_row;
      item += begun ? half : 0;
      count = begun ? count - half : half;
    }
    tile = in_row - tiles_before(work, shape, item);
  }
  __device__ int first_token(const LatentWork& work) const { return item * work.tokens; }  // of row
  __device__ int tokens(const LatentWork& work) const {
    return min(work.tokens, shape.tokens - first_token(work));
  }
  __device__ int position(const LatentWork& work) const {  // of its first token
    return shape.position(first_token(work));
  }
  __device__ int tiles(const LatentWork& work) const {  // of the item
    return (position(work) + tokens(work) - 1) / kLatentKeys + 1;
  }
};

// Goes through the items of a share; of the first and the last one it may have a part.
class LatentWalk {
 public:
  __device__ LatentWalk(const AttentionProblem& problem, const LatentWork& work,
                        const LatentShare& share)
      : problem_(problem), work_(work), share_(share), at_(problem, work, share.found) {
    if (work.whole_items && at_.tile > 0) advance();  // another block has this item
  }
  __device__ bool there() const { return at_.place < share_.end; }
  // The first tile of the item in this share, and the end of its tiles here.
  __device__ const LatentPlace& at() const { return at_; }
  __device__ int end_tile() const {
    const int tiles = at_.tiles(work_);
    return work_.whole_items ? tiles : min(tiles, at_.tile + share_.end - at_.place);
  }
  __device__ void advance() {
    at_.place += at_.tiles(work_) - at_.tile;
    at_.tile = 0;
    if (!there()) return;
    if (++at_.item < items_of(work_, at_.shape)) return;
    at_.item = 0;
    do {
      at_.shape = row_shape(problem_, ++at_.row);
    } while (at_.shape.tokens == 0);
  }

 private:
  const AttentionProblem& problem_;
  const LatentWork& work_;
  const LatentShare& share_;
  LatentPlace at_;
};

// What those who weigh values must know of an item.
struct LatentItem {
  enum class End { of_item, of_first_piece, of_last_piece };
  int tiles;                // in this share; 0: there are no more items
  End end;                  // what the last tile ends
  int first_token, tokens;  // of the step
};

// Slabs of keys come, and become free, in groups: the same part of each value warpgroup's columns;
// the first has what only scores need, too.
constexpr int kLatentGroups = 2;
__host__ __device__ constexpr uint32_t latent_slabs(int group) {  // bits
  return group == 0 ? 0b1'0011'0011 : 0b0'1100'1100;
}
// Calls body(std::integral_constant<int, group>) for each.
template <class Body, int... kGroups>
__device__ void for_latent_groups(const Body& body, std::integer_sequence<int, kGroups...>) {
  (body(std::integral_constant<int, kGroups>{}), ...);
}
template <class Body>
__device__ void for_latent_groups(const Body& body) {
  for_latent_groups(body, std::make_integer_sequence<int, kLatentGroups>{});
}

struct LatentShared {
  using Layout = LatentLayout;
  static constexpr int kStages = Layout::kStages;  // tiles of keys
  alignas(1024) unsigned char queries[Layout::kSlabs * Layout::kKeySlab];
  unsigned char keys[kStages][Layout::kSlabs * Layout::kKeySlab];
  unsigned char weights[kLatentQueries * kSlabRowBytes];  // of a tile's keys, as a slab
  float correction[kLatentQueries];  // of the sums before, as it comes with the weights
  float2 stats[kLatentQueries];      // reference and sum of weights, with the last of an item
  LatentItem item;                   // as it comes with the first weights of an item
  Barrier queries_full, queries_empty;
  Barrier keys_full[kStages][kLatentGroups], keys_empty[kStages][kLatentGroups];
  Barrier weights_full, weights_empty;

  __device__ void init_barriers(int score_warps, int value_warps) {
    init_barrier(&queries_full, 1);
    init_barrier(&queries_empty, score_warps);
    for (int i = 0; i < kStages * kLatentGroups; ++i) {
      init_barrier(keys_full[0] + i, 1);
      init_barrier(keys_empty[0] + i, score_warps + value_warps);
    }
    init_barrier(&weights_full, 32 * score_warps);  // of every lane that wrote or read
    init_barrier(&weights_empty, 32 * value_warps);
    publish_barriers();
  }
};

}  // namespace spate::cuda
