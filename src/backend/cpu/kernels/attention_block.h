// Attention of a few queries over one block of keys of one key/value head, in registers.
//
// Scores: element i of a head belongs to lane i modulo the lanes; each lane's sum runs over its
// elements in order, then the lanes are added in one order (attention_tile.h does the same
// otherwise). Values: lanes run over elements, keys are added one after the other. Neither order
// depends on how many queries or keys a loop takes at once, so all shapes of loop give the same
// bits.
#pragma once

#include "backend/cpu/kernels/attention.h"
#include "backend/cpu/kernels/vec.h"
#include "backend/cpu/kernels/vec_sums.h"

namespace spate::cpu::SPATE_ISA {

constexpr float kNegativeInfinity = -__builtin_inff();

struct F32 {
  using Stored = float;
  static Vec load_vec(const float* from) { return load(from); }
};
struct F16 {
  using Stored = uint16_t;
  static Vec load_vec(const uint16_t* from) { return load_f16(from); }
};
struct Bf16 {
  using Stored = uint16_t;
  static Vec load_vec(const uint16_t* from) { return load_bf16(from); }
};

// The queries of one pass and what the pass leaves for each. They come in groups of equal size, one
// for each key/value head that the pass reads; the i-th ones of all groups see the same keys.
struct Queries {
  int groups, count;       // count: of one group
  int vectors;             // of a query
  int value_vectors;       // of each row of `values`
  int width, value_width;  // from one group's keys, and values, to the next one's
  const float* q;          // [groups, count, vectors], already multiplied with the scale
  const int *begin, *end;  // [count], keys of the block that a query sees; begin >= end: none
  // [count] bits of the keys from tree_begin of the block on that a query sees; null: all of them.
  const uint64_t* paths;
  int tree_begin;
  float soft_cap;
  float* scores;   // [groups, count, kKeyBlock], then the weights
  float* values;   // [groups, count, value_vectors], weighted sum
  float* largest;  // [groups, count], score
  float* sum;      // [groups, count], of the weights
};

struct KeyRange {
  int begin, end;
  bool empty() const { return begin >= end; }
};

// ---- scores ---------------------------------------------------------------------------

// scores[r][k] for kRows queries and kKeys keys.
template <class Cache, int kRows, int kKeys>
inline void score_keys(const typename Cache::Stored* const* keys, int64_t offset, const float* q,
                       int vectors, float* scores) {
  const int64_t stride = int64_t{vectors} * kLanes;
  Vec sums[kRows][kKeys];
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kKeys; ++k) sums[r][k] = broadcast(0);
  }
  for (int64_t i = 0; i < stride; i += kLanes) {
    Vec query[kRows];
    for (int r = 0; r < kRows; ++r) query[r] = load(q + r * stride + i);
    for (int k = 0; k < kKeys; ++k) {
      const Vec key = Cache::load_vec(keys[k] + offset + i);
      for (int r = 0; r < kRows; ++r) sums[r][k] = fma(query[r], key, sums[r][k]);
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int k = 0; k < kKeys; k += 4) {
      store_sums(scores + r * kKeyBlock + k, sums[r][k], sums[r][k + 1], sums[r][k + 2],
                 sums[r][k + 3]);
    }
  }
}

// The keys from `keys.begin` on, a few at a time; may compute up to seven more at either end, whose
// pointers must be good. `row` is the first of kRows queries of all groups.
template <class Cache, int kRows>
inline void score_range(const typename Cache::Stored* const* rows, int64_t offset,
                        const Queries& queries, int row, KeyRange keys) {
  constexpr int kKeys = kRows == 1 ? 8 : 4;
  const float* q = queries.q + int64_t{row} * queries.vectors * kLanes;
  for (int k = keys.begin / kKeys * kKeys; k < keys.end; k += kKeys) {
    score_keys<Cache, kRows, kKeys>(rows + k, offset, q, queries.vectors,
                                    queries.scores + row * kKeyBlock + k);
  }
}

