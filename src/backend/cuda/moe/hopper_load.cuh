// Loading for the `hopper` kernel: which items there are, and bringing their weights and rows to
// shared memory.
//
// An item is the product of 256 rows of weights of one expert with up to 160 of its rows of x, in
// units of 16. Experts' sizes are on the device alone: the host gives as many blocks as there are
// multiprocessors, and these take items, numbered expert after expert, until there are no more. The
// rows of an expert are shared out evenly to as few items as can be.
//
// Where experts have many rows, two blocks are peers: a cluster that takes two items with the same
// weights at once. Each brings half of them to both, so that they leave the L2 cache once.
#pragma once

#include "backend/cuda/copy_engine.cuh"
#include "backend/ops/linear.h"

namespace spate::cuda {

constexpr int kUnit = 16;          // rows of x
constexpr int kMostUnits = 10;     // of an item
constexpr int kPartOutputs = 128;  // an item has two parts of weights
constexpr int kStages = 4;         // of kSlabColumns inputs each
constexpr int kItemSlots = 2;
constexpr int kConsumerWarps = 8, kLoaderWarps = 4;

constexpr int kPartBytes = kPartOutputs * kSlabRowBytes;
constexpr int kRowsBytes = kMostUnits * kUnit * kSlabRowBytes;

struct HopperProducts {
  const int32_t* begin;   // of each expert
  const int32_t* tokens;  // or null
  const bf16* x;
  int64_t x_vectors;  // from one row to the next, in vectors of 16 bytes
  Rows<bf16> out;
  int experts, outputs, inputs;  // outputs: of an expert
  int tile_outputs;              // of an item
  const float* bias[2];          // of the weights that the parts are of; or null
  op::Activation activation;     // of a gated pair

  // Whether the parts are of two weights.
  __device__ bool gated() const { return tile_outputs == kPartOutputs; }
  // How far behind the item's first output a part begins.
  __device__ int behind(int part) const { return gated() ? 0 : part * kPartOutputs; }
};

// The first part of an item's weights comes from `first`. Where two weights are multiplied, the
// second is the same outputs of the other; else it is the outputs behind those of the first.
struct HopperMaps {
  CUtensorMap first, second;
};

struct alignas(16) HopperItem {
  int expert, output;  // the first output
  int place, rows;     // a peer may have no rows; -1: there are no more items

  __device__ int units() const { return (rows + kUnit - 1) / kUnit; }
};

template <int kPeers>
struct HopperShared {
  alignas(1024) unsigned char weights[kStages][2][kPartBytes];
  unsigned char rows[kStages][kRowsBytes];
  HopperItem items[kItemSlots];
  Barrier full[kStages], empty[kStages];
  Barrier items_full[kItemSlots], items_empty[kItemSlots];

  __device__ void init_barriers() {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + i, 1 + 32 * kLoaderWarps);
      init_barrier(empty + i, kPeers * kConsumerWarps);
    }
    for (int i = 0; i < kItemSlots; ++i) {
      init_barrier(items_full + i, 1);
      init_barrier(items_empty + i, kPeers * (kConsumerWarps + kLoaderWarps));
    }
    publish_barriers();
  }
};

// For a warp that takes the items one after the other; the first peer gives them.
template <int kPeers>
__device__ HopperItem take_item(HopperShared<kPeers>& shared, RingPlace<kItemSlots>& place) {
  wait_for_phase(shared.items_full + place.slot, place.parity);
  const HopperItem item = shared.items[place.slot];
  __syncwarp();
  if (threadIdx.x % 32 == 0) {
    if constexpr (kPeers == 1) {
      arrive(shared.items_empty + place.slot);
    } else {
      arrive_in_block(shared.items_empty + place.slot, 0);
    }
  }
  place.advance();
  return item;
}

// Finds the peers' items in ascending order, for a whole warp.
template <int kPeers>
class HopperItemFinder {
 public:
  __device__ explicit HopperItemFinder(const HopperProducts& products)
      : products_(products),
        output_tiles_((products.outputs + products.tile_outputs - 1) / products.tile_outputs) {}

  // Lane i finds the item of peer i.
  __device__ HopperItem find(int item) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    for (; first_ < products_.experts; first_ += 32) {
      const int expert = first_ + lane;
      const bool there = expert < products_.experts;
      const int begin = there ? products_.begin[expert] : 0;
      const int rows = there ? products_.begin[expert + 1] - begin : 0;
      const int through = sum_through(row_tiles(rows) / kPeers * output_tiles_);
      const uint32_t behind = __ballot_sync(~0U, item < before_ + through);
      if (behind != 0) {
        const int found = __ffs(static_cast<int>(behind)) - 1;
        const int others = __shfl_sync(~0U, through, max(found - 1, 0));
        return part_of(first_ + found, __shfl_sync(~0U, begin, found),
                       __shfl_sync(~0U, rows, found), item - before_ - (found > 0 ? others : 0));
      }
      before_ += __shfl_sync(~0U, through, 31);
    }
    return {.expert = 0, .output = 0, .place = 0, .rows = -1};
  }

 private:
  __device__ static int units_of(int rows) { return (rows + kUnit - 1) / kUnit; }
  // A multiple of the peers.
  __device__ static int row_tiles(int rows) {
    constexpr int kMost = kPeers * kMostUnits;
    return (units_of(rows) + kMost - 1) / kMost * kPeers;
  }

  // This lane's item of an expert's `number`-th.
  __device__ HopperItem part_of(int expert, int begin, int rows, int number) const {
    const int tiles = row_tiles(rows), units = units_of(rows);
    const int of_output = tiles / kPeers;
    const int tile = number % of_output * kPeers + static_cast<int>(threadIdx.x) % kPeers;
    const int first = units * tile / tiles, end = units * (tile + 1) / tiles;
    return {.expert = expert,
            .output = number / of_output * products_.tile_outputs,
            .place = begin + first * kUnit,
            .rows = min(end * kUnit, rows) - first * kUnit};
  }

  const HopperProducts& products_;
  const int output_tiles_;
  int first_ = 0;   // of the 32 experts that are looked at
  int before_ = 0;  // items of the experts before
};

