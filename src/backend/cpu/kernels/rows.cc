// Row by row: see rows.h. Plain loops where the compiler makes the best of them by itself.
#include "backend/cpu/kernels/rows.h"

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {
namespace {

void add(const float* a, const float* b, float* out, int64_t size) {
  for (int64_t i = 0; i < size; ++i) out[i] = a[i] + b[i];
}

void scale(float* x, float factor, int64_t size) {
  for (int64_t i = 0; i < size; ++i) x[i] *= factor;
}

// ---- activations ----------------------------------------------------------------------

// Calls apply(a, b) on the vectors of two inputs; what is missing in the last one is 0.
template <class Apply>
void each_vec(const float* a, const float* b, float* out, int64_t size, Apply apply) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) store(out + i, apply(load(a + i), load(b + i)));
  const int rest = static_cast<int>(size - i);
  if (rest > 0) store_part(out + i, apply(load_part(a + i, rest), load_part(b + i, rest)), rest);
}

// x / (1 + e^-x)
Vec silu(Vec x) { return x / (broadcast(1) + exp(broadcast(0) - x)); }

// 0.5 * x * (1 + tanh(u)) = x / (1 + e^-2u) with u = sqrt(2 / pi) * (x + 0.044715 * x^3): no
// difference of close numbers.
Vec gelu_tanh(Vec x) {
  const Vec inner = fma(x * x, broadcast(0.044715F), broadcast(1)) * x;
  return x / (broadcast(1) + exp(inner * broadcast(-2 * 0.7978845608F)));
}

void silu_times(const float* gate, const float* up, float* out, int64_t size) {
  each_vec(gate, up, out, size, [](Vec g, Vec u) { return silu(g) * u; });
}

void gelu_tanh_times(const float* gate, const float* up, float* out, int64_t size) {
  each_vec(gate, up, out, size, [](Vec g, Vec u) { return gelu_tanh(g) * u; });
}

void clipped_silu_times(const float* gate, const float* up, float* out, int64_t size) {
  // kClippedLimit and kClippedSlope of backend/ops/linear.h
  const Vec limit = broadcast(7), least = broadcast(-7), slope = broadcast(-1.702F);
  each_vec(gate, up, out, size, [&](Vec gate, Vec up) {
    const Vec g = min(limit, gate), u = max(least, min(limit, up));  // in this order NaNs stay
    return g / (broadcast(1) + exp(slope * g)) * (u + broadcast(1));
  });
}

// ---- norms ----------------------------------------------------------------------------

