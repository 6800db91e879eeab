// Loops of the sampling ops; see backend/cpu/kernels/sampling.h. A last block that is not full is
// worked off in a copy padded with -infinity.
#include "backend/cpu/kernels/sampling.h"

#include "backend/cpu/kernels/gumbel.h"
#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {
namespace {

constexpr int64_t kBlock = SamplingKernels::kBlock;
constexpr float kMinusInfinity = -__builtin_inff();

struct PaddedBlock {
  float values[kBlock];
  PaddedBlock(const float* from, int64_t count) {
    for (int64_t i = 0; i < kBlock; ++i) values[i] = i < count ? from[i] : kMinusInfinity;
  }
};

// Calls body(block, index) for every block of a row that is only read.
template <class Body>
void read_blocks(const float* logits, int64_t size, Body body) {
  int64_t block = 0;
  for (; (block + 1) * kBlock <= size; ++block) body(logits + block * kBlock, block);
  if (block * kBlock < size) {
    const PaddedBlock last(logits + block * kBlock, size - block * kBlock);
    body(last.values, block);
  }
}

// The same for a row that is changed.
template <class Body>
void change_blocks(float* logits, int64_t size, Body body) {
  int64_t block = 0;
  for (; (block + 1) * kBlock <= size; ++block) body(logits + block * kBlock, block);
  const int64_t rest = size - block * kBlock;
  if (rest > 0) {
    PaddedBlock last(logits + block * kBlock, rest);
    body(last.values, block);
    for (int64_t i = 0; i < rest; ++i) logits[block * kBlock + i] = last.values[i];
  }
}

void maxima(const float* logits, int64_t size, float* maxima) {
  read_blocks(logits, size, [maxima](const float* x, int64_t block) {
    Vec largest = broadcast(kMinusInfinity);
    for (int64_t i = 0; i < kBlock; i += kLanes) largest = max(load(x + i), largest);
    maxima[block] = max_lane(largest);
  });
}

void divide(float* logits, int64_t size, float divisor, float* maxima) {
  const Vec by = broadcast(divisor), lowest = broadcast(kMinusInfinity);
  change_blocks(logits, size, [=](float* x, int64_t block) {
    Vec largest = lowest;
    for (int64_t i = 0; i < kBlock; i += kLanes) {
      const Vec value = max(load(x + i) / by, lowest);  // in this order a NaN becomes -infinity
      store(x + i, value);
      largest = max(value, largest);
    }
    maxima[block] = max_lane(largest);
  });
}

void sums(const float* logits, int64_t size, float largest, float* sums) {
  const Vec shift = broadcast(largest), lowest = broadcast(kMinusInfinity);
  read_blocks(logits, size, [=](const float* x, int64_t block) {
    Vec total = broadcast(0);
    for (int64_t i = 0; i < kBlock; i += kLanes) {
      total = total + exp(max(load(x + i), lowest) - shift);
    }
    sums[block] = sum(total);
  });
}

void exponentials(float* values, int64_t size, float largest) {
  const Vec shift = broadcast(largest);
  change_blocks(values, size, [=](float* x, int64_t) {
    for (int64_t i = 0; i < kBlock; i += kLanes) store(x + i, exp(load(x + i) - shift));
  });
}

void mask_below(float* logits, int64_t size, float least) {
  const Vec limit = broadcast(least), masked = broadcast(kMinusInfinity);
  change_blocks(logits, size, [=](float* x, int64_t) {
    for (int64_t i = 0; i < kBlock; i += kLanes) {
      const Vec value = load(x + i);
      store(x + i, where_less(value, limit, masked, value));
    }
  });
}

int64_t count_above(const float* logits, int64_t size, float value) {
  const Vec limit = broadcast(value), one = broadcast(1), zero = broadcast(0);
  int64_t count = 0;
  read_blocks(logits, size, [&](const float* x, int64_t) {
    Vec found = zero;
    for (int64_t i = 0; i < kBlock; i += kLanes) {
      found = found + where_less(limit, load(x + i), one, zero);
    }
    count += static_cast<int64_t>(sum(found));
  });
  return count;
}

float add_noise(const float* logits, int64_t count, uint64_t key, uint64_t position, int64_t first,
                float* scores) {
  const PaddedBlock block(logits, count);
  gumbel_block(key, position, first, scores);
  Vec largest = broadcast(kMinusInfinity);
  for (int64_t i = 0; i < kBlock; i += kLanes) {
    const Vec score = load(block.values + i) + load(scores + i);
    store(scores + i, score);
    largest = max(score, largest);
  }
  return max_lane(largest);
}

}  // namespace

extern const SamplingKernels kSampling;
const SamplingKernels kSampling{.maxima = maxima,
                                .divide = divide,
                                .sums = sums,
                                .exponentials = exponentials,
                                .mask_below = mask_below,
                                .count_above = count_above,
                                .add_noise = add_noise};
static_assert(kNoiseTokens == SamplingKernels::kBlock);

}  // namespace spate::cpu::SPATE_ISA
