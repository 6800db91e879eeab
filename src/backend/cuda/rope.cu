// Norms of heads, rotary positions and the writing of keys and values to their slots. One kernel
// does all or some of it: a block takes a few heads of one token, a warp each; the angles of the
// token's position are made once for the block, and a head is f32 from the first step to the last,
// in shared memory or, where it has one of the usual shapes, in registers. Both give the same bits.
#include <algorithm>
#include <initializer_list>
#include <utility>

#include "backend/cuda/e4m3.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/ops.h"
#include "backend/cuda/packs.cuh"
#include "backend/cuda/types.cuh"

namespace spate::cuda {
namespace {

constexpr int kPack = 4;  // elements: a warp covers a head of 128
constexpr int kMostHeads = 16;
constexpr size_t kMostShared = size_t{48} << 10;

// Where heads go in the cache.
template <class C>
struct CachedHeads {
  Rows<C> rows{};      // written at the token's slot
  int64_t slots = 0;   // of the cache
  uint16_t* scales{};  // of e4m3: every second one of [heads, slots, 2], as bf16
};

// What happens to heads of one kind: queries, keys or values.
template <class T, class C>
struct Heads {
  Rows<T> x;
  int heads = 0;                  // of a token
  const float* weight = nullptr;  // [D], norms by it
  bool turn = false;              // by the token's position
  bool keep = false;              // the result, in place
  CachedHeads<C> cache{};
};

struct Turn {
  const int32_t* positions;
  const float* frequencies;
  int pairs;
  float magnitude;
  bool neighbours;
  int begin;  // the first element of a head that turns
};

template <class T, class C>
struct HeadWork {
  Heads<T, C> kinds[3];
  int64_t width;
  float eps;
  Turn turn;
  const int32_t* slot;
  bool aligned;
};

// Cosine and sine of position * frequency. The angle is exact in f64: 31 bits of position, 24 of
// frequency; what is left of it after whole quarter turns, at most pi / 4, goes to f32 polynomials
// (Cephes' sinf and cosf).
__device__ float2 cosine_sine(int32_t position, float frequency) {
  const double angle = static_cast<double>(position) * static_cast<double>(frequency);
  const double turns = rint(angle * 0.63661977236758134);  // 2 / pi
  // pi / 2 in two parts.
  const auto rest = static_cast<float>(
      fma(-turns, 6.0771005065061922e-11, fma(-turns, 1.5707963267341256, angle)));
  const auto quarter = static_cast<int>(static_cast<long long>(turns) & 3);
  const float square = rest * rest;
  const float s = ((-1.9515295891e-4F * square + 8.3321608736e-3F) * square - 1.6666654611e-1F) *
                      square * rest +
                  rest;
  const float c =
      ((2.443315711809948e-5F * square - 1.388731625493765e-3F) * square + 4.166664568298827e-2F) *
          square * square -
      0.5F * square + 1;
  switch (quarter) {
    case 0: return {c, s};
    case 1: return {-s, c};
    case 2: return {-c, -s};
    default: return {s, -c};
  }
}

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

// One element of a turned pair; `sine` is that of the angle for the second element, of the opposite
// angle for the first.
__device__ float turned(float x, float other, float cosine, float sine) {
  return fmaf(other, sine, x * cosine);
}

__device__ float norm_factor(float sum_of_squares, int64_t width, float eps) {
  return 1 / sqrtf(warp_sum(sum_of_squares) / static_cast<float>(width) + eps);
}

// A head with a pack for each of its lanes, all of which turns: `values` are the lane's.
__device__ void work_in_registers(float (&values)[kPack], const float* weight, bool turns,
                                  const Turn& turn, const Angles& angles, int64_t width,
                                  float eps) {
  const int lane = threadIdx.x;
  if (weight != nullptr) {
    float sum = 0, weights[kPack] = {};
#pragma unroll
    for (int j = 0; j < kPack; ++j) sum = fmaf(values[j], values[j], sum);
    const float factor = norm_factor(sum, width, eps);
    if (lane * kPack < width) load_pack(weight + lane * kPack, true, kPack, weights);
#pragma unroll
    for (int j = 0; j < kPack; ++j) values[j] = values[j] * factor * weights[j];
  }
  if (!turns || turn.pairs == 0) return;
  float cosine[kPack], sine[kPack], other[kPack];
  if (turn.neighbours) {
    const int pair = lane * kPack / 2 % turn.pairs;
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      other[j] = values[j ^ 1];
      cosine[j] = angles.cosine[pair + j / 2];
      sine[j] = j % 2 == 0 ? -angles.sine[pair + j / 2] : angles.sine[pair + j / 2];
    }
  } else {
    const int half = turn.pairs / kPack;  // lanes
    const int pair = lane % half * kPack;
    load_pack(angles.cosine + pair, true, kPack, cosine);
    load_pack(angles.sine + pair, true, kPack, sine);
#pragma unroll
    for (int j = 0; j < kPack; ++j) {
      other[j] = __shfl_xor_sync(~0U, values[j], half);
      if (lane < half) sine[j] = -sine[j];
    }
  }
#pragma unroll
  for (int j = 0; j < kPack; ++j) values[j] = turned(values[j], other[j], cosine[j], sine[j]);
}

// Any head: `head` is the warp's shared memory.
__device__ void work_in_shared(float* head, float sum_of_squares, const float* weight, bool turns,
                               const Turn& turn, const Angles& angles, int64_t width, float eps) {
  __syncwarp();
  if (weight != nullptr) {
    const float factor = norm_factor(sum_of_squares, width, eps);
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

// Writes the scale of a head, whose largest element of each lane is `largest`; answers what brings
// elements to codes.
template <class C>
__device__ float write_scale(const CachedHeads<C>& cache, int head, int64_t slot, float largest) {
  const float scale = e4m3_scale(warp_max(largest));
  if (threadIdx.x == 0) {
    cache.scales[2 * (head * cache.slots + slot)] =
        static_cast<uint16_t>(__float_as_uint(scale) >> 16);
  }
  return inverse_of_scale(scale);
}

template <bool kInRegisters, class T, class C>
__global__ void __launch_bounds__(kMostHeads* kWarp) work_on_heads(HeadWork<T, C> work) {
  let_next_kernel_begin();
  wait_for_kernel_before();
  extern __shared__ float shared[];
  const int64_t t = blockIdx.x, width = work.width;
  int h = static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y);
  int kind = 0;
  while (kind < 3 && h >= work.kinds[kind].heads) h -= work.kinds[kind++].heads;
  const bool idle = kind == 3;
  if (idle) kind = h = 0;
  const Heads<T, C>& heads = work.kinds[kind];
  T* x = heads.x[t] + h * width;
  const int64_t own = threadIdx.x * kPack;  // the lane's first element
  float values[kPack] = {};                 // on their way while the angles are made
  if (own < width) load_pack(x + own, work.aligned, width - own, values);
  const Angles angles{shared, shared + work.turn.pairs};
  make_angles(work.turn, t, angles);
  if (idle) return;

  constexpr bool kScaled = std::is_same_v<C, e4m3>;
  const int64_t slot = heads.cache.rows.data == nullptr ? -1 : work.slot[t];
  C* cached = slot < 0 ? nullptr : heads.cache.rows[slot] + h * width;
  float factor = 1;
  const auto store = [&](int64_t i) {
    if (heads.keep) store_pack(x + i, work.aligned, width - i, values);
    if (cached == nullptr) return;
    if constexpr (kScaled) {
#pragma unroll
      for (float& value : values) value *= factor;
    }
    store_pack(cached + i, work.aligned, width - i, values);
  };
  if constexpr (kInRegisters) {
    work_in_registers(values, heads.weight, heads.turn, work.turn, angles, width, work.eps);
    if constexpr (kScaled) {
      float largest = 0;
#pragma unroll
      for (const float value : values) largest = fmaxf(largest, fabsf(value));
      if (cached != nullptr) factor = write_scale(heads.cache, h, slot, largest);
    }
    if (own < width) store(own);
  } else {
    float* head = shared + 2 * work.turn.pairs + threadIdx.y * width;
    float sum = 0;
    for (int64_t i = own; i < width; i += kWarp * kPack) {
      if (i != own) load_pack(x + i, work.aligned, width - i, values);
#pragma unroll
      for (int j = 0; j < kPack; ++j) {
        if (i + j < width) head[i + j] = values[j];
        sum = fmaf(values[j], values[j], sum);
      }
    }
    work_in_shared(head, sum, heads.weight, heads.turn, work.turn, angles, width, work.eps);
    if constexpr (kScaled) {
      float largest = 0;
      for (int64_t i = threadIdx.x; i < width; i += kWarp) largest = fmaxf(largest, fabsf(head[i]));
      if (cached != nullptr) factor = write_scale(heads.cache, h, slot, largest);
    }
    for (int64_t i = own; i < width; i += kWarp * kPack) {
#pragma unroll
      for (int j = 0; j < kPack; ++j) values[j] = i + j < width ? head[i + j] : 0;
      store(i);
    }
  }
}

// Whether a lane's pack and the one that turns with it are all that a lane needs.
template <class T, class C>
bool fits_registers(const HeadWork<T, C>& work) {
  const bool width_fits = work.width == 32 || work.width == 64 || work.width == kWarp * kPack;
  const bool all_turns = work.turn.pairs == 0 || 2 * work.turn.pairs == work.width;
  const bool weights_fit = std::ranges::all_of(work.kinds, [](const Heads<T, C>& heads) {
    return reinterpret_cast<uintptr_t>(heads.weight) % (kPack * sizeof(float)) == 0;
  });
  return work.aligned && width_fits && all_turns && weights_fit;
}

template <class T, class C>
void run_heads(const Context& context, int64_t tokens, const HeadWork<T, C>& work) {
  const bool in_registers = fits_registers(work);
  const int64_t heads = work.kinds[0].heads + work.kinds[1].heads + work.kinds[2].heads;
  const size_t angles = 2 * static_cast<size_t>(work.turn.pairs) * sizeof(float);
  const size_t head = in_registers ? 0 : static_cast<size_t>(work.width) * sizeof(float);
  const auto together = static_cast<unsigned>(
      std::clamp<int64_t>(static_cast<int64_t>((kMostShared - angles) / std::max<size_t>(head, 1)),
                          1, std::min<int64_t>(kMostHeads, std::max<int64_t>(heads, 1))));
  launch_early(context,
               {.blocks = dim3(static_cast<unsigned>(tokens),
                               static_cast<unsigned>(divide_up(heads, together))),
                .threads = dim3(kWarp, together),
                .shared_bytes = angles + together * head},
               in_registers ? work_on_heads<true, T, C> : work_on_heads<false, T, C>, work);
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
                        .aligned = packs_fit<kPack>(op.x.shape[2], op.x)};
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
          work.aligned = work.aligned && packs_fit<kPack>(width, from, to);
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
          .aligned = packs_fit<kPack>(width, op.q, op.key, op.value, op.kv.keys, op.kv.values)};
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
