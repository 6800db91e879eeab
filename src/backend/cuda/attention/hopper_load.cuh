// What a block of the `hopper` kernel works on, and the warp that brings it to shared memory.
//
// An item is a tile of queries of one row and key/value head: some tokens with all heads of the
// group. Each block takes one item after the other, as they are numbered, from a counter on the
// device. Its loading warp runs ahead of the others and fills rings: of items with their queries,
// of tiles of keys and of tiles of values.
#pragma once

#include "backend/cuda/attention/rows.cuh"
#include "backend/cuda/hopper.cuh"

namespace spate::cuda {

constexpr int kConsumerWarps = 8;

template <int D>
struct HopperLayout {
  static constexpr int kKeys = D <= 128 ? 128 : 64;  // of a tile
  static constexpr int kSlabs = (D + kSlabColumns - 1) / kSlabColumns;
  static constexpr int kQuerySlab = kItemQueries * kSlabRowBytes, kKeySlab = kKeys * kSlabRowBytes;
  static constexpr int kItemSlots = 1;
  static constexpr int kStages = D <= 64 ? 4 : D <= 128 ? 3 : 2;  // tiles of keys, and of values
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

template <int D>
struct HopperShared {
  using Layout = HopperLayout<D>;
  alignas(1024) unsigned char queries[Layout::kItemSlots][Layout::kSlabs * Layout::kQuerySlab];
  unsigned char keys[Layout::kStages][Layout::kSlabs * Layout::kKeySlab];
  unsigned char values[Layout::kStages][Layout::kSlabs * Layout::kKeySlab];
  HopperItem items[Layout::kItemSlots];
  Barrier items_full[Layout::kItemSlots], items_empty[Layout::kItemSlots];
  Barrier keys_full[Layout::kStages], keys_empty[Layout::kStages];
  Barrier values_full[Layout::kStages], values_empty[Layout::kStages];

