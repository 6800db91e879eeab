// Norms of heads, rotary positions and the writing of keys and values to their slots: one kernel
// does all or some of it. Heads of the usual shapes go through registers, see vectors.cuh; of any
// other a block takes a few of one token, a warp each, in shared memory, where they are f32 from
// the first step to the last. Both give the same bits.
#include <algorithm>
#include <initializer_list>
#include <utility>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/rope/heads.cuh"
#include "backend/cuda/rope/vectors.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kPack = 4;  // elements
constexpr int kMostHeads = 16;
constexpr size_t kMostShared = size_t{48} << 10;

// The angles of a token, in shared memory.
struct Angles {
  float *cosine, *sine;
};

__device__ void make_angles(const Turn& turn, int64_t t, const Angles& angles) {
  if (turn.pairs == 0) return;
  const int32_t position = turn.positions[t];
  for (int i = threadIdx.y * kWarp + threadIdx.x; i < turn.pairs; i += blockDim.y * kWarp) {
    const float2 angle = cosine_sine(position, turn.frequencies[i]);
    angles.cosine[i] = angle.x * turn.magnitude;
    angles.sine[i] = angle.y * turn.magnitude;
  }
  __syncthreads();
}

// Any head: `head` is the warp's shared memory.
__device__ void work_in_shared(float* head, float sum_of_squares, const float* weight, bool turns,
                               const Turn& turn, const Angles& angles, int64_t width, float eps) {
  __syncwarp();
  if (weight != nullptr) {
    const float factor = norm_factor(warp_sum(sum_of_squares), width, eps);
    for (int64_t i = threadIdx.x; i < width; i += kWarp) head[i] = head[i] * factor * weight[i];
    __syncwarp();
  }
  if (!turns) return;
  for (int i = threadIdx.x; i < turn.pairs; i += kWarp) {
    float& a = head[turn.begin + (turn.neighbours ? 2 * i : i)];
    float& b = head[turn.begin + (turn.neighbours ? 2 * i + 1 : i + turn.pairs)];
    const float old_a = a, old_b = b;
    a = turned(old_a, old_b, angles.cosine[i], -angles.sine[i]);
    b = turned(old_b, old_a, angles.cosine[i], angles.sine[i]);
  }
  __syncwarp();
}

// With two blocks a multiprocessor in place of three it takes a quarter longer.
template <class T, class C>
__global__ void __launch_bounds__(kMostHeads* kWarp, 3) work_on_heads(HeadWork<T, C> work) {
  let_next_kernel_begin();
  wait_for_kernel_before();
  extern __shared__ float shared[];
  const int64_t t = blockIdx.x, width = work.width;
  int h = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  int kind = work.kind_of(h);
  const bool idle = kind == kKinds;
  if (idle) kind = h = 0;
  const Heads<T, C>& heads = work.kinds[kind];
  T* x = heads.x[t] + h * width;
  const int64_t own = threadIdx.x * kPack;  // the lane's first element
  float values[kPack] = {};                 // on their way while the angles are made
  if (own < width) load_pack(x + own, work.aligned, width - own, values);
  const Angles angles{shared, shared + work.turn.pairs};
  make_angles(work.turn, t, angles);
  if (idle) return;

  const int64_t slot = heads.cache.rows.data == nullptr ? -1 : work.slot[t];
  C* cached = slot < 0 ? nullptr : heads.cache.rows[slot] + h * width;
  float* head = shared + 2 * work.turn.pairs + threadIdx.y * width;
  float sum = 0, factor = 1;
  for (int64_t i = own; i < width; i += kWarp * kPack) {
    if (i != own) load_pack(x + i, work.aligned, width - i, values);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      if (i + j < width) head[i + j] = values[j];
      sum = fmaf(values[j], values[j], sum);
    }
  }
  work_in_shared(head, sum, heads.weight, heads.turn, work.turn, angles, width, work.eps);
  if constexpr (std::is_same_v<C, e4m3>) {
    float largest = 0;
    for (int64_t i = threadIdx.x; i < width; i += kWarp) largest = fmaxf(largest, fabsf(head[i]));
    if (cached != nullptr) {
      factor = scale_head(heads.cache, h, slot, warp_max(largest), threadIdx.x == 0);
    }
  }
  for (int64_t i = own; i < width; i += kWarp * kPack) {
#pragma unroll
    for (int j = 0; j < kPack; ++j) values[j] = i + j < width ? head[i + j] : 0;
    if (heads.keep) store_pack(x + i, work.aligned, width - i, values);
    if (cached == nullptr) continue;
    if constexpr (std::is_same_v<C, e4m3>) {
#pragma unroll
      for (float& value : values) value *= factor;
    }
    store_pack(cached + i, work.aligned, width - i, values);
  }
}

