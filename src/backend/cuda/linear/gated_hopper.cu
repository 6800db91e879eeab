// The product with gate and up joined, and the activation at its end, on Hopper's matrix products.
// A block stays on its multiprocessor and takes items (gated_hopper_load.cuh). One warp brings
// tiles of both operands, two warpgroups multiply, 64 tokens each, and three warps turn sums into
// results while the next item is multiplied: sums go to them by shared memory, rounded to bf16, as
// a product of its own would leave them in memory.
#include <algorithm>
#include <limits>

#include "backend/cuda/gated.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear/gated_hopper.h"
#include "backend/cuda/linear/gated_hopper_load.cuh"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/warpgroup.cuh"

namespace spate::cuda {
namespace {

constexpr int kThreads = 32 * (kConsumerWarps + 1 + kGateWarps);
// Of each thread; the register file has 512 for the three warps of a quarter.
constexpr int kOtherRegisters = 88, kConsumerRegisters = 208;
constexpr int64_t kInputsAtOnce = int64_t{8} << 20;  // of tokens, that stay in the L2 cache

// For a warpgroup.
template <int kOutputs>
__device__ void multiply_tiles(GatedShared<kOutputs>& shared, const GatedWork& work) {
  const int thread = static_cast<int>(threadIdx.x), group = thread / 128, lane = thread % 32;
  const int warp_token = thread % 128 / 32 * 16;
  RingPlace<GatedShared<kOutputs>::kStages> place;
  uint32_t parity = 1;  // of sums_empty
  for_items(work, [&](const GatedWork::Item&) {
    float sums[2 * kOutputs / 8][4];  // of gate, then of up
    int slot = 0;
#pragma unroll 1
    for (int slab = 0; slab < work.slabs(); ++slab) {
      const int before = slot;
      slot = place.slot;
      wait_for_phase(shared.full + slot, place.parity);
      place.advance();
      const uint64_t tokens = operand_at(uniform_address(shared.tokens[slot][group]), 0);
      const uint64_t weights = operand_at(uniform_address(shared.weights[slot]), 0);
      begin_products();
#pragma unroll
      for (int bytes = 0; bytes < kSlabRowBytes; bytes += 32) {
        multiply_shared<2 * kOutputs>(sums, operand_behind(tokens, bytes),
                                      operand_behind(weights, bytes), slab > 0 || bytes > 0);
      }
      end_product_group();
      if (slab == 0) continue;
      wait_for_products<1>(sums);
      arrive_in_all<kPeers>(shared.empty + before);
    }
    wait_for_products<0>(sums);
    arrive_in_all<kPeers>(shared.empty + slot);
    wait_for_phase(shared.sums_empty + group, parity);
    parity ^= 1;
#pragma unroll
    for (int tile = 0; tile < 2 * kOutputs / 8; tile += 2) {
      const uint32_t pairs[4] = {pack<bf16>(sums[tile][0], sums[tile][1]),
                                 pack<bf16>(sums[tile][2], sums[tile][3]),
                                 pack<bf16>(sums[tile + 1][0], sums[tile + 1][1]),
                                 pack<bf16>(sums[tile + 1][2], sums[tile + 1][3])};
      store_matrices(shared.sums_at(group, warp_token + lane % 16, tile + lane / 16), pairs);
    }
    __syncwarp();
    if (lane == 0) arrive(shared.sums_full + group);
  });
}

// Turns sums into results; for the warps that do. A thread has the same eight outputs of some
// tokens; where tokens do not take all threads, the last ones have none.
template <int kOutputs, class Gate>
class SumGater {
  static constexpr int kVectors = kOutputs / 8;  // of a token
  static constexpr int kTokensAtOnce = 32 * kGateWarps / kVectors;

 public:
  __device__ SumGater(GatedShared<kOutputs>& shared, const GatedWork& work)
      : shared_(shared), work_(work), thread_(static_cast<int>(threadIdx.x) % (32 * kGateWarps)) {}

  __device__ void take_items() {
    uint32_t parity = 0;
    for_items(work_, [&](const GatedWork::Item& item) {
      const int output = item.output + 8 * vector();
      for (int group = 0; group < kGroups; ++group) {
        wait_for_phase(shared_.sums_full + group, parity);
        const int first = item.token + group * kGroupTokens;
        const int tokens = min(kGroupTokens, work_.tokens - first);
        if (thread_ < kTokensAtOnce * kVectors && output < work_.outputs) {
#pragma unroll 2
          for (int token = thread_ / kVectors; token < tokens; token += kTokensAtOnce) {
            write(group, token, first + token, output);
          }
        }
        __syncwarp();
        if (thread_ % 32 == 0) arrive(shared_.sums_empty + group);
      }
      parity ^= 1;
    });
  }

 private:
  __device__ int vector() const { return thread_ % kVectors; }

  __device__ void write(int group, int in_group, int token, int output) const {
    const auto gates = *reinterpret_cast<const uint4*>(shared_.sums_at(group, in_group, vector()));
    const auto ups =
        *reinterpret_cast<const uint4*>(shared_.sums_at(group, in_group, kVectors + vector()));
    const uint32_t of_gate[4] = {gates.x, gates.y, gates.z, gates.w};
    const uint32_t of_up[4] = {ups.x, ups.y, ups.z, ups.w};
    uint32_t results[4];
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const float2 gate = unpack(of_gate[i]), up = unpack(of_up[i]);
      results[i] = pack<bf16>(Gate{}(gate.x, up.x), Gate{}(gate.y, up.y));
    }
    *reinterpret_cast<uint4*>(work_.out[token] + output) =
        make_uint4(results[0], results[1], results[2], results[3]);
  }