// The sum of squares of what load_at(i) and load_part_at(i, count) give.
template <class Load, class LoadPart>
float squares(int64_t size, Load load_at, LoadPart load_part_at) {
  constexpr int kChains = 4;  // sums that do not wait for each other
  Vec sums[kChains] = {broadcast(0), broadcast(0), broadcast(0), broadcast(0)};
  int64_t i = 0;
  for (; i + kChains * kLanes <= size; i += kChains * kLanes) {
    for (int chain = 0; chain < kChains; ++chain) {
      const Vec x = load_at(i + chain * kLanes);
      sums[chain] = fma(x, x, sums[chain]);
    }
  }
  for (; i + kLanes <= size; i += kLanes) {
    const Vec x = load_at(i);
    sums[0] = fma(x, x, sums[0]);
  }
  if (i < size) {
    const Vec x = load_part_at(i, static_cast<int>(size - i));
    sums[1] = fma(x, x, sums[1]);
  }
  return sum((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

void normalize(const float* x, float squares_sum, const float* weight, float* out, int64_t size,
               float eps) {
  const float factor = 1 / __builtin_sqrtf(squares_sum / static_cast<float>(size) + eps);
  for (int64_t i = 0; i < size; ++i) out[i] = x[i] * factor * weight[i];
}

void rms_norm(const float* x, const float* weight, float* out, int64_t size, float eps) {
  const float total = squares(
      size, [&](int64_t i) { return load(x + i); },
      [&](int64_t i, int count) { return load_part(x + i, count); });
  normalize(x, total, weight, out, size, eps);
}

void add_rms_norm(float* residual, const float* x, const float* weight, float* out, int64_t size,
                  float eps) {
  const float total = squares(
      size,
      [&](int64_t i) {
        const Vec both = load(residual + i) + load(x + i);
        store(residual + i, both);
        return both;
      },
      [&](int64_t i, int count) {
        const Vec both = load_part(residual + i, count) + load_part(x + i, count);
        store_part(residual + i, both, count);
        return both;
      });
  normalize(residual, total, weight, out, size, eps);
}

// ---- rotary positions -----------------------------------------------------------------

float with_sign_of_bit(float x, int32_t bits) {  // bit 1 turns the sign
  return __builtin_bit_cast(
      float, __builtin_bit_cast(uint32_t, x) ^ (static_cast<uint32_t>(bits & 2) << 30));
}

// The angle is exact in f64: 31 bits of position, 24 of frequency. What is left of it after whole
// quarter turns, at most pi / 4, goes to f32 polynomials (Cephes' sinf and cosf). Only sums and
// products, so every instruction set gives the same bits.
void angles(int32_t position, const float* frequencies, int64_t pairs, float magnitude,
            float* cosine, float* sine) {
  const double kQuarters = 0.63661977236758134;  // 2 / pi
  // pi / 2 in two parts; the first has 33 bits, so that its products with 20-bit counts are exact.
  const double kHigh = 1.5707963267341256, kLow = 6.0771005065061922e-11;
  const double kMagic = 6755399441055744.0;  // 1.5 * 2^52: adding it rounds to an integer
  for (int64_t i = 0; i < pairs; ++i) {
    const double angle = static_cast<double>(position) * static_cast<double>(frequencies[i]);
    const double turns = (angle * kQuarters + kMagic) - kMagic;
    const float rest = static_cast<float>((angle - turns * kHigh) - turns * kLow);
    // The last bits of the count; `turns` itself may not fit 32 bits.
    const auto quarter =
        static_cast<int32_t>(static_cast<uint32_t>(__builtin_bit_cast(uint64_t, turns + kMagic)));
    const float square = rest * rest;
    const float s = ((-1.9515295891e-4F * square + 8.3321608736e-3F) * square - 1.6666654611e-1F) *
                        square * rest +
                    rest;
    const float c = ((2.443315711809948e-5F * square - 1.388731625493765e-3F) * square +
                     4.166664568298827e-2F) *
                        square * square -
                    0.5F * square + 1;
    const bool odd = (quarter & 1) != 0;
    sine[i] = with_sign_of_bit(odd ? c : s, quarter) * magnitude;
    cosine[i] = with_sign_of_bit(odd ? s : c, quarter + 1) * magnitude;
  }
}

void turn_halves(float* x, int64_t heads, int64_t width, const float* cosine, const float* sine,
                 int64_t pairs) {
  for (int64_t h = 0; h < heads; ++h) {
    float* __restrict a = x + h * width;
    float* __restrict b = a + pairs;
    for (int64_t i = 0; i < pairs; ++i) {
      const float old_a = a[i], old_b = b[i];
      a[i] = old_a * cosine[i] - old_b * sine[i];
      b[i] = old_a * sine[i] + old_b * cosine[i];
    }
  }
}

void turn_neighbours(float* x, int64_t heads, int64_t width, const float* __restrict cosine,
                     const float* __restrict sine, int64_t pairs) {
  for (int64_t h = 0; h < heads; ++h) {
    float* __restrict head = x + h * width;
    for (int64_t i = 0; i < pairs; ++i) {
      const float a = head[2 * i], b = head[2 * i + 1];
      head[2 * i] = a * cosine[i] - b * sine[i];
      head[2 * i + 1] = a * sine[i] + b * cosine[i];
    }
  }
}

// ---- conversion -----------------------------------------------------------------------

template <class Store>
void convert_to(const float* from, uint16_t* to, int64_t size, Store store_vec) {
  int64_t i = 0;
  for (; i + kLanes <= size; i += kLanes) store_vec(to + i, load(from + i));
  if (i == size) return;
  uint16_t rest[kLanes];
  store_vec(rest, load_part(from + i, static_cast<int>(size - i)));
  for (int64_t j = i; j < size; ++j) to[j] = rest[j - i];
}

void convert(const float* from, CacheType type, void* to, int64_t size) {
  switch (type) {
    case CacheType::f32:
      __builtin_memcpy(to, from, static_cast<size_t>(size) * sizeof(float));
      break;
    case CacheType::f16:
      convert_to(from, static_cast<uint16_t*>(to), size,
                 [](uint16_t* out, Vec x) { store_f16(out, x); });
      break;
    case CacheType::bf16:
      convert_to(from, static_cast<uint16_t*>(to), size,
                 [](uint16_t* out, Vec x) { store_bf16(out, x); });
      break;
  }
}

}  // namespace

extern const RowKernels kRows;
const RowKernels kRows{.add = add,
                       .scale = scale,
                       .silu_times = silu_times,
                       .gelu_tanh_times = gelu_tanh_times,
                       .clipped_silu_times = clipped_silu_times,
                       .rms_norm = rms_norm,
                       .add_rms_norm = add_rms_norm,
                       .angles = angles,
                       .turn_halves = turn_halves,
                       .turn_neighbours = turn_neighbours,
                       .convert = convert};

}  // namespace spate::cpu::SPATE_ISA