  __device__ void init_barriers() {
    for (int i = 0; i < Layout::kItemSlots; ++i) {
      init_barrier(items_full + i, 1);
      init_barrier(items_empty + i, 32 * kConsumerWarps);
    }
    for (int i = 0; i < Layout::kStages; ++i) {
      init_barrier(keys_full + i, 1);
      init_barrier(keys_empty + i, kConsumerWarps);
      init_barrier(values_full + i, 1);
      init_barrier(values_empty + i, kConsumerWarps);
    }
    publish_barriers();
  }
};

// Boxes of keys and values have the most rows of these that a segment still holds.
constexpr int kBoxSizes = 4;
template <int D>
__host__ __device__ constexpr int box_rows(int size) {
  return size == 0 ? HopperLayout<D>::kKeys : size == 1 ? 32 : size == 2 ? 8 : 1;
}

// Tensors of [width, heads, tokens or slots].
struct HopperMaps {
  CUtensorMap queries;
  CUtensorMap keys[kBoxSizes], values[kBoxSizes];
};

// How items are numbered: row after row; in a row, some heads at once, whose keys fit the L2 cache
// together; among these, tiles of queries with many keys first, heads beside each other.
struct HopperWork {
  TiledRows rows;
  int tile_tokens;
  int64_t keys_at_once;  // of all heads that are taken at once
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
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (; first_row_ < rows_; first_row_ += 32) {
      const int row = first_row_ + lane;
      const int of_row = row < rows_ ? tiles_of(row) * problem_.kv_heads : 0;
      if (work_.rows == TiledRows::shared_parts && __all_sync(~0U, of_row == 0)) break;
      const int through = sum_through(of_row);
      const uint32_t behind = __ballot_sync(~0U, item < before_ + through);
      if (behind != 0) {
        const int found = __ffs(static_cast<int>(behind)) - 1;
        const int others = __shfl_sync(~0U, through, max(found - 1, 0));
        return {first_row_ + found, item - before_ - (found > 0 ? others : 0)};
      }
      before_ += __shfl_sync(~0U, through, 31);
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
  const int most_heads = static_cast<int>(
      min(int64_t{problem.kv_heads}, max(work.keys_at_once / shape.length, int64_t{1})));
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

// Brings tiles of a row's keys, or values, one after the other; for a whole warp.
template <int D>
class TileLoader {
  using Layout = HopperLayout<D>;

 public:
  // The first `length` keys of the row.
  __device__ TileLoader(const AttentionProblem& problem, int row, int length, int kv_head,
                        const CUtensorMap* maps)
      : maps_(maps), cursor_(problem, row), length_(length), kv_head_(kv_head) {}

  // Some slabs of a tile, as bits, or all. Rows behind the last key are left as they are.
  static constexpr uint32_t kAllSlabs = (1U << Layout::kSlabs) - 1;
  template <uint32_t kWanted = kAllSlabs>
  __device__ void load(unsigned char* to, int tile, Barrier* barrier) {
    if (elected()) {
      arrive_announcing(barrier, rows_of(tile) * __popc(kWanted) * kSlabRowBytes);
    }
    for_boxes(tile, [&](int row, int size, int slot) {
#pragma unroll
      for (int slab = 0; slab < Layout::kSlabs; ++slab) {
        if ((kWanted >> slab & 1) == 0) continue;
        copy_box(to + slab * Layout::kKeySlab + row * kSlabRowBytes, maps_[size],
                 slab * kSlabColumns, kv_head_, slot, barrier);
      }
    });
  }

  // Brings a tile to the L2 cache.
  __device__ void prefetch(int tile) {
    for_boxes(tile, [&](int, int size, int slot) {
#pragma unroll
      for (int slab = 0; slab < Layout::kSlabs; ++slab) {
        prefetch_box(maps_[size], slab * kSlabColumns, kv_head_, slot);
      }
    });
  }

  // Writes zeros behind the last key: values there have no weight, but must be numbers.
  template <uint32_t kWanted = kAllSlabs>
  __device__ void clear_behind(unsigned char* to, int tile) const {
    const int rows = rows_of(tile);
    if (rows == Layout::kKeys) return;
    constexpr int kVectors = kSlabRowBytes / 16;
    for (int slab = 0; slab < Layout::kSlabs; ++slab) {
      if ((kWanted >> slab & 1) == 0) continue;
      auto* vectors = reinterpret_cast<uint4*>(to + slab * Layout::kKeySlab);
      for (int i = rows * kVectors + static_cast<int>(threadIdx.x) % 32;
           i < Layout::kKeys * kVectors; i += 32) {
        vectors[i] = {};
      }
    }
    publish_writes();
    __syncwarp();
  }

 private:
  __device__ int rows_of(int tile) const {
    return min(Layout::kKeys, length_ - tile * Layout::kKeys);
  }
  // One thread calls box(first row in the tile, size, slot) for each box of a tile.
  template <class Box>
  __device__ void for_boxes(int tile, const Box& box) {
    const int rows = rows_of(tile);
    for (int row = 0; row < rows;) {
      const int position = tile * Layout::kKeys + row;
      const int slot = cursor_.slot(position);
      const int run = min(rows - row, cursor_.end() - position);
      int size = 0;
      while (box_rows<D>(size) > run) ++size;
      if (elected()) box(row, size, slot);
      row += box_rows<D>(size);
    }
  }

  const CUtensorMap* maps_;  // by box size
  SlotCursor cursor_;
  int length_, kv_head_;
};

// Fills the rings until the items end; for one warp. Tiles come in the order in which they are
// used: keys are one tile ahead of values.
template <int D>
__device__ void load_items(HopperShared<D>& shared, const AttentionProblem& problem,
                           const HopperWork& work, const HopperMaps& maps, uint32_t* counters) {
  using Layout = HopperLayout<D>;
  const int query_bytes = Layout::kSlabs * work.tile_tokens * problem.group * kSlabRowBytes;
  ItemFinder finder(problem, work);
  RingPlace<Layout::kItemSlots> item_place;
  RingPlace<Layout::kStages> key_place, value_place;
  int number = static_cast<int>(blockIdx.x);
  while (true) {
    const ItemFinder::Found found = finder.find(number);
    const int slot = item_place.slot;
    wait_for_phase(shared.items_empty + slot, item_place.parity ^ 1);
    item_place.advance();
    if (found.row < 0) {
      if (elected()) {
        shared.items[slot].tokens = 0;
        arrive(shared.items_full + slot);
      }
      return;
    }
    const HopperItem item =
        work.rows == TiledRows::shared_parts
            ? shared_item_of<D>(problem, work, shared_part(problem, found.row), found.number)
            : item_of<D>(problem, work, found.row, finder.tiles_of(found.row), found.number);
    const int length = item.shared_part >= 0 ? item.position + 1 : problem.length[item.row];
    if (elected()) {
      shared.items[slot] = item;
      arrive_announcing(shared.items_full + slot, query_bytes);
#pragma unroll
      for (int slab = 0; slab < Layout::kSlabs; ++slab) {
        copy_box(shared.queries[slot] + slab * Layout::kQuerySlab, maps.queries,
                 slab * kSlabColumns, item.kv_head * problem.group, item.first_token,
                 shared.items_full + slot);
      }
    }
    if (threadIdx.x % 32 == 0) number = static_cast<int>(gridDim.x + atomicAdd(counters, 1));
    TileLoader<D> keys(problem, item.row, length, item.kv_head, maps.keys);
    TileLoader<D> values(problem, item.row, length, item.kv_head, maps.values);
    for (int tile = item.first_tile; tile <= item.end_tile; ++tile) {
      if (tile < item.end_tile) {
        wait_for_phase(shared.keys_empty + key_place.slot, key_place.parity ^ 1);
        keys.load(shared.keys[key_place.slot], tile, shared.keys_full + key_place.slot);
        key_place.advance();
      }
      if (tile > item.first_tile) {
        wait_for_phase(shared.values_empty + value_place.slot, value_place.parity ^ 1);
        values.clear_behind(shared.values[value_place.slot], tile - 1);
        values.load(shared.values[value_place.slot], tile - 1,
                    shared.values_full + value_place.slot);
        value_place.advance();
      }
    }
    number = __shfl_sync(~0U, number, 0);
  }
}

}  // namespace spate::cuda
