// Products with experts' weights in bf16 on Hopper's matrix products. A block stays on its
// multiprocessor and takes items (hopper_load.cuh): one warpgroup brings weights and rows of x to
// shared memory, two others multiply. Weights are the left side of products, 64 outputs of each
// part for a warpgroup, and rows of x the right one, as many as the item has: so that with few rows
// weights stream by at the speed of memory, and with many little is multiplied in vain.
//
// A gated pair is one pass: the parts of an item are the same outputs of both weights, and a thread
// has both products of an element.
//
// Each output is one chain of sums over the inputs in order, whatever the item is.
#include "backend/cuda/gated.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/f8.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/moe/hopper_load.cuh"
#include "backend/cuda/moe/problem.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 32 * (kConsumerWarps + kLoaderWarps);
// Of each thread; the register file has 512 for the three warps of a quarter.
constexpr int kLoaderRegisters = 56, kConsumerRegisters = 224;
constexpr int kGroupOutputs = 64;  // of a part, for a warpgroup

// A warpgroup.
template <bool kGated, int kPeers>
class HopperConsumer {
  template <int kUnits>
  using Sums = float[2][2 * kUnits][4];  // of each part: [64 outputs, rows]

 public:
  __device__ HopperConsumer(HopperShared<kPeers>& shared, const HopperProducts& products)
      : shared_(shared),
        products_(products),
        number_(static_cast<int>(threadIdx.x) / 128),
        thread_(static_cast<int>(threadIdx.x) % 128),
        lane_(thread_ % 32) {}

  __device__ void multiply_items() {
    while (true) {
      const HopperItem item = take_item(shared_, item_place_);
      if (item.rows < 0) return;
      switch (item.units()) {
        case 0: pass(); break;
        case 1: multiply<1>(item); break;
        case 2: multiply<2>(item); break;
        case 3: multiply<3>(item); break;
        case 4: multiply<4>(item); break;
        case 5: multiply<5>(item); break;
        case 6: multiply<6>(item); break;
        case 7: multiply<7>(item); break;
        case 8: multiply<8>(item); break;
        case 9: multiply<9>(item); break;
        default: multiply<kMostUnits>(item); break;
      }
    }
  }

 private:
  // An item without rows: its weights are the peer's.
  __device__ void pass() {
    for (int input = 0; input < products_.inputs; input += kSlabColumns) {
      wait_for_phase(shared_.full + place_.slot, place_.parity);
      release(place_.slot);
      place_.advance();
    }
  }

  // All peers may fill the slot again.
  __device__ void release(int slot) const { arrive_in_all<kPeers>(shared_.empty + slot); }

  template <int kUnits>
  __device__ void multiply(const HopperItem& item) {
    Sums<kUnits> sums;
    begin_with_bias<kUnits>(item, sums);
    int slot = 0;
#pragma unroll 1
    for (int input = 0; input < products_.inputs; input += kSlabColumns) {
      const int before = slot;
      slot = place_.slot;
      wait_for_phase(shared_.full + slot, place_.parity);
      place_.advance();
      publish_writes();  // of the loading threads
      begin_products();
      multiply_slab<kUnits>(sums, slot);
      end_product_group();
      if (input == 0) continue;
      wait_for_products<1>(sums);
      release(before);
    }
    wait_for_products<0>(sums);
    if constexpr (!kGated) {
      write<kUnits, void>(item, sums, slot);
    } else {
      with_gate<bf16>(products_.activation,
                      [&]<class Gate>(TypeTag<Gate>) { write<kUnits, Gate>(item, sums, slot); });
    }
  }

