// The warp of the `hopper` kernel that brings to shared memory what its block works on. It runs
// ahead of the others and fills rings: of items with their queries, of tiles of keys and of tiles
// of values; or, of a cache in e4m3, of tiles of codes, which other warps convert
// (hopper_codes.cuh).
#pragma once

#include "backend/cuda/attention/hopper_items.cuh"

namespace spate::cuda {

constexpr int kConsumerWarps = 8;
constexpr int kConverterWarps = 3;  // of codes; without codes they end at once

// Codes of a cache in e4m3, as the copy engine brings them, with their scales (KvScales).
template <int D, class C>
struct HopperCodes {
  using Layout = HopperLayout<D, C>;
  static constexpr int kStages = Layout::kCodeStages;
  static constexpr int kSlabs = (D + kSlabRowBytes - 1) / kSlabRowBytes;
  unsigned char codes[kStages][kSlabs * Layout::kKeySlab];
  uint32_t scales[kStages][Layout::kKeys];
  Barrier full[kStages], empty[kStages];

  __device__ void init_barriers() {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + i, 1 + 32);  // bytes of the copy engine, and scales of a warp
      init_barrier(empty + i, 32 * kConverterWarps);
    }
  }
};

struct NoCodes {
  __device__ void init_barriers() {}
};

template <int D, class C>
struct HopperShared {
  using Layout = HopperLayout<D, C>;
  using Codes = std::conditional_t<Layout::kCoded, HopperCodes<D, C>, NoCodes>;
  // Who fills tiles, who empties the queue of items.
  static constexpr int kFillers = Layout::kCoded ? kConverterWarps : 1;
  static constexpr int kItemReaders = kConsumerWarps + (Layout::kCoded ? kConverterWarps : 0);
  alignas(1024) unsigned char queries[Layout::kItemSlots][Layout::kSlabs * Layout::kQuerySlab];
  unsigned char keys[Layout::kStages][Layout::kSlabs * Layout::kKeySlab];
  unsigned char values[Layout::kStages][Layout::kSlabs * Layout::kKeySlab];
  Codes codes;
  HopperItem items[Layout::kItemSlots];
  Barrier items_full[Layout::kItemSlots], items_empty[Layout::kItemSlots];
  Barrier keys_full[Layout::kStages], keys_empty[Layout::kStages];
  Barrier values_full[Layout::kStages], values_empty[Layout::kStages];

  __device__ void init_barriers() {
    for (int i = 0; i < Layout::kItemSlots; ++i) {
      init_barrier(items_full + i, 1);
      init_barrier(items_empty + i, 32 * kItemReaders);
    }
    for (int i = 0; i < Layout::kStages; ++i) {
      init_barrier(keys_full + i, kFillers);
      init_barrier(keys_empty + i, kConsumerWarps);
      init_barrier(values_full + i, kFillers);
      init_barrier(values_empty + i, kConsumerWarps);
    }
    codes.init_barriers();
    publish_barriers();
  }
};

// Boxes of keys and values have 2^n rows, up to a tile's.
constexpr int kBoxSizes = 8;
static_assert(HopperLayout<64>::kKeys == 1 << (kBoxSizes - 1));

// Tensors of [width, heads, tokens or slots].
struct HopperMaps {
  CUtensorMap queries;
  CUtensorMap keys[kBoxSizes], values[kBoxSizes];  // those of D > 128 have no use for the largest
};

// Writes zeros behind the last of `rows` keys of a tile, in some of its slabs, as bits: values
// there have no weight, but must be numbers. For a whole warp.
template <class Layout, uint32_t kWanted>
__device__ void clear_keys_behind(unsigned char* tile, int rows) {
  if (rows == Layout::kKeys) return;
  constexpr int kVectors = kSlabRowBytes / 16;
  for (int slab = 0; slab < Layout::kSlabs; ++slab) {
    if ((kWanted >> slab & 1) == 0) continue;
    auto* vectors = reinterpret_cast<uint4*>(tile + slab * Layout::kKeySlab);
    for (int i = rows * kVectors + static_cast<int>(threadIdx.x) % 32; i < Layout::kKeys * kVectors;
         i += 32) {
      vectors[i] = {};
    }
  }
  publish_writes();
  __syncwarp();
}

// Brings tiles of a row's keys, or values, one after the other, as the cache has them; for a whole
// warp.
template <int D, class C = bf16>
class TileLoader {
  using Layout = HopperLayout<D, C>;
  static constexpr int kColumns = kSlabRowBytes / static_cast<int>(sizeof(C));  // of a slab
  static constexpr int kSlabs = (D + kColumns - 1) / kColumns;

 public:
  // The first `length` keys of the row.
  __device__ TileLoader(const AttentionProblem& problem, int row, int length, int kv_head,
                        const CUtensorMap* maps)
      : maps_(maps), cursor_(problem, row), length_(length), kv_head_(kv_head) {}

