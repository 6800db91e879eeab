// Loading for the kernel of gate and up: which items there are, and bringing their tiles to shared
// memory.
//
// An item is 128 tokens times the same outputs of gate and of up, 128 of each, or 112 or 96 where
// these fill the device better.
//
// Two blocks are peers: a cluster that takes the same weights for tokens that follow each other.
// Each brings half of the weights to both, so that they leave the L2 cache once.
#pragma once

#include "backend/cuda/copy_engine.cuh"
#include "backend/cuda/types.cuh"
#include "backend/ops/linear.h"

namespace spate::cuda {

constexpr int kPeers = 2;
constexpr int kGroups = 2;  // warpgroups that multiply
constexpr int kGroupTokens = 64, kItemTokens = kGroups * kGroupTokens;
constexpr int kConsumerWarps = 4 * kGroups, kGateWarps = 3;

struct GatedWork {
  int tokens, outputs;
  int item_outputs;  // of gate, and as many of up
  int inputs;
  int pairs_at_once;  // of tiles of tokens, whose x the L2 cache keeps
  Rows<bf16> out;
  op::Activation activation;

  struct Item {
    int token, output;  // the first ones
  };
  __host__ __device__ int pairs() const {
    constexpr int kTokens = kPeers * kItemTokens;
    return (tokens + kTokens - 1) / kTokens;
  }
  __host__ __device__ int output_tiles() const {
    return (outputs + item_outputs - 1) / item_outputs;
  }
  // Of all peers at once.
  __host__ __device__ int items() const { return pairs() * output_tiles(); }
  // Some pairs of tiles at once; with each tile of outputs all of them.
  __device__ Item item(int number) const {
    const int of_section = pairs_at_once * output_tiles();
    const int first_pair = number / of_section * pairs_at_once;
    const int in_section = number % of_section;
    const int pairs_there = min(pairs_at_once, pairs() - first_pair);
    const int pair = first_pair + in_section % pairs_there;
    return {.token = (pair * kPeers + cluster_rank()) * kItemTokens,
            .output = in_section / pairs_there * item_outputs};
  }
  __device__ int slabs() const { return (inputs + kSlabColumns - 1) / kSlabColumns; }
};

// Calls body(item) for the block's items.
template <class Body>
__device__ void for_items(const GatedWork& work, const Body& body) {
  for (int i = static_cast<int>(blockIdx.x) / kPeers; i < work.items();
       i += static_cast<int>(gridDim.x) / kPeers) {
    body(work.item(i));
  }
}

template <int kOutputs>
struct GatedShared {
  static constexpr int kStages = kOutputs <= 96 ? 4 : 3;  // tiles of both operands
  static constexpr int kPartBytes = kOutputs * kSlabRowBytes;
  static constexpr int kTileBytes = 2 * kPartBytes + kItemTokens * kSlabRowBytes;
  static constexpr int kSumSlabs = (2 * kOutputs + kSlabColumns - 1) / kSlabColumns;
  alignas(1024) unsigned char weights[kStages][2][kPartBytes];  // of gate and up
  unsigned char tokens[kStages][kGroups][kGroupTokens * kSlabRowBytes];
  unsigned char sums[kGroups][kSumSlabs][kGroupTokens * kSlabRowBytes];  // bf16
  Barrier full[kStages], empty[kStages];
  Barrier sums_full[kGroups], sums_empty[kGroups];

  __device__ void init_barriers() {
    for (int i = 0; i < kStages; ++i) {
      init_barrier(full + i, 1);
      init_barrier(empty + i, kPeers * kConsumerWarps);
    }
    for (int i = 0; i < kGroups; ++i) {
      init_barrier(sums_full + i, kConsumerWarps / kGroups);
      init_barrier(sums_empty + i, kGateWarps);
    }
    publish_barriers();
  }

  // Where a vector of eight sums lies.
  __device__ unsigned char* sums_at(int group, int token, int vector) {
    return sums[group][vector / 8] + token * kSlabRowBytes + ((vector % 8 ^ token % 8) * 16);
  }
};

struct GatedMaps {
  CUtensorMap tokens, weights;
};

// Fills the ring; for one warp.
template <int kOutputs>
__device__ void load_tiles(GatedShared<kOutputs>& shared, const GatedWork& work,
                           const GatedMaps& maps) {
  const int part = cluster_rank();  // of the weights, for all peers
  RingPlace<GatedShared<kOutputs>::kStages> place;
  for_items(work, [&](const GatedWork::Item& item) {
    for (int slab = 0; slab < work.slabs(); ++slab) {
      const int slot = place.slot;
      wait_for_phase(shared.empty + slot, place.parity ^ 1);
      if (elected()) {
        Barrier* full = shared.full + slot;
        arrive_announcing(full, GatedShared<kOutputs>::kTileBytes);
        copy_box_to_all<kPeers>(shared.weights[slot][part], maps.weights, slab * kSlabColumns,
                                item.output + part * work.outputs, 0, full);
        copy_box(shared.tokens[slot], maps.tokens, slab * kSlabColumns, item.token, 0, full);
      }
      place.advance();
    }
  });
}

}  // namespace spate::cuda