  template <int kUnits>
  __device__ void begin_with_bias(const HopperItem& item, Sums<kUnits>& sums) const {
#pragma unroll
    for (int part = 0; part < 2; ++part) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int output = item.output + products_.behind(part) + number_ * kGroupOutputs +
                           thread_ / 32 * 16 + half * 8 + lane_ / 4;
        const float* bias = products_.bias[part];
        const bool there = bias != nullptr && output < products_.outputs;
        const float begin = there ? bias[item.expert * products_.outputs + output] : 0;
#pragma unroll
        for (float(&tile)[4] : sums[part]) tile[2 * half] = tile[2 * half + 1] = begin;
      }
    }
  }

  template <int kUnits>
  __device__ void multiply_slab(Sums<kUnits>& sums, int slot) const {
    const uint64_t rows = operand_at(shared_address(shared_.rows[slot]), 0);
    const uint64_t weights[] = {operand_at(shared_address(weights_of(slot, 0)), 0),
                                operand_at(shared_address(weights_of(slot, 1)), 0)};
#pragma unroll
    for (int step = 0; step < kSlabColumns / 16; ++step) {
#pragma unroll
      for (int part = 0; part < 2; ++part) {
        multiply_shared<kUnit * kUnits>(sums[part], operand_behind(weights[part], 32 * step),
                                        operand_behind(rows, 32 * step), true);
      }
    }
  }

  // The warpgroup's own weights.
  __device__ unsigned char* weights_of(int slot, int part) const {
    return shared_.weights[slot][part] + number_ * kGroupOutputs * kSlabRowBytes;
  }

  // Writes the results by way of the weights that were multiplied last, some units at a time: there
  // they lie as rows of 64 outputs. Then the slot is free.
  template <int kUnits, class Gate>
  __device__ void write(const HopperItem& item, Sums<kUnits>& sums, int slot) const {
    constexpr int kUnitsAtOnce = kGroupOutputs / kUnit;
    sync_warpgroup(1 + number_);
    int round = 0;
#pragma unroll
    for (int part = 0; part < (kGated ? 1 : 2); ++part) {
      const int output = item.output + part * kPartOutputs + number_ * kGroupOutputs;
#pragma unroll
      for (int begin = 0; begin < kUnits; begin += kUnitsAtOnce) {
        unsigned char* memory = weights_of(slot, round++ % 2);
#pragma unroll
        for (int i = 0; i < kUnitsAtOnce; ++i) {
          if (begin + i < kUnits) store_unit<kUnits, Gate>(memory, i, sums, part, begin + i);
        }
        sync_warpgroup(1 + number_);
#pragma unroll
        for (int i = 0; i < kUnitsAtOnce; ++i) {
          if (begin + i < kUnits) copy_unit(memory, i, item, kUnit * (begin + i), output);
        }
      }
    }
    publish_writes();
    __syncwarp();
    release(slot);
  }

  // Stores a unit's results as the rows of `memory` from kUnit * to on.
  template <int kUnits, class Gate>
  __device__ void store_unit(unsigned char* memory, int to, const Sums<kUnits>& sums, int part,
                             int unit) const {
    const auto value = [&](int tile, int i) {
      if constexpr (kGated) return Gate{}(sums[0][tile][i], sums[1][tile][i]);
      return sums[part][tile][i];
    };
    uint32_t pairs[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int tile = 2 * unit + i / 2;
      pairs[i] = pack<bf16>(value(tile, i % 2 * 2), value(tile, i % 2 * 2 + 1));
    }
    const int row = kUnit * to + lane_ / 16 * 8 + lane_ % 8;
    const int vector = thread_ / 32 * 2 + lane_ / 8 % 2;
    store_matrices_transposed(memory + row * kSlabRowBytes + ((vector ^ (row % 8)) * 16), pairs);
  }

  // Brings 16 rows of 64 outputs to where they go, a vector a thread.
  __device__ void copy_unit(const unsigned char* memory, int unit, const HopperItem& item,
                            int first_row, int output) const {
    const int of_unit = thread_ / 8, vector = thread_ % 8;
    const int row = first_row + of_unit, column = output + 8 * vector;
    if (row >= item.rows || column >= products_.outputs) return;
    const auto* from = memory + (kUnit * unit + of_unit) * kSlabRowBytes;
    *reinterpret_cast<uint4*>(products_.out[item.place + row] + column) =
        *reinterpret_cast<const uint4*>(from + (vector ^ (of_unit % 8)) * 16);
  }

  HopperShared<kPeers>& shared_;
  const HopperProducts& products_;
  const int number_, thread_, lane_;
  RingPlace<kItemSlots> item_place_;
  RingPlace<kStages> place_;
};