// All keys that one of the queries [first, first + count) of a group sees.
inline KeyRange seen_by_any(const Queries& queries, int first, int count) {
  KeyRange out{kKeyBlock, 0};
  for (int r = first; r < first + count; ++r) {
    if (queries.begin[r] >= queries.end[r]) continue;
    if (queries.begin[r] < out.begin) out.begin = queries.begin[r];
    if (queries.end[r] > out.end) out.end = queries.end[r];
  }
  return out;
}

// The keys that all of them see; empty when there are none.
inline KeyRange seen_by_all(const Queries& queries, int first, int count) {
  KeyRange out{0, kKeyBlock};
  for (int r = first; r < first + count; ++r) {
    if (queries.begin[r] > out.begin) out.begin = queries.begin[r];
    if (queries.end[r] < out.end) out.end = queries.end[r];
  }
  return out;
}

inline KeyRange both(KeyRange a, KeyRange b) {
  return {a.begin > b.begin ? a.begin : b.begin, a.end < b.end ? a.end : b.end};
}

// Keys that all queries pass over before the next ones: so few that they stay in the first cache.
constexpr int kNear = 16;

// Reads a byte of each cache line of the keys' rows, `elements` long, in order of address. The work
// on a block jumps between rows, which the processor does not foresee; this pass it does, and it
// also outruns prefetch instructions, of which only few are under way at a time.
template <class Stored>
inline void bring_in(const Stored* const* rows, int elements, KeyRange keys) {
  const int64_t bytes = elements * static_cast<int64_t>(sizeof(Stored));
  for (int k = keys.begin; k < keys.end; ++k) {
    const auto* row = reinterpret_cast<const volatile char*>(rows[k]);
    for (int64_t byte = 0; byte < bytes; byte += 64) (void)row[byte];
  }
}

template <class Cache>
inline void score_queries(const typename Cache::Stored* const* rows, const Queries& queries) {
  const KeyRange all = seen_by_any(queries, 0, queries.count);
  for (int near = all.begin / kNear * kNear; near < all.end; near += kNear) {
    for (int group = 0; group < queries.groups; ++group) {
      const int64_t offset = int64_t{group} * queries.width;
      for (int first = 0; first < queries.count; first += 3) {
        const int count = queries.count - first < 3 ? queries.count - first : 3;
        const KeyRange keys = both(seen_by_any(queries, first, count), {near, near + kNear});
        if (keys.empty()) continue;
        const int row = group * queries.count + first;
        if (count == 3) score_range<Cache, 3>(rows, offset, queries, row, keys);
        if (count == 2) score_range<Cache, 2>(rows, offset, queries, row, keys);
        if (count == 1) score_range<Cache, 1>(rows, offset, queries, row, keys);
      }
    }
  }
}

// ---- softmax --------------------------------------------------------------------------

// Odd polynomial near 0, where 1 - 2 / (e^2x + 1) would lose digits (Cephes' tanhf).
inline Vec tanh(Vec x) {
  const Vec zero = broadcast(0), one = broadcast(1);
  const Vec size = max(x, zero - x);
  const Vec large = one - broadcast(2) / (exp(size + size) + one);
  const Vec signed_large = where_less(x, zero, zero - large, large);
  const Vec square = x * x;
  Vec p = broadcast(-5.70498872745e-3F);
  p = fma(p, square, broadcast(2.06390887954e-2F));
  p = fma(p, square, broadcast(-5.37397155531e-2F));
  p = fma(p, square, broadcast(1.33314422036e-1F));
  p = fma(p, square, broadcast(-3.33332819422e-1F));
  return where_less(size, broadcast(0.625F), fma(p * square, x, x), signed_large);
}

