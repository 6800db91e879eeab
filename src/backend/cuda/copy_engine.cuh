// The copy engine of compute capability 9.0, which brings boxes of a tensor to shared memory,
// barriers that count its bytes, and clusters of blocks that reach each other's shared memory.
//
// Tiles in shared memory are slabs of 64 columns, in which a row is 128 bytes, as TensorMapEncoder
// describes them; a slab begins at a multiple of 1024 bytes.
#pragma once

#include <cuda.h>

#include "backend/cuda/mma.cuh"

namespace spate::cuda {

constexpr int kSlabColumns = 64;
constexpr int kSlabRowBytes = 128;

// ---- Barriers in shared memory. A phase ends when all arrivals and all announced bytes have come.

using Barrier = uint64_t;

__device__ inline void init_barrier(Barrier* barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;"
               :
               : "r"(shared_address(barrier)), "r"(arrivals)
               : "memory");
}

// Makes what init_barrier() did known to the copy engine.
__device__ inline void publish_barriers() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
}

__device__ inline void arrive(Barrier* barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];"
               :
               : "r"(shared_address(barrier))
               : "memory");
}

// Arrives when all copy_..._async() of the thread so far have come.
__device__ inline void arrive_behind_copies(Barrier* barrier) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];"
               :
               : "r"(shared_address(barrier))
               : "memory");
}

// Arrives, and announces bytes that the copy engine will bring.
__device__ inline void arrive_announcing(Barrier* barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;"
               :
               : "r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

// Announces bytes of the running phase without an arrival, which it then still needs.
__device__ inline void announce(Barrier* barrier, int bytes) {
  asm volatile("mbarrier.expect_tx.relaxed.cta.shared::cta.b64 [%0], %1;"
               :
               : "r"(shared_address(barrier)), "r"(bytes)
               : "memory");
}

// Waits for the end of the phase with this parity; the first phase has parity 0. The phase before
// the first counts as ended.
__device__ inline void wait_for_phase(Barrier* barrier, uint32_t parity) {
  uint32_t ended = 0;
  while (ended == 0) {
    asm volatile(
        "{ .reg .pred ended; mbarrier.try_wait.parity.shared::cta.b64 ended, [%1], %2; "
        "selp.u32 %0, 1, 0, ended; }"
        : "=r"(ended)
        : "r"(shared_address(barrier)), "r"(parity)
        : "memory");
  }
}

// A place in a ring of slots that are filled and emptied in turn, with the parity of its barriers;
// of as many slots at most, where they are not all used.
template <int kSlots>
struct RingPlace {
  int slot = 0;
  uint32_t parity = 0;
  __device__ void advance(int slots = kSlots) {
    if (++slot < slots) return;
    slot = 0;
    parity ^= 1;
  }
};

// Makes the thread's ordinary writes to shared memory known to products and the copy engine; a
// barrier must follow.
__device__ inline void publish_writes() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}

// ---- The copy engine. One thread starts a copy.

// True for one thread of the warp, which is whole.
__device__ inline bool elected() {
  uint32_t chosen;
  asm volatile("{ .reg .pred chosen; elect.sync _|chosen, 0xffffffff; selp.u32 %0, 1, 0, chosen; }"
               : "=r"(chosen));
  return chosen != 0;
}

__device__ inline void prefetch_map(const CUtensorMap& map) {
  asm volatile("prefetch.tensormap [%0];" : : "l"(&map) : "memory");
}

// For a whole warp, with a map for each lane at most.
template <int kMaps>
__device__ void prefetch_maps(const CUtensorMap (&maps)[kMaps]) {
  static_assert(kMaps <= 32);
  if (threadIdx.x % 32 < kMaps) prefetch_map(maps[threadIdx.x % 32]);
}

// Starts to copy the box at (x, y, z), innermost first; its bytes count at `barrier`.
__device__ inline void copy_box(void* shared, const CUtensorMap& map, int x, int y, int z,
                                Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], "
      "[%1, {%2, %3, %4}], [%5];"
      :
      : "r"(shared_address(shared)), "l"(&map), "r"(x), "r"(y), "r"(z), "r"(shared_address(barrier))
      : "memory");
}