template <bool kGated, int kPeers>
__global__ void __cluster_dims__(kPeers, 1, 1) __launch_bounds__(kThreads, 1)
    expert_hopper(const __grid_constant__ HopperProducts products,
                  const __grid_constant__ HopperMaps maps, uint32_t* counters) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<HopperShared<kPeers>*>(bytes);
  if (threadIdx.x == 0) shared.init_barriers();
  if (threadIdx.x == 32) {
    prefetch_map(maps.first);
    prefetch_map(maps.second);
  }
  sync_cluster();
  if (threadIdx.x >= 32 * kConsumerWarps) {
    keep_registers<kLoaderRegisters>();
    HopperLoader<kPeers>(shared, products, maps, counters).load_items();
    // The cluster that ends last leaves zeros behind.
    const unsigned last = gridDim.x / kPeers - 1;
    if (threadIdx.x == 32 * kConsumerWarps && cluster_rank() == 0 &&
        atomicAdd(counters + 1, 1) == last) {
      counters[0] = 0;
      counters[1] = 0;
    }
  } else {
    take_registers<kConsumerRegisters>();
    HopperConsumer<kGated, kPeers>(shared, products).multiply_items();
  }
  if constexpr (kPeers > 1) sync_cluster();  // peers still arrive at the barriers
}

CUtensorMap map_weight(const Context& context, const Weight& weight) {
  return context.tensor_map(boxed_rows(weight.storage.data(), weight.out, weight.in,
                                       padded_row(weight.in), kPartOutputs));
}

template <bool kGated, int kPeers>
void launch_hopper(const Context& context, const HopperProducts& products, const HopperMaps& maps,
                   int64_t places) {
  // Every expert may have items that are not full.
  const int64_t items =
      (places / (kPeers * kUnit * kMostUnits) + std::min<int64_t>(places, products.experts)) *
      divide_up(products.outputs, products.tile_outputs);
  const int64_t clusters = std::min<int64_t>(items, context.multiprocessors() / kPeers);
  constexpr size_t kBytes = sizeof(HopperShared<kPeers>);
  allow_shared_bytes(expert_hopper<kGated, kPeers>, kBytes);
  launch(context,
         {.blocks = static_cast<unsigned>(kPeers * clusters),
          .threads = kThreads,
          .shared_bytes = kBytes},
         expert_hopper<kGated, kPeers>, products, maps, context.counters());
}

template <bool kGated>
void run_hopper(const Context& context, const ExpertProducts& products) {
  const op::ExpertLinear& op = products.product;
  const HopperProducts problem{
      .begin = op.begin.as<int32_t>(),
      .tokens = op.tokens.as<int32_t>(),
      .x = op.x.as<bf16>(),
      .x_vectors = op.x.row_stride / 8,
      .out = rows_of<bf16>(op.out),
      .experts = static_cast<int>(op.experts()),
      .outputs = static_cast<int>(op.out.row_size()),
      .inputs = static_cast<int>(op.weight->in),
      .tile_outputs = kGated ? kPartOutputs : 2 * kPartOutputs,
      .bias = {op.bias.as<float>(), (kGated ? products.up : op).bias.as<float>()},
      .activation = products.activation};
  const HopperMaps maps{.first = map_weight(context, *op.weight),
                        .second = map_weight(context, *(kGated ? products.up : op).weight)};
  const int64_t places = op.out.rows();
  if (places / op.experts() < kUnit * kMostUnits) {
    launch_hopper<kGated, 1>(context, problem, maps, places);
  } else {
    launch_hopper<kGated, 2>(context, problem, maps, places);
  }
}

}  // namespace

bool hopper_accepts(const ExpertProducts& products) {
  const op::ExpertLinear& op = products.product;
  const Weight& weight = *op.weight;
  return op.out.dtype == DType::bf16 && !is_f8(weight) && !is_packed(*weight.format) &&
         packs_fit<8>(weight.in, op.x, op.out);
}

void multiply_hopper(const Context& context, const ExpertProducts& products) {
  if (products.gated()) {
    run_hopper<true>(context, products);
  } else {
    run_hopper<false>(context, products);
  }
}

}  // namespace spate::cuda