// Hides what a query sees neither before the step nor on its path of the tree.
inline void hide_other_paths(const Queries& queries, int row) {
  const int begin = queries.tree_begin, end = queries.end[row % queries.count];
  const uint64_t path = queries.paths[row % queries.count];
  for (int k = begin > 0 ? begin : 0; k < end; ++k) {
    if ((path >> (k - begin) & 1) == 0) queries.scores[row * kKeyBlock + k] = kNegativeInfinity;
  }
}

// Scores of one query -> weights relative to the largest. Lanes count from the block's first key,
// so that the order of the sum is a matter of position. A NaN among the scores makes the sum one.
inline void weigh(const Queries& queries, int row) {
  float* scores = queries.scores + row * kKeyBlock;
  const int begin = queries.begin[row % queries.count], end = queries.end[row % queries.count];
  const int from = begin / kLanes * kLanes, to = (end + kLanes - 1) / kLanes * kLanes;
  if (queries.soft_cap > 0) {
    const Vec cap = broadcast(queries.soft_cap);
    for (int k = from; k < to; k += kLanes) store(scores + k, cap * tanh(load(scores + k) / cap));
  }
  if (queries.paths != nullptr) hide_other_paths(queries, row);
  for (int k = from; k < begin; ++k) scores[k] = kNegativeInfinity;
  for (int k = end; k < to; ++k) scores[k] = kNegativeInfinity;
  Vec top = broadcast(kNegativeInfinity);
  for (int k = from; k < to; k += kLanes) top = max(load(scores + k), top);
  const float largest = max_lane(top);
  const Vec base = broadcast(largest == kNegativeInfinity ? 0 : largest);
  Vec total = broadcast(0);
  for (int k = from; k < to; k += kLanes) {
    const Vec weight = exp(load(scores + k) - base);
    store(scores + k, weight);
    total = total + weight;
  }
  queries.largest[row] = largest;
  queries.sum[row] = sum(total);
}

inline void weigh_scores(const Queries& queries) {
  for (int row = 0; row < queries.groups * queries.count; ++row) {
    if (queries.begin[row % queries.count] < queries.end[row % queries.count]) weigh(queries, row);
  }
}

// ---- values ---------------------------------------------------------------------------

// values[r][v] += weights[r][k] * the key's value, for kVectors vectors from `vector` on.
template <class Cache, int kRows, int kVectors>
inline void add_values(const typename Cache::Stored* const* rows, int64_t offset,
                       const Queries& queries, int row, int vector, KeyRange keys) {
  const int64_t stride = int64_t{queries.value_vectors} * kLanes;
  const float* weights = queries.scores + row * kKeyBlock;
  float* values = queries.values + row * stride + int64_t{vector} * kLanes;
  Vec sums[kRows][kVectors];
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) sums[r][v] = load(values + r * stride + v * kLanes);
  }
  for (int k = keys.begin; k < keys.end; ++k) {
    const typename Cache::Stored* from = rows[k] + offset + int64_t{vector} * kLanes;
    Vec weight[kRows];
    if constexpr (kRows <= kVectors) {
      for (int r = 0; r < kRows; ++r) weight[r] = broadcast(weights[r * kKeyBlock + k]);
      for (int v = 0; v < kVectors; ++v) {
        const Vec value = Cache::load_vec(from + v * kLanes);
        for (int r = 0; r < kRows; ++r) sums[r][v] = fma(weight[r], value, sums[r][v]);
      }
    } else {
      Vec value[kVectors];
      for (int v = 0; v < kVectors; ++v) value[v] = Cache::load_vec(from + v * kLanes);
      for (int r = 0; r < kRows; ++r) {
        weight[r] = broadcast(weights[r * kKeyBlock + k]);
        for (int v = 0; v < kVectors; ++v) sums[r][v] = fma(weight[r], value[v], sums[r][v]);
      }
    }
  }
  for (int r = 0; r < kRows; ++r) {
    for (int v = 0; v < kVectors; ++v) store(values + r * stride + v * kLanes, sums[r][v]);
  }
}