// The warps that load. All of them gather rows of x, a vector of 16 bytes a thread; the first one
// starts the copies of weights, too, and finds the items for all peers.
template <int kPeers>
class HopperLoader {
  static constexpr int kQuadRows = 4;  // rows that a warp gathers at once, eight threads each
  static constexpr int kMostQuads = kMostUnits * kUnit / kQuadRows / kLoaderWarps;

 public:
  __device__ HopperLoader(HopperShared<kPeers>& shared, const HopperProducts& products,
                          const HopperMaps& maps, uint32_t* counter)
      : shared_(shared),
        products_(products),
        maps_(maps),
        counter_(counter),
        finder_(products),
        warp_(static_cast<int>(threadIdx.x) / 32 % kLoaderWarps),
        lane_(static_cast<int>(threadIdx.x) % 32),
        rank_(cluster_rank()),
        next_(static_cast<int>(blockIdx.x) / kPeers) {}

  __device__ void load_items() {
    while (true) {
      if (warp_ == 0) {
        if (rank_ == 0) give_item();
        if (kPeers > 1 && lane_ == 0) {
          arrive_announcing(shared_.items_full + item_place_.slot, sizeof(HopperItem));
        }
      }
      const HopperItem item = take_item(shared_, item_place_);
      if (item.rows < 0) return;
      load_item(item);
    }
  }

 private:
  __device__ void give_item() {
    const int slot = item_place_.slot;
    const HopperItem item = finder_.find(__shfl_sync(~0U, next_, 0));
    wait_for_phase(shared_.items_empty + slot, item_place_.parity ^ 1);
    if constexpr (kPeers == 1) {
      if (lane_ == 0) {
        shared_.items[slot] = item;
        arrive(shared_.items_full + slot);
      }
    } else if (lane_ < kPeers) {
      store_in_block(shared_.items + slot,
                     make_int4(item.expert, item.output, item.place, item.rows),
                     shared_.items_full + slot, lane_);
    }
    if (lane_ == 0) next_ = static_cast<int>(gridDim.x / kPeers + atomicAdd(counter_, 1));
  }

  __device__ void load_item(const HopperItem& item) {
    const int vector = lane_ % 8;
    uint32_t from[kMostQuads];  // vectors of x
#pragma unroll
    for (int i = 0; i < kMostQuads; ++i) {
      const int row = row_of(i);
      const int place = item.place + row;
      const int64_t of_x = row >= item.rows              ? 0
                           : products_.tokens == nullptr ? place
                                                         : products_.tokens[place];
      from[i] = static_cast<uint32_t>(of_x * products_.x_vectors + vector);
    }
    const int parts = products_.gated() || item.output + kPartOutputs < products_.outputs ? 2 : 1;
    const int first_output = item.expert * products_.outputs + item.output;
    const auto* x = reinterpret_cast<const uint4*>(products_.x);
    for (int input = 0; input < products_.inputs; input += kSlabColumns) {
      const int slot = place_.slot;
      Barrier* full = shared_.full + slot;
      wait_for_phase(shared_.empty + slot, place_.parity ^ 1);
      if (warp_ == 0 && elected()) {
        arrive_announcing(full, parts * kPartBytes);
        for (int part = rank_; part < parts; part += kPeers) {
          load_weights(slot, part, input, first_output, full);
        }
      }
      const bool inside = input + 8 * vector < products_.inputs;
#pragma unroll
      for (int i = 0; i < kMostQuads; ++i) {
        const int row = row_of(i);
        if (row - row % kUnit >= item.rows) break;
        copy_16_async<false>(shared_.rows[slot] + row * kSlabRowBytes + ((vector ^ (row % 8)) * 16),
                             x + from[i] + input / 8, inside && row < item.rows);
      }
      arrive_behind_copies(full);
      place_.advance();
    }
  }

  // For all peers.
  __device__ void load_weights(int slot, int part, int input, int output, Barrier* full) const {
    const CUtensorMap& map = part == 0 ? maps_.first : maps_.second;
    output += products_.behind(part);
    if constexpr (kPeers == 1) {
      copy_box(shared_.weights[slot][part], map, input, output, 0, full);
    } else {
      copy_box_to_all<kPeers>(shared_.weights[slot][part], map, input, output, 0, full);
    }
  }

  // The row of an item that this thread gathers as its i-th.
  __device__ int row_of(int i) const { return (kLoaderWarps * i + warp_) * kQuadRows + lane_ / 8; }

  HopperShared<kPeers>& shared_;
  const HopperProducts& products_;
  const HopperMaps& maps_;
  uint32_t* counter_;
  HopperItemFinder<kPeers> finder_;
  const int warp_, lane_, rank_;
  int next_;  // of lane 0: the number of the item to find
  RingPlace<kItemSlots> item_place_;
  RingPlace<kStages> place_;
};

}  // namespace spate::cuda
