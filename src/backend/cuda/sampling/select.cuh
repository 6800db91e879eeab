// Finding, without sorting, where the largest elements of a row reach a count or a probability
// mass: histograms over ranges of keys, each pass narrowing the range to one bin. Weights are
// integers, so sums do not depend on the order in which threads add. And what the ops that need
// it have in common: a row read by a block, and its candidates in shared memory.
#pragma once

#include "backend/cuda/sampling/row.cuh"

namespace spate::cuda {

constexpr int kRowThreads = 1024;  // a block, on one row
constexpr int kBins = 2048;
constexpr int kCandidates = 4096;  // that fit shared memory

struct Histogram {
  uint32_t low[kBins], high[kBins];  // words of the sums

  __device__ void clear() {
    for (int bin = threadIdx.x; bin < kBins; bin += kRowThreads) low[bin] = high[bin] = 0;
  }
  __device__ void add(uint32_t bin, uint32_t weight) { atomicAdd(&low[bin], weight); }
  __device__ void add(uint32_t bin, uint64_t weight) {
    const auto word = static_cast<uint32_t>(weight);
    auto upper = static_cast<uint32_t>(weight >> 32);
    if (word != 0 && atomicAdd(&low[bin], word) > ~word) ++upper;  // the carry
    if (upper != 0) atomicAdd(&high[bin], upper);
  }
  __device__ uint64_t sum(int bin) const { return low[bin] | uint64_t{high[bin]} << 32; }
};

// Shared memory of a block.
struct RowMemory {
  Histogram histogram;
  uint32_t keys[kCandidates];
  int32_t tokens[kCandidates];
};

struct Choice {
  bool reached;
  uint32_t key;     // of the element with which the target is reached
  uint64_t before;  // weight of all larger keys
  uint64_t at;      // weight of all elements with this key
};

// What lies before the thread's value when the values of all threads are added in their order.
__device__ inline uint64_t sum_before(uint64_t value) {
  constexpr int kWarps = kRowThreads / kWarp;
  __shared__ uint64_t of_warp[kWarps];
  const int lane = threadIdx.x % kWarp, warp = threadIdx.x / kWarp;
  uint64_t sum = sum_through(value);
  __syncthreads();  // of_warp may still be read from the last time
  if (lane == kWarp - 1) of_warp[warp] = sum;
  __syncthreads();
  for (int w = 0; w < warp; ++w) sum += of_warp[w];
  return sum - value;
}

// Where the weights of the keys in [least, most], largest first, reach `target` > 0. each(f) calls
// f(key, token) for the thread's elements; weight(key) is theirs, u32 or u64. All threads of the
// block call this and get the same choice.
template <class Each, class Weight>
__device__ Choice select(const Each& each, const Weight& weight, uint32_t least, uint32_t most,
                         uint64_t target, Histogram& histogram) {
  constexpr int kBinBits = 11, kOwn = kBins / kRowThreads;
  static_assert(kBins == 1 << kBinBits);
  struct Found {
    int bin;
    uint64_t before, at;
  };
  __shared__ Found found;
  uint64_t before = 0;
  while (true) {
    const int bits = 32 - __clz(static_cast<int>(most - least));
    const int shift = bits > kBinBits ? bits - kBinBits : 0;
    histogram.clear();
    if (threadIdx.x == 0) found.bin = -1;
    __syncthreads();
    each([&](uint32_t key, int32_t) {
      if (key >= least && key <= most) histogram.add((most - key) >> shift, weight(key));
    });
    __syncthreads();
    uint64_t sums[kOwn], own = 0;
#pragma unroll
    for (int i = 0; i < kOwn; ++i) own += sums[i] = histogram.sum(threadIdx.x * kOwn + i);
    uint64_t reached = before + sum_before(own);
#pragma unroll
    for (int i = 0; i < kOwn; ++i) {
      if (reached < target && reached + sums[i] >= target) {
        found = {static_cast<int>(threadIdx.x) * kOwn + i, reached, sums[i]};
      }
      reached += sums[i];
    }
    __syncthreads();
    const Found bin = found;
    __syncthreads();  // before the next pass writes to it
    if (bin.bin < 0) return {};
    before = bin.before;
    const uint32_t skipped = static_cast<uint32_t>(bin.bin) << shift;
    most -= skipped;
    const uint32_t width = (1U << shift) - 1;
    if (most - least > width) least = most - width;
    if (shift == 0) return {true, most, before, bin.at};
  }
}

struct One {
  __device__ uint32_t operator()(uint32_t) const { return 1; }
};

// A row of logits as all threads of a block read it. Keys are those of logits divided by the
// temperature. Divisions are slow and most tokens need none: they are passed over by a raw logit.
struct Row {
  const float* logits;
  int size;
  bool aligned;
  float temperature;

  __device__ float divided(float raw) const { return temperature == 1 ? raw : raw / temperature; }

  // A raw logit below all those whose quotients have keys of at least `least`.
  __device__ float raw_floor(uint32_t least) const {
    if (least <= kLowestKey) return -INFINITY;
    const float product = value_of(least) * temperature;
    return product - (fabsf(product) * 1e-6F + 1e-37F);
  }

