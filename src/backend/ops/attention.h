// Attention over segments of cached keys and values. T tokens in the step, B rows (sequences) in
// it, H query heads, G key/value heads, D width of a key, E of a value, N segments of all rows
// together.
#pragma once

#include <algorithm>
#include <limits>
#include <span>

#include "backend/contract.h"

namespace spate {

// The tokens [begin, begin + count) of a sequence, which a row runs.
struct RowExtent {
  int64_t begin = 0, count = 0;

  // With a window of so many keys; 0: none.
  int64_t keys(int64_t window) const {
    return window > 0 ? std::min(begin + count, count + window - 1) : begin + count;
  }
  // Query-key pairs, each token with those it sees.
  int64_t pairs(int64_t window) const {
    const int64_t most = window > 0 ? window : std::numeric_limits<int64_t>::max();
    const int64_t growing = std::clamp<int64_t>(most - 1 - begin, 0, count);
    return growing * begin + growing * (growing + 1) / 2 +
           (growing < count ? (count - growing) * most : 0);
  }
};

// Keys that several rows read, for kernels that read them once for all of those. It says nothing
// that the segments do not say, so a kernel may pass it over.
//
// A part is some rows, beside each other, and positions [begin, end), multiples of kTile, that lie
// in the same slots in all of them, before any of their tokens of this step. Those rows, and all
// rows before them, run one token each. The parts that a row belongs to are numbered from 0 on, in
// the order of their positions, and leave no gap.
struct SharedKeys {
  static constexpr int64_t kTile = 128;
  Tensor parts;  // [P, 5] i32: first row, rows, begin, end, number; unused ones are last, 0 rows
  Tensor own;    // [B, 2] i32: where the keys behind a row's parts begin, and how many parts
  int most_parts = 0;       // of a row, at most; 0: nothing is shared
  int64_t saved_reads = 0;  // of keys, on the host, to count an op's work by
};

// The device table that every attention kernel reads; filled by the engine from each row's
// segments. Row b owns the tokens [row_begin[b], row_begin[b + 1]) of the step and reads the
// segments [segment_begin[b], segment_begin[b + 1]), oldest first, which together hold at least
// length[b] tokens; positions count from the first token of the first segment. What the row reads
// in front of its tokens was written in earlier steps, so a kernel may read it before the one ahead
// of it has ended.
struct KvView {
  Tensor keys;       // [slots, G, D], one layer; f32, f16, bf16 or e4m3
  Tensor values;     // [slots, G, E], of the same type; latent attention's are a view of its keys
  Tensor scales;     // [G, slots, 2] bf16, of keys and of values in e4m3; empty for other types
  Tensor slot;       // [T] i32, where each token of the step is written
  Tensor row_begin;  // [B + 1] i32
  Tensor length;     // [B] i32, keys of a row including its tokens of this step
  Tensor segment_begin;  // [B + 1] i32
  Tensor segments;       // [N, 2] i32: first slot, tokens
  SharedKeys shared;
  // [B], or empty: the same rows on the host, to count an op's work by; no kernel reads them.
  std::span<const RowExtent> extents;

