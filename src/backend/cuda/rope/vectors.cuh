// Heads of 32, 64 or 128 elements that turn as a whole or not at all, in registers: a thread has
// two packs of a head, as far apart as its halves. A block takes some heads of one token and makes
// the angles of the token's position once.
#pragma once

#include <algorithm>

#include "backend/cuda/kept_pack.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/rope/heads.cuh"

namespace spate::cuda {

constexpr int kVector = 8;  // elements of a pack
constexpr int kVectorThreads = 128;
constexpr int kMostPairs = 64;

using Vector = float[kVector];

// The threads that have a head between them.
struct HeadLanes {
  int lanes;
  unsigned mask;
  __device__ explicit HeadLanes(int lanes)
      : lanes(lanes), mask(((1U << lanes) - 1) << (threadIdx.x & (kWarp - lanes))) {}

  // The sum in the order in which a warp adds up whose lanes have four neighbours each.
  __device__ float sum_of_squares(const Vector& a, const Vector& b) const {
    constexpr int kPart = kVector / 2;
    float sums[2];
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      float first = 0, second = 0;
#pragma unroll
      for (int j = kPart * i; j < kPart * (i + 1); ++j) {
        first = fmaf(a[j], a[j], first);
        second = fmaf(b[j], b[j], second);
      }
      sums[i] = first + second;
    }
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
#pragma unroll
      for (float& sum : sums) sum += __shfl_xor_sync(mask, sum, distance);
    }
    return sums[0] + sums[1];
  }
  __device__ float largest_of(const Vector& a, const Vector& b) const {
    float largest = 0;
#pragma unroll
    for (int j = 0; j < kVector; ++j) largest = fmaxf(largest, fmaxf(fabsf(a[j]), fabsf(b[j])));
    for (int distance = lanes / 2; distance > 0; distance /= 2) {
      largest = fmaxf(largest, __shfl_xor_sync(mask, largest, distance));
    }
    return largest;
  }
};

__device__ inline void norm_pack(Vector& values, float factor, const float* weight) {
  Vector weights;
  load_pack(weight, true, kVector, weights);
#pragma unroll
  for (int j = 0; j < kVector; ++j) values[j] = values[j] * factor * weights[j];
}

// The angles of the token, in shared memory.
struct alignas(16) VectorAngles {
  float cosine[kMostPairs], sine[kMostPairs];
};

// Turns pairs (a[j], b[j]) from pair `first` on, or neighbours of a pack.
__device__ inline void turn_halves(Vector& a, Vector& b, const VectorAngles& angles, int first) {
  Vector cosine, sine;
  load_pack(angles.cosine + first, true, kVector, cosine);
  load_pack(angles.sine + first, true, kVector, sine);
#pragma unroll
  for (int j = 0; j < kVector; ++j) {
    const float old = a[j];
    a[j] = turned(old, b[j], cosine[j], -sine[j]);
    b[j] = turned(b[j], old, cosine[j], sine[j]);
  }
}
__device__ inline void turn_neighbours(Vector& values, const VectorAngles& angles, int first) {
  float cosine[kVector / 2], sine[kVector / 2];
  load_pack(angles.cosine + first, true, kVector / 2, cosine);
  load_pack(angles.sine + first, true, kVector / 2, sine);
#pragma unroll
  for (int j = 0; j < kVector / 2; ++j) {
    float &a = values[2 * j], &b = values[2 * j + 1];
    const float old = a;
    a = turned(old, b, cosine[j], -sine[j]);
    b = turned(b, old, cosine[j], sine[j]);
  }
}

template <class C>
__device__ void store_vector(C* to, const Vector& values) {
  if constexpr (std::is_same_v<C, e4m3>) {
    *reinterpret_cast<uint2*>(to) = {four_codes(values), four_codes(values + 4)};
  } else if constexpr (std::is_same_v<C, bf16>) {
    KeptPack<C, kVector> pack;
    pack.keep(values);
    pack.store(to, true, kVector);
  } else {
    store_pack(to, true, kVector, values);
  }
}