// The same for what is read once: it leaves the L2 cache before what else is there.
__device__ inline void copy_box_once(void* shared, const CUtensorMap& map, int x, int y, int z,
                                     Barrier* barrier) {
  asm volatile(
      "{ .reg .b64 once; createpolicy.fractional.L2::evict_first.b64 once, 1.0; "
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint "
      "[%0], [%1, {%2, %3, %4}], [%5], once; }"
      :
      : "r"(shared_address(shared)), "l"(&map), "r"(x), "r"(y), "r"(z), "r"(shared_address(barrier))
      : "memory");
}

// Brings a run of rows as one box of 2^size of them, or as two that overlap: announces their bytes,
// and has copy(first row, size) start each.
template <class Copy>
__device__ void copy_in_boxes(int rows, int row_bytes, Barrier* barrier, const Copy& copy) {
  const int size = 31 - __clz(rows), apart = rows - (1 << size);
  const int boxes = apart > 0 ? 2 : 1;
  announce(barrier, (boxes << size) * row_bytes);
  for (int box = 0; box < boxes; ++box) copy(box * apart, size);
}

// Starts to bring memory to the L2 cache: a multiple of 16 bytes. It may be written meanwhile.
__device__ inline void prefetch_to_l2(const void* from, int bytes) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" : : "l"(from), "r"(bytes) : "memory");
}

// ---- Clusters: blocks that run together and reach each other's shared memory.

__device__ inline int cluster_rank() {
  uint32_t rank;
  asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}

// Waits for all threads of the cluster; in two steps, of which each thread takes both in turn.
__device__ inline void arrive_in_cluster() {
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
}
__device__ inline void wait_for_cluster() {
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}
__device__ inline void sync_cluster() {
  arrive_in_cluster();
  wait_for_cluster();
}

// Where the block of that rank has what this one has at `shared`.
__device__ inline uint32_t address_in_block(const void* shared, int rank) {
  uint32_t address;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(address)
      : "r"(shared_address(shared)), "r"(rank));
  return address;
}

__device__ inline void arrive_in_block(Barrier* barrier, int rank) {
  asm volatile("mbarrier.arrive.shared::cluster.b64 _, [%0];"
               :
               : "r"(address_in_block(barrier, rank))
               : "memory");
}

// For a warp: arrives in all blocks of a cluster of so many.
template <int kBlocks>
__device__ void arrive_in_all(Barrier* barrier) {
  const int lane = static_cast<int>(threadIdx.x) % 32;
  if constexpr (kBlocks == 1) {
    if (lane == 0) arrive(barrier);
  } else {
    if (lane < kBlocks) arrive_in_block(barrier, lane);
  }
}

// Starts to store 16 bytes in that block; they count at its barrier.
__device__ inline void store_in_block(void* shared, int4 value, Barrier* barrier, int rank) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [%0], {%1, %2, %3, %4}, "
      "[%5];"
      :
      : "r"(address_in_block(shared, rank)), "r"(value.x), "r"(value.y), "r"(value.z), "r"(value.w),
        "r"(address_in_block(barrier, rank))
      : "memory");
}

// The same of 8 bytes.
__device__ inline void store_in_block(void* shared, float2 value, Barrier* barrier, int rank) {
  asm volatile(
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v2.f32 [%0], {%1, %2}, [%3];"
      :
      : "r"(address_in_block(shared, rank)), "f"(value.x), "f"(value.y),
        "r"(address_in_block(barrier, rank))
      : "memory");
}

// copy_box() to all blocks of a cluster of so many: the bytes count at each one's barrier.
template <int kBlocks>
__device__ void copy_box_to_all(void* shared, const CUtensorMap& map, int x, int y, int z,
                                Barrier* barrier) {
  asm volatile(
      "cp.async.bulk.tensor.3d.shared::cluster.global.mbarrier::complete_tx::bytes"
      ".multicast::cluster [%0], [%1, {%2, %3, %4}], [%5], %6;"
      :
      : "r"(shared_address(shared)), "l"(&map), "r"(x), "r"(y), "r"(z),
        "r"(shared_address(barrier)), "h"(static_cast<uint16_t>((1 << kBlocks) - 1))
      : "memory");
}

}  // namespace spate::cuda