  // Each head of a token has a scale of its own, by which its codes are multiplied: the least power
  // of two, from 2^-15 to 2^7, with which no code is larger than the largest of e4m3; elements
  // beyond 448 * 2^7 become that. So what the cache holds are numbers of f16 with four bits of
  // mantissa, and products with scales are exact.
  bool scaled() const { return keys.dtype == DType::e4m3; }
  void scales_contract() const {
    if (!scaled()) return;
    match("scales", scales, DType::bf16, {keys.shape[1], keys.rows(), 2});
    check(values.data != keys.data, "op contract: values in e4m3 lie in their keys");
  }
  // Bytes of a token's keys and values.
  int64_t bytes_per_token() const {
    const int64_t of_values = values.data == keys.data ? 0 : values.row_size();
    const int64_t of_scales = scaled() ? 2 * keys.shape[1] : 0;
    return (keys.row_size() + of_values) * static_cast<int64_t>(size_of(keys.dtype)) +
           of_scales * static_cast<int64_t>(size_of(DType::bf16));
  }
};

// Rotary position embedding (Su et al., 2021): which two elements of a head turn together.
enum class RopePairs : uint8_t {
  halves,      // i and i + D/2, Hugging Face
  neighbours,  // 2i and 2i + 1, GGUF of Llama
};

struct Rope {
  Tensor frequencies;   // [R / 2] f32, radians a position; R <= D elements of a head turn
  float magnitude = 1;  // multiplies sine and cosine
  RopePairs pairs = RopePairs::halves;
};

namespace op {

// Turns x in place by its position.
struct RopeApply {
  static constexpr std::string_view kName = "rope";
  Tensor x;          // [T, H, D], rows may be strided
  Tensor positions;  // [T] i32
  Rope rope;
  int64_t begin = 0;  // the first element of a head that turns
  void contract() const {
    Dim T{"T"}, H{"H"}, D{"D"};
    match("x", x, {T, H, D});
    match("positions", positions, DType::i32, {T});
    check(rope.frequencies.dtype == DType::f32 && begin + 2 * rope.frequencies.rows() <= D.value,
          "op contract: rope turns more elements than a head has");
  }
  int64_t bytes() const { return 2 * x.bytes(); }
  int64_t flops() const { return 3 * x.shape.elements(); }
};

// Writes the step's keys and values to their slots, converting to the cache's type; with their
// scales where it has them.
struct KvWrite {
  static constexpr std::string_view kName = "kv_write";
  Tensor key;    // [T, G, D], rows may be strided
  Tensor value;  // [T, G, E], rows may be strided; empty: the cache's values lie in its keys
  KvView kv;
  void contract() const {
    Dim T{"T"}, G{"G"}, D{"D"}, E{"E"}, S{"slots"};
    match("key", key, {T, G, D});
    match("keys", kv.keys, {S, G, D});
    match("slot", kv.slot, DType::i32, {T});
    kv.scales_contract();
    if (value.data == nullptr) return;
    match("value", value, key.dtype, {T, G, E});
    match("values", kv.values, kv.keys.dtype, {S, G, E});
  }
  int64_t bytes() const {
    const int64_t elements =
        key.shape.elements() + (value.data == nullptr ? 0 : value.shape.elements());
    return elements * static_cast<int64_t>(size_of(key.dtype) + size_of(kv.keys.dtype));
  }
  int64_t flops() const { return 0; }
};

// out[t, h] = softmax(scale * q[t, h] . keys) * values over the keys that token t may see: those at
// positions <= its own, and > its own - window when window > 0. Query head h reads key/value head
// h * G / H. Scores s become soft_cap * tanh(s / soft_cap) when soft_cap > 0; sinks[h] is one more
// score without a value. A token's result does not depend on the batch, on how its prompt was
// chunked or on where segments begin, bit for bit. Values may be narrower than keys, and may lie in
// them: latent attention has one key for all heads, whose first E elements are its value.
//
// With `tree` the tokens of a row (at most 64 of them) are nodes of a tree that goes on from the
// keys before the step, parents before children: of its row's tokens, t sees those whose bits are
// set in tree[t], which are its ancestors and itself. Its position is then its depth in the tree
// behind those keys. All keys and values of the step must be finite.
struct Attention {
  static constexpr std::string_view kName = "attention";
  Tensor q;    // [T, H, D], rows may be strided
  Tensor out;  // [T, H, E]
  KvView kv;
  float scale = 1;
  int window = 0;
  float soft_cap = 0;
  Tensor sinks;  // [H] f32, or empty
  Tensor tree;   // [T, 2] i32, bits 0 to 31 and 32 to 63, or empty: a token sees all before it
  void contract() const {
    Dim T{"T"}, H{"H"}, D{"D"}, E{"E"}, S{"slots"}, G{"G"}, B{"B"}, N{"N"};
    match("q", q, {T, H, D});
    match("out", out, q.dtype, {T, H, E});
    match("keys", kv.keys, {S, G, D});
    match("values", kv.values, kv.keys.dtype, {S, G, E});
    check(E.value <= D.value, "op contract: values are wider than keys");
    kv.scales_contract();
    match("length", kv.length, DType::i32, {B});
    match("row_begin", kv.row_begin, DType::i32, {B.value + 1});
    match("segment_begin", kv.segment_begin, DType::i32, {B.value + 1});
    match("segments", kv.segments, DType::i32, {N, 2});
    check(H.value % G.value == 0, "op contract: ", H.value, " query heads on ", G.value,
          " kv heads");
    if (sinks.data != nullptr) match("sinks", sinks, DType::f32, {H});
    if (tree.data != nullptr) match("tree", tree, DType::i32, {T, 2});
    if (kv.shared.most_parts > 0) {
      Dim P{"P"};
      match("shared.parts", kv.shared.parts, DType::i32, {P, 5});
      match("shared.own", kv.shared.own, DType::i32, {B, 2});
    }
  }
  // Without extents, q and out alone. The tokens of a tree count as if they saw all before them.
  int64_t bytes() const {
    int64_t keys_read = 0;
    for (const RowExtent& row : kv.extents) keys_read += row.keys(window);
    if (window == 0) keys_read -= kv.shared.saved_reads;
    return q.bytes() + out.bytes() + keys_read * kv.bytes_per_token();
  }
  int64_t flops() const {
    int64_t pairs = 0;
    for (const RowExtent& row : kv.extents) pairs += row.pairs(window);
    return 2 * pairs * (q.row_size() + out.row_size());
  }
};

// Fused: norm q and k by head (when their weights are there), turn them, write k and v to the
// cache. Meaning: backend/fused.cc.
struct QkvNormRopeWrite {
  static constexpr std::string_view kName = "qkv_norm_rope_write";
  Tensor q;               // [T, H, D], in place
  Tensor key, value;      // [T, G, D]; key in place
  Tensor q_norm, k_norm;  // [D] f32, or both empty
  float eps = 1e-6F;
  Tensor positions;  // [T] i32
  Rope rope;
  KvView kv;
  void contract() const {
    KvWrite{.key = key, .value = value, .kv = kv}.contract();
    RopeApply{.x = q, .positions = positions, .rope = rope}.contract();
  }
  int64_t bytes() const {
    return 2 * (q.shape.elements() + 2 * key.shape.elements()) *
           static_cast<int64_t>(size_of(q.dtype));
  }
  int64_t flops() const { return 7 * (q.shape.elements() + key.shape.elements()); }
};

}  // namespace op
}  // namespace spate