template <class T, class C>
void run_heads(const Context& context, int64_t tokens, const HeadWork<T, C>& work) {
  if (fits_vectors(work)) return run_vectors(context, tokens, work);
  const int64_t heads = work.heads();
  const size_t angles = 2 * static_cast<size_t>(work.turn.pairs) * sizeof(float);
  const size_t head = static_cast<size_t>(work.width) * sizeof(float);
  const auto together = static_cast<unsigned>(
      std::clamp<int64_t>(static_cast<int64_t>((kMostShared - angles) / std::max<size_t>(head, 1)),
                          1, std::min<int64_t>(kMostHeads, std::max<int64_t>(heads, 1))));
  launch_early(context,
               {.blocks = dim3(static_cast<unsigned>(tokens),
                               static_cast<unsigned>(divide_up(heads, together))),
                .threads = dim3(kWarp, together),
                .shared_bytes = angles + together * head},
               work_on_heads<T, C>, work);
}

Turn turn_of(const Tensor& positions, const Rope& rope, int64_t begin = 0) {
  return {.positions = positions.as<int32_t>(),
          .frequencies = rope.frequencies.as<float>(),
          .pairs = static_cast<int>(rope.frequencies.rows()),
          .magnitude = rope.magnitude,
          .neighbours = rope.pairs == RopePairs::neighbours,
          .begin = static_cast<int>(begin)};
}

int heads_of(const Tensor& x) { return static_cast<int>(x.shape[1]); }

// `which` of a token's two scales: keys' 0, values' 1.
template <class C>
CachedHeads<C> cached_heads(const Tensor& to, const KvView& kv, int which) {
  return {.rows = rows_of<C>(to),
          .slots = to.rows(),
          .scales = kv.scaled() ? kv.scales.as<uint16_t>() + which : nullptr};
}

}  // namespace

void run(Context& context, const op::RopeApply& op) {
  with_activation_type(op.x.dtype, [&]<class T>(TypeTag<T>) {
    HeadWork<T, T> work{.width = op.x.shape[2],
                        .turn = turn_of(op.positions, op.rope, op.begin),
                        .aligned = packs_fit<kVector>(op.x.shape[2], op.x)};
    work.kinds[0] =
        Heads<T, T>{.x = rows_of<T>(op.x), .heads = heads_of(op.x), .turn = true, .keep = true};
    run_heads(context, op.x.rows(), work);
  });
}

void run(Context& context, const op::KvWrite& op) {
  with_activation_type(op.key.dtype, [&]<class T>(TypeTag<T>) {
    with_cache_type(op.kv.keys.dtype, [&]<class C>(TypeTag<C>) {
      // Keys and values of one width go together.
      struct Part {
        Tensor from, to;
        int which;
      };
      const auto write = [&](std::initializer_list<Part> parts) {
        const int64_t width = parts.begin()->from.shape[2];
        HeadWork<T, C> work{
            .width = width, .turn = {}, .slot = op.kv.slot.as<int32_t>(), .aligned = true};
        int kind = 0;
        for (const auto& [from, to, which] : parts) {
          work.aligned = work.aligned && packs_fit<kVector>(width, from, to);
          work.kinds[kind++] = Heads<T, C>{.x = rows_of<T>(from),
                                           .heads = heads_of(from),
                                           .cache = cached_heads<C>(to, op.kv, which)};
        }
        run_heads(context, op.key.rows(), work);
      };
      const Part key{op.key, op.kv.keys, 0}, value{op.value, op.kv.values, 1};
      if (op.value.data == nullptr) {
        write({key});
      } else if (op.value.shape[2] == op.key.shape[2]) {
        write({key, value});
      } else {
        write({key});
        write({value});
      }
    });
  });
}

void run(Context& context, const op::QkvNormRopeWrite& op) {
  with_activation_type(op.q.dtype, [&]<class T>(TypeTag<T>) {
    with_cache_type(op.kv.keys.dtype, [&]<class C>(TypeTag<C>) {
      const int64_t width = op.q.shape[2];
      HeadWork<T, C> work{
          .width = width,
          .eps = op.eps,
          .turn = turn_of(op.positions, op.rope),
          .slot = op.kv.slot.as<int32_t>(),
          .aligned = packs_fit<kVector>(width, op.q, op.key, op.value, op.kv.keys, op.kv.values)};
      work.kinds[0] = Heads<T, C>{.x = rows_of<T>(op.q),
                                  .heads = heads_of(op.q),
                                  .weight = op.q_norm.as<float>(),
                                  .turn = true,
                                  .keep = true};
      work.kinds[1] = Heads<T, C>{.x = rows_of<T>(op.key),
                                  .heads = heads_of(op.key),
                                  .weight = op.k_norm.as<float>(),
                                  .turn = true,
                                  .keep = true,
                                  .cache = cached_heads<C>(op.kv.keys, op.kv, 0)};
      work.kinds[2] = Heads<T, C>{.x = rows_of<T>(op.value),
                                  .heads = heads_of(op.value),
                                  .cache = cached_heads<C>(op.kv.values, op.kv, 1)};
      run_heads(context, op.q.rows(), work);
    });
  });
}

}  // namespace spate::cuda