// All vectors of a head: as many as fit at once, then fewer.
template <class Cache, int kRows, int kVectors>
inline void add_all_values(const typename Cache::Stored* const* rows, int64_t offset,
                           const Queries& queries, int row, KeyRange keys, int vector = 0) {
  for (; vector + kVectors <= queries.value_vectors; vector += kVectors) {
    add_values<Cache, kRows, kVectors>(rows, offset, queries, row, vector, keys);
  }
  if constexpr (kVectors > 1) {
    if (vector < queries.value_vectors) {
      add_all_values<Cache, kRows, kVectors / 2>(rows, offset, queries, row, keys, vector);
    }
  }
}

// kRows queries of a group: the keys that all see together, those before and after it query by
// query, so that a value nobody may see yet touches nothing.
template <class Cache, int kRows, int kVectors>
inline void add_seen_values(const typename Cache::Stored* const* rows, const Queries& queries,
                            int group, int first, KeyRange near) {
  const int64_t offset = int64_t{group} * queries.value_width;
  const int row = group * queries.count;
  KeyRange common = seen_by_all(queries, first, kRows);
  if (common.empty()) common = {kKeyBlock, kKeyBlock};  // each query for itself
  const auto alone = [&](int r, KeyRange keys) {
    keys = both(both(keys, near), {queries.begin[r], queries.end[r]});
    if (!keys.empty()) add_all_values<Cache, 1, 8>(rows, offset, queries, row + r, keys);
  };
  for (int r = first; r < first + kRows; ++r) alone(r, {0, common.begin});
  const KeyRange together = both(common, near);
  if (!together.empty()) {
    add_all_values<Cache, kRows, kVectors>(rows, offset, queries, row + first, together);
  }
  for (int r = first; r < first + kRows; ++r) alone(r, {common.end, kKeyBlock});
}

// `step` keys at a time.
template <class Cache>
inline void weigh_values(const typename Cache::Stored* const* rows, const Queries& queries,
                         int step) {
  const int64_t elements = int64_t{queries.groups} * queries.count * queries.value_vectors * kLanes;
  for (int64_t i = 0; i < elements; i += kLanes) store(queries.values + i, broadcast(0));
  const KeyRange all = seen_by_any(queries, 0, queries.count);
  for (int begin = all.begin / step * step; begin < all.end; begin += step) {
    const KeyRange near{begin, begin + step};
    for (int group = 0; group < queries.groups; ++group) {
      for (int first = 0; first < queries.count;) {
        const int left = queries.count - first;
        if (left >= 6) {
          add_seen_values<Cache, 6, 2>(rows, queries, group, first, near);
          first += 6;
        } else if (left >= 3) {
          add_seen_values<Cache, 3, 4>(rows, queries, group, first, near);
          first += 3;
        } else if (left == 2) {
          add_seen_values<Cache, 2, 4>(rows, queries, group, first, near);
          first += 2;
        } else {
          add_seen_values<Cache, 1, 8>(rows, queries, group, first, near);
          first += 1;
        }
      }
    }
  }
}

// ---- merging --------------------------------------------------------------------------

// What the blocks so far gave one query; before the first: largest -infinity, sum 0, values 0.
struct Total {
  float* values;  // [vectors]
  float* largest;
  float* sum;
};

inline void merge(const Total& total, const float* values, float largest, float sum, int vectors) {
  const float top = largest > *total.largest ? largest : *total.largest;
  const float base = top == kNegativeInfinity ? 0 : top;
  const float below[2] = {*total.largest - base, largest - base};
  float factors[kLanes];
  store(factors, exp(load_part(below, 2)));
  const Vec old_factor = broadcast(factors[0]), new_factor = broadcast(factors[1]);
  for (int64_t i = 0; i < int64_t{vectors} * kLanes; i += kLanes) {
    store(total.values + i, fma(load(values + i), new_factor, load(total.values + i) * old_factor));
  }
  *total.sum = *total.sum * factors[0] + sum * factors[1];
  *total.largest = top;
}

}  // namespace spate::cpu::SPATE_ISA
