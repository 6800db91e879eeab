// The warp of the `latent` kernel that brings queries and keys to shared memory.
#pragma once

#include "backend/cuda/attention/latent_work.cuh"

namespace spate::cuda {

// Brings tiles of a row's keys, one after the other; for a whole warp. Where a tile lies is found
// before its place is free: from then on products wait for it.
class LatentLoader {
 public:
  __device__ LatentLoader(const AttentionProblem& problem, const LatentMaps& maps, int row,
                          int length)
      : maps_(maps), cursor_(problem, row), length_(length) {}

  // Finds the tile that load() brings.
  __device__ void find(int tile) {
    first_key_ = tile * kLatentKeys;
    rows_ = min(kLatentKeys, length_ - first_key_);
    first_ = run_at(cursor_, 0);
  }

  // A group of its slabs.
  template <int kGroup>
  __device__ void load(LatentShared& shared, int slot) const {
    constexpr uint32_t kWanted = latent_slabs(kGroup);
    clear_keys_behind<LatentLayout, kWanted>(shared.keys[slot], rows_);
    if (elected()) copy<kWanted>(shared.keys[slot], shared.keys_full[slot] + kGroup);
    __syncwarp();
  }

 private:
  struct Run {            // of rows in slots beside each other
    int row, rows, slot;  // row: the first in the tile
  };
  __device__ Run run_at(SlotCursor& cursor, int row) const {
    const int slot = cursor.slot(first_key_ + row);
    return {row, min(rows_ - row, cursor.end() - first_key_ - row), slot};
  }

  template <uint32_t kWanted>
  __device__ void copy(unsigned char* to, Barrier* full) const {
    Run run = first_;
    SlotCursor cursor = cursor_;
    while (true) {
      copy_in_boxes(run.rows, __popc(kWanted) * kSlabRowBytes, full, [&](int first, int size) {
#pragma unroll
        for (int slab = 0; slab < LatentLayout::kSlabs; ++slab) {
          if ((kWanted >> slab & 1) == 0) continue;
          copy_box(to + slab * LatentLayout::kKeySlab + (run.row + first) * kSlabRowBytes,
                   maps_.keys[size], slab * kSlabColumns, 0, run.slot + first, full);
        }
      });
      const int row = run.row + run.rows;
      if (row >= rows_) break;
      run = run_at(cursor, row);
    }
    arrive(full);
  }

  const LatentMaps& maps_;
  SlotCursor cursor_;  // at the first run of the tile
  int length_;
  int first_key_, rows_;  // of the tile
  Run first_;             // of the tile
};

// Brings the queries and keys of a share; for one warp.
__device__ inline void load_latents(LatentShared& shared, const AttentionProblem& problem,
                                    const LatentWork& work, const LatentMaps& maps,
                                    const LatentShare& share) {
  const int query_bytes = LatentLayout::kSlabs * work.tokens * work.heads * kSlabRowBytes;
  RingPlace<1> query_place;
  RingPlace<LatentShared::kStages> key_place;
  for (LatentWalk walk(problem, work, share); walk.there(); walk.advance()) {
    const LatentPlace& at = walk.at();
    LatentLoader loader(problem, maps, at.row, at.shape.length);
    const int end = walk.end_tile();
    for (int tile = at.tile; tile < end; ++tile) {
      loader.find(tile);
      for_latent_groups([&]<int kGroup>(std::integral_constant<int, kGroup>) {
        wait_for_phase(shared.keys_empty[key_place.slot] + kGroup, key_place.parity ^ 1);
        loader.load<kGroup>(shared, key_place.slot);
      });
      key_place.advance();
      if (tile > at.tile) continue;
      wait_for_phase(&shared.queries_empty, query_place.parity ^ 1);
      query_place.advance();
      if (!elected()) continue;
      arrive_announcing(&shared.queries_full, query_bytes);
#pragma unroll
      for (int slab = 0; slab < LatentLayout::kSlabs; ++slab) {
        copy_box(shared.queries + slab * LatentLayout::kKeySlab, maps.queries, slab * kSlabColumns,
                 share.part * kLatentQueries, at.shape.first_token + at.first_token(work),
                 &shared.queries_full);
      }
    }
  }
}

}  // namespace spate::cuda