// Threads take so few registers that a multiprocessor has 12 blocks where T has 16 bits.
template <class T, class C>
__global__ void __launch_bounds__(kVectorThreads, sizeof(T) == 2 ? 12 : 1)
    work_on_vectors(HeadWork<T, C> work) {
  let_next_kernel_begin();
  const int64_t t = blockIdx.x;
  const int thread = static_cast<int>(threadIdx.x), half = static_cast<int>(work.width) / 2;
  const int lanes = half / kVector, lane = thread & (lanes - 1);
  int h = (static_cast<int>(blockIdx.y) * kVectorThreads + thread) >> (__ffs(lanes) - 1);
  const int kind = work.kind_of(h);
  const Turn& turn = work.turn;
  // No kernel writes frequencies, so they are read before the wait.
  const float frequency = thread < turn.pairs ? turn.frequencies[thread] : 0;
  wait_for_kernel_before();

  const bool idle = kind == kKinds;
  const Heads<T, C>& heads = work.kinds[idle ? 0 : kind];
  const int own = h * 2 * half + lane * kVector;
  T* x = heads.x[t] + own;
  KeptPack<T, kVector> kept[2];  // on their way while the angles are made
  if (!idle) {
    kept[0].load(x, true, kVector);
    kept[1].load(x + half, true, kVector);
  }
  const int32_t slot = heads.cache.rows.data == nullptr ? -1 : work.slot[t];
  __shared__ VectorAngles angles;
  if (thread < turn.pairs) {
    const float2 angle = cosine_sine(turn.positions[t], frequency);
    angles.cosine[thread] = angle.x * turn.magnitude;
    angles.sine[thread] = angle.y * turn.magnitude;
  }
  __syncthreads();
  if (idle) return;

  const HeadLanes together(lanes);
  Vector a, b;
  kept[0].take(a);
  kept[1].take(b);
  if (heads.weight != nullptr) {
    const float factor = norm_factor(together.sum_of_squares(a, b), work.width, work.eps);
    norm_pack(a, factor, heads.weight + lane * kVector);
    norm_pack(b, factor, heads.weight + lane * kVector + half);
  }
  if (heads.turn && turn.neighbours) {
    turn_neighbours(a, angles, lane * kVector / 2);
    turn_neighbours(b, angles, (lane + lanes) * kVector / 2);
  } else if (heads.turn) {
    turn_halves(a, b, angles, lane * kVector);
  }
  if (heads.keep) {
    store_vector(x, a);
    store_vector(x + half, b);
  }
  if (slot < 0) return;
  if constexpr (std::is_same_v<C, e4m3>) {
    const float largest = together.largest_of(a, b);
    const float factor = scale_head(heads.cache, h, slot, largest, lane == 0);
#pragma unroll
    for (int j = 0; j < kVector; ++j) {
      a[j] *= factor;
      b[j] *= factor;
    }
  }
  C* cached = heads.cache.rows[slot] + own;
  store_vector(cached, a);
  store_vector(cached + half, b);
}

template <class T, class C>
bool fits_vectors(const HeadWork<T, C>& work) {
  const bool width_fits = work.width == 32 || work.width == 64 || work.width == 128;
  const bool turns_fit = std::ranges::all_of(work.kinds, [&](const Heads<T, C>& heads) {
    return !heads.turn || 2 * work.turn.pairs == work.width;
  });
  const bool weights_fit = std::ranges::all_of(work.kinds, [](const Heads<T, C>& heads) {
    return reinterpret_cast<uintptr_t>(heads.weight) % 16 == 0;
  });
  return work.aligned && width_fits && turns_fit && weights_fit;
}

template <class T, class C>
void run_vectors(const Context& context, int64_t tokens, const HeadWork<T, C>& work) {
  const int64_t threads = work.heads() * work.width / (2 * kVector);
  launch_early(context,
               {.blocks = dim3(static_cast<unsigned>(tokens),
                               static_cast<unsigned>(divide_up(threads, kVectorThreads))),
                .threads = kVectorThreads},
               work_on_vectors<T, C>, work);
}

}  // namespace spate::cuda
