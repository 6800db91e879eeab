// What a tile does once for all its queries: a block's keys or values become f32. With 16 lanes the
// keys are turned too, so that lanes are keys: a lane of attention_block.h's scores is then a
// vector of 16 keys, and adding the lanes up is plain addition. The order is the same, and so are
// the bits. (With fewer lanes there is less to add up than turning costs.)
#pragma once

#include "backend/cpu/kernels/attention_block.h"

namespace spate::cpu::SPATE_ISA {

// A block in f32. Rows lie one cache line further apart than they are long, so that a column of
// them does not crowd into a few sets of the cache.
struct Decoded {
  Decoded(float* memory, int64_t vectors) : data(memory), stride(vectors * kLanes + 16) {
    for (int k = 0; k < kKeyBlock; ++k) rows[k] = data + k * stride;
  }
  static int64_t floats(int64_t vectors) { return kKeyBlock * (vectors * kLanes + 16); }

  float* data;
  int64_t stride;
  const float* rows[kKeyBlock];
};

// Up to kLanes elements of the cache, filled up with zeros when fewer are left.
template <class Cache>
inline Vec load_cached(const typename Cache::Stored* from, int left) {
  if (left >= kLanes) return Cache::load_vec(from);
  typename Cache::Stored rest[kLanes] = {};
  for (int i = 0; i < left; ++i) rest[i] = from[i];
  return Cache::load_vec(rest);
}

template <class Cache>
inline void decode_rows(const typename Cache::Stored* const* from, int width, KeyRange keys,
                        const Decoded& decoded) {
  for (int k = keys.begin; k < keys.end; ++k) {
    for (int i = 0; i < width; i += kLanes) {
      store(decoded.data + k * decoded.stride + i, load_cached<Cache>(from[k] + i, width - i));
    }
  }
}

#if defined(__AVX512F__)

// to[i * 16 + k] becomes lane i of row k.
inline void store_turned(const Vec (&rows)[16], float* to) {
  __m512 a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 2) {
    a[i] = _mm512_unpacklo_ps(rows[i].v, rows[i + 1].v);
    a[i + 1] = _mm512_unpackhi_ps(rows[i].v, rows[i + 1].v);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 16; i += 4) {
    b[i] = _mm512_shuffle_ps(a[i], a[i + 2], 0x44);
    b[i + 1] = _mm512_shuffle_ps(a[i], a[i + 2], 0xEE);
    b[i + 2] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0x44);
    b[i + 3] = _mm512_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
  }
#pragma GCC unroll 16
  for (int i = 0; i < 4; ++i) {  // columns i, i + 4, i + 8, i + 12
    const __m512 low = _mm512_shuffle_f32x4(b[i], b[i + 4], 0x88);
    const __m512 low2 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0x88);
    const __m512 high = _mm512_shuffle_f32x4(b[i], b[i + 4], 0xDD);
    const __m512 high2 = _mm512_shuffle_f32x4(b[i + 8], b[i + 12], 0xDD);
    _mm512_storeu_ps(to + i * 16, _mm512_shuffle_f32x4(low, low2, 0x88));
    _mm512_storeu_ps(to + (i + 4) * 16, _mm512_shuffle_f32x4(high, high2, 0x88));
    _mm512_storeu_ps(to + (i + 8) * 16, _mm512_shuffle_f32x4(low, low2, 0xDD));
    _mm512_storeu_ps(to + (i + 12) * 16, _mm512_shuffle_f32x4(high, high2, 0xDD));
  }
}

// kRows queries' sums of one lane, for 16 keys.
template <int kRows>
struct LaneSums {
  Vec v[kRows];
};
template <int kRows>
inline LaneSums<kRows> operator+(const LaneSums<kRows>& a, const LaneSums<kRows>& b) {
  LaneSums<kRows> out;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) out.v[r] = a.v[r] + b.v[r];
  return out;
}

// Adds up 16 lanes in the order of store_sums; lane(i) answers the sums of one.
template <class Lane>
inline auto add_lanes(const Lane& lane) {
  const auto pair = [&](int i) __attribute__((always_inline)) { return lane(i) + lane(i + 8); };
  const auto four = [&](int i) __attribute__((always_inline)) {
    const auto even = pair(i) + pair(i + 2);
    return even + (pair(i + 1) + pair(i + 3));
  };
  const auto low = four(0);
  return low + four(4);
}

// kRows queries with 16 keys, turned: [vectors * 16 elements][16 keys].
template <int kRows>
inline void score_turned(const float* keys, const float* q, int vectors, float* scores) {
  const int64_t stride = int64_t{vectors} * kLanes;
  const auto lane_sums = [&](int lane) __attribute__((always_inline)) {
    LaneSums<kRows> out;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) out.v[r] = broadcast(0);
    for (int64_t i = lane; i < stride; i += kLanes) {
      const Vec key = load(keys + i * kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        out.v[r] = fma(broadcast(q[r * stride + i]), key, out.v[r]);
      }
    }
    return out;
  };
  const LaneSums<kRows> sums = add_lanes(lane_sums);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) store(scores + r * kKeyBlock, sums.v[r]);
}

// kRows queries from `row` on with all keys that one of them sees, and those in their groups.
template <int kRows>
inline void score_turned_range(const float* turned, const Queries& queries, int row) {
  const int64_t stride = int64_t{queries.vectors} * kLanes;
  const KeyRange seen = seen_by_any(queries, row, kRows);
  for (int key = seen.begin / kLanes * kLanes; key < seen.end; key += kLanes) {
    score_turned<kRows>(turned + key * stride, queries.q + row * stride, queries.vectors,
                        queries.scores + row * kKeyBlock + key);
  }
}

// Scores of a tile's queries with the keys of a block; up to 15 more pointers must be good on
// either side of `keys`, to a multiple of 16.
template <class Cache>
inline void score_tile(const typename Cache::Stored* const* rows, int width, KeyRange keys,
                       const Decoded& decoded, const Queries& queries) {
  constexpr int kRows = 4;
  for (int k = keys.begin / kLanes * kLanes; k < keys.end; k += kLanes) {
    float* group = decoded.data + int64_t{k} * queries.vectors * kLanes;
    for (int i = 0; i < width; i += kLanes) {
      Vec square[kLanes];
      for (int j = 0; j < kLanes; ++j) square[j] = load_cached<Cache>(rows[k + j] + i, width - i);
      store_turned(square, group + int64_t{i} * kLanes);
    }
  }
  int row = 0;
  for (; row + kRows <= queries.count; row += kRows) {
    score_turned_range<kRows>(decoded.data, queries, row);
  }
  for (; row < queries.count; ++row) score_turned_range<1>(decoded.data, queries, row);
}

#else

template <class Cache>
inline void score_tile(const typename Cache::Stored* const* rows, int width, KeyRange keys,
                       const Decoded& decoded, const Queries& queries) {
  decode_rows<Cache>(rows, width, keys, decoded);
  score_queries<F32>(decoded.rows, queries);
}

#endif

}  // namespace spate::cpu::SPATE_ISA