  GatedShared<kOutputs>& shared_;
  const GatedWork& work_;
  const int thread_;
};

template <int kOutputs>
__device__ void gate_sums(GatedShared<kOutputs>& shared, const GatedWork& work) {
  with_gate<bf16>(work.activation, [&]<class Gate>(TypeTag<Gate>) {
    SumGater<kOutputs, Gate>(shared, work).take_items();
  });
}

template <int kOutputs>
__global__ void __cluster_dims__(kPeers, 1, 1) __launch_bounds__(kThreads, 1)
    gated_hopper(const __grid_constant__ GatedWork work, const __grid_constant__ GatedMaps maps) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<GatedShared<kOutputs>*>(bytes);
  if (threadIdx.x == 0) shared.init_barriers();
  if (threadIdx.x == 32) {
    prefetch_map(maps.tokens);
    prefetch_map(maps.weights);
  }
  sync_cluster();
  const int warp = static_cast<int>(threadIdx.x) / 32;
  if (warp < kConsumerWarps) {
    take_registers<kConsumerRegisters>();
    multiply_tiles(shared, work);
  } else {
    keep_registers<kOtherRegisters>();
    if (warp == kConsumerWarps) {
      load_tiles(shared, work, maps);
    } else {
      gate_sums(shared, work);
    }
  }
  sync_cluster();  // peers still arrive at the barriers
}

GatedWork work_of(const op::JoinedGated& op, int item_outputs) {
  const int64_t inputs = op.product.weight->in;
  return {.tokens = static_cast<int>(op.out.rows()),
          .outputs = static_cast<int>(op.out.row_size()),
          .item_outputs = item_outputs,
          .inputs = static_cast<int>(inputs),
          .pairs_at_once = static_cast<int>(
              std::max<int64_t>(1, kInputsAtOnce / (kPeers * kItemTokens * inputs))),
          .out = rows_of<bf16>(op.out),
          .activation = op.activation};
}

int most_clusters(const Context& context) { return context.multiprocessors() / kPeers; }

// What the device multiplies while it runs the work, in outputs of a cluster: items that are not
// full, and clusters that have none left, count as much as others.
int64_t cost_of(const Context& context, const GatedWork& work) {
  return divide_up(work.items(), most_clusters(context)) * work.item_outputs;
}

// The cheapest size of items; small ones multiply a little slower.
GatedWork best_work(const Context& context, const op::JoinedGated& op) {
  GatedWork best = work_of(op, 128);
  for (const int outputs : {112, 96}) {
    const GatedWork small = work_of(op, outputs);
    if (32 * cost_of(context, small) < 31 * cost_of(context, best)) best = small;
  }
  return best;
}

template <int kOutputs>
void run_hopper(const Context& context, const op::JoinedGated& op, const GatedWork& work) {
  using Shared = GatedShared<kOutputs>;
  const Tensor& x = op.product.x;
  const Weight& weight = *op.product.weight;
  const GatedMaps maps{
      .tokens =
          context.tensor_map(boxed_rows(x.data, x.rows(), weight.in, x.row_stride, kItemTokens)),
      .weights = context.tensor_map(boxed_rows(weight.storage.data(), weight.out, weight.in,
                                               padded_row(weight.in), kOutputs))};
  const int clusters = std::min(work.items(), most_clusters(context));
  allow_shared_bytes(gated_hopper<kOutputs>, sizeof(Shared));
  launch(context,
         {.blocks = static_cast<unsigned>(kPeers * clusters),
          .threads = kThreads,
          .shared_bytes = sizeof(Shared)},
         gated_hopper<kOutputs>, work, maps);
}

}  // namespace

bool gated_hopper_accepts(const op::JoinedGated& op) {
  const op::Linear& product = op.product;
  const Weight& weight = *product.weight;
  constexpr int64_t kMost = std::numeric_limits<int>::max() / 2;
  return product.x.dtype == DType::bf16 && op.out.dtype == DType::bf16 &&
         product.bias.data == nullptr && !is_f8(weight) && !is_packed(*weight.format) &&
         op.out.row_size() < kMost && op.out.rows() < kMost &&
         reinterpret_cast<uintptr_t>(weight.storage.data()) % 16 == 0 &&
         packs_fit<8>(op.out.row_size(), product.x, op.out);
}

double gated_hopper_share(const Context& context, const op::JoinedGated& op) {
  const double wanted = static_cast<double>(op.out.rows()) * static_cast<double>(op.out.row_size());
  const double multiplied = static_cast<double>(cost_of(context, best_work(context, op))) *
                            most_clusters(context) * kPeers * kItemTokens;
  return wanted / multiplied;
}

void multiply_gated_hopper(const Context& context, const op::JoinedGated& op) {
  const GatedWork work = best_work(context, op);
  switch (work.item_outputs) {
    case 96: return run_hopper<96>(context, op, work);
    case 112: return run_hopper<112>(context, op, work);
    default: return run_hopper<128>(context, op, work);
  }
}

}  // namespace spate::cuda