  // Rows behind the last key are left as they are.
  __device__ void load(unsigned char* to, int tile, Barrier* barrier) {
    cursor_.for_runs(tile * Layout::kKeys, rows_of(tile),
                     [&](int row, int rows, int slot) { copy(to, row, rows, slot, barrier); });
    if (elected()) arrive(barrier);
  }

  // The same with the scales of the tile's keys and values, and zeros behind the last: each lane
  // copies those of its own keys, and arrives for them.
  __device__ void load_scaled(unsigned char* to, uint32_t* scales, const uint32_t* of_slots,
                              int tile, Barrier* barrier) {
    const int rows = rows_of(tile), lane = static_cast<int>(threadIdx.x) % 32;
    int own_slots[Layout::kKeys / 32] = {};
    cursor_.for_runs(tile * Layout::kKeys, rows, [&](int row, int of_run, int slot) {
      copy(to, row, of_run, slot, barrier);
#pragma unroll
      for (int i = 0; i < Layout::kKeys / 32; ++i) {
        const int key = 32 * i + lane;
        if (key >= row) own_slots[i] = slot + key - row;
      }
    });
#pragma unroll
    for (int i = 0; i < Layout::kKeys / 32; ++i) {
      const int key = 32 * i + lane;
      copy_4_async(scales + key, of_slots + own_slots[i], key < rows);
    }
    if (elected()) arrive(barrier);
    arrive_behind_copies(barrier);
  }

  // See clear_keys_behind().
  __device__ void clear_behind(unsigned char* to, int tile) const {
    clear_keys_behind<Layout, (1U << kSlabs) - 1>(to, rows_of(tile));
  }

 private:
  __device__ int rows_of(int tile) const {
    return min(Layout::kKeys, length_ - tile * Layout::kKeys);
  }
  // One thread starts to copy rows that lie in slots beside each other.
  __device__ void copy(unsigned char* to, int row, int rows, int slot, Barrier* barrier) const {
    if (!elected()) return;
    copy_in_boxes(rows, kSlabs * kSlabRowBytes, barrier, [&](int first, int size) {
#pragma unroll
      for (int slab = 0; slab < kSlabs; ++slab) {
        copy_box(to + slab * Layout::kKeySlab + (row + first) * kSlabRowBytes, maps_[size],
                 slab * kColumns, kv_head_, slot + first, barrier);
      }
    });
  }
  const CUtensorMap* maps_;  // by box size
  SlotCursor cursor_;
  int length_, kv_head_;
};

template <int D, class C>
__device__ void load_codes(HopperCodes<D, C>& ring, RingPlace<HopperCodes<D, C>::kStages>& place,
                           TileLoader<D, C>& from, const uint32_t* scales, int tile) {
  const int stage = place.slot;
  wait_for_phase(ring.empty + stage, place.parity ^ 1);
  from.load_scaled(ring.codes[stage], ring.scales[stage], scales, tile, ring.full + stage);
  place.advance();
}

// Fills the rings until the items end; for one warp. Tiles come in the order in which they are
// used: keys are one tile ahead of values. Codes have a ring for both.
template <int D, class C>
__device__ void load_items(HopperShared<D, C>& shared, const AttentionProblem& problem,
                           const HopperWork& work, const HopperMaps& maps, uint32_t* counters) {
  using Layout = HopperLayout<D, C>;
  const int query_bytes = Layout::kSlabs * work.tile_tokens * problem.group * kSlabRowBytes;
  ItemFinder finder(problem, work);
  RingPlace<Layout::kItemSlots> item_place;
  RingPlace<Layout::kStages> key_place, value_place;
  RingPlace<Layout::kCodeStages> code_place;
  int number = static_cast<int>(blockIdx.x);
  while (true) {
    // All about an item is found before there is a place for it: from then on products wait.
    const ItemFinder::Found found = finder.find(number);
    const int slot = item_place.slot;
    const auto wait_for_place = [&] {
      wait_for_phase(shared.items_empty + slot, item_place.parity ^ 1);
      item_place.advance();
    };
    if (found.row < 0) {
      wait_for_place();
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
    TileLoader<D, C> keys(problem, item.row, length, item.kv_head, maps.keys);
    TileLoader<D, C> values(problem, item.row, length, item.kv_head, maps.values);
    wait_for_place();
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
    const uint32_t* scales = problem.scales + int64_t{item.kv_head} * problem.slots;
    for (int tile = item.first_tile; tile <= item.end_tile; ++tile) {
      if constexpr (Layout::kCoded) {
        if (tile < item.end_tile) load_codes(shared.codes, code_place, keys, scales, tile);
        if (tile > item.first_tile) load_codes(shared.codes, code_place, values, scales, tile - 1);
      } else {
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
    }
    number = __shfl_sync(~0U, number, 0);
  }
}

}  // namespace spate::cuda