  // Calls body(token, raw logits) for the thread's quads, with several loads under way.
  template <class Body>
  __device__ void each_quad(const Body& body) const {
    constexpr int kLoads = 4, kStep = kRowThreads * kQuad;
    for (int first = static_cast<int>(threadIdx.x) * kQuad; first < size; first += kLoads * kStep) {
      float values[kLoads][kQuad];
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        if (first + i * kStep >= size) break;
        load_quad(logits, first + i * kStep, size, aligned, values[i]);
      }
#pragma unroll
      for (int i = 0; i < kLoads; ++i) {
        if (first + i * kStep >= size) break;
        body(first + i * kStep, values[i]);
      }
    }
  }
  // Calls body(key, token) for the thread's tokens with keys of at least `least`.
  template <class Body>
  __device__ void each_token(uint32_t least, const Body& body) const {
    const float floor = raw_floor(least);
    each_quad([&](int token, const float(&raw)[kQuad]) {
      if (largest_of(raw) < floor) return;
#pragma unroll
      for (int j = 0; j < kQuad; ++j) {
        if (raw[j] < floor || token + j >= size) continue;
        const uint32_t key = key_of(divided(raw[j]));
        if (key >= least) body(key, token + j);
      }
    });
  }
};

struct Summary {
  float largest;
  double sum;  // of exp(logit - largest), where it was asked for and largest is finite
};

// One pass over a row, in which also(raw logits) is called for the thread's quads. Leaves the
// largest logits of kCandidates groups of tokens in memory.keys: the n-th largest of them is a
// value that at least n tokens reach.
template <class Also>
__device__ Summary summarise(const Row& row, bool with_sum, RowMemory& memory, const Also& also) {
  static_assert(kCandidates == kRowThreads * kQuad);  // a group: a thread's j-th of each quad
  float maxima[kQuad] = {-INFINITY, -INFINITY, -INFINITY, -INFINITY};
  float most = -INFINITY, sum = 0;
  row.each_quad([&](int, const float(&raw)[kQuad]) {
#pragma unroll
    for (int j = 0; j < kQuad; ++j) maxima[j] = fmaxf(maxima[j], raw[j]);
    also(raw);
    if (!with_sum) return;
    const float largest = row.divided(largest_of(raw));
    if (largest > most) {
      sum *= expf(most - largest);
      most = largest;
    }
    if (most == -INFINITY) return;
#pragma unroll
    for (int j = 0; j < kQuad; ++j) sum += expf(row.divided(raw[j]) - most);
  });
  // The quotient of the largest is the largest quotient.
#pragma unroll
  for (int j = 0; j < kQuad; ++j) {
    memory.keys[threadIdx.x + j * kRowThreads] = key_of(row.divided(maxima[j]));
  }
  const float largest = row.divided(of_block<kRowThreads>(largest_of(maxima), Larger{}));
  const double scaled =
      most > -INFINITY ? sum * exp(static_cast<double>(most) - static_cast<double>(largest)) : 0;
  return {largest, with_sum ? of_block<kRowThreads>(scaled, Plus{}) : 0};
}

// All tokens of a row with keys of at least `bound`: in shared memory when they fit, else in the
// row itself.
struct Candidates {
  Row row;
  RowMemory* memory;
  uint32_t bound;
  int count;  // in memory, or -1

  template <class Body>
  __device__ void each(const Body& body) const {
    if (count < 0) {
      row.each_token(bound, body);
    } else {
      for (int i = threadIdx.x; i < count; i += kRowThreads) {
        body(memory->keys[i], memory->tokens[i]);
      }
    }
  }
};

// Overwrites what summarise() has left.
__device__ inline Candidates gather(const Row& row, uint32_t bound, RowMemory& memory) {
  __shared__ int count;
  __syncthreads();
  if (threadIdx.x == 0) count = 0;
  __syncthreads();
  row.each_token(bound, [&](uint32_t key, int32_t token) {
    if (*static_cast<volatile int*>(&count) >= kCandidates + kRowThreads) return;  // too many
    const int at = atomicAdd(&count, 1);
    if (at >= kCandidates) return;
    memory.keys[at] = key;
    memory.tokens[at] = token;
  });
  __syncthreads();
  const int found = count;
  return {row, &memory, bound, found <= kCandidates ? found : -1};
}

// The `wanted`-th smallest token among the candidates with this key.
__device__ inline int32_t nth_token(const Candidates& candidates, uint32_t key, uint64_t wanted) {
  const auto each = [&](const auto& body) {
    candidates.each([&](uint32_t other, int32_t token) {
      if (other == key) body(~static_cast<uint32_t>(token), token);
    });
  };
  const auto last = static_cast<uint32_t>(candidates.row.size - 1);
  return static_cast<int32_t>(
      ~select(each, One{}, ~last, ~0U, wanted, candidates.memory->histogram).key);
}

// Calls body(key, token) for the maxima that summarise() has left.
struct EachMaximum {
  const RowMemory& memory;
  template <class Body>
  __device__ void operator()(const Body& body) const {
    for (int i = threadIdx.x; i < kCandidates; i += kRowThreads) body(memory.keys[i], 0);
  }
};

}  // namespace spate::cuda
