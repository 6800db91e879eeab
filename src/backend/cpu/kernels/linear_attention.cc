// Linear attention: see linear_attention.h. The state's tile lies in scratch, [D, kStateColumns],
// in the type of states: so it is rounded after each token, and no cut of a prompt shows. Columns
// that are missing are zeros there.
#include "backend/cpu/kernels/linear_attention.h"

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {
namespace {

constexpr int kVecs = kStateColumns / kLanes;

// A row of a tile, and the same where only `columns` of it are in memory.
struct TileRow {
  Vec at[kVecs];
};

Vec load_vec(const float* from) { return load(from); }
Vec load_vec(const uint16_t* from) { return load_bf16(from); }
void store_vec(float* to, Vec x) { store(to, x); }
void store_vec(uint16_t* to, Vec x) { store_bf16(to, x); }

template <class T>
TileRow load_row(const T* from) {
  TileRow row;
  for (int i = 0; i < kVecs; ++i) row.at[i] = load_vec(from + i * kLanes);
  return row;
}

template <class T>
void store_row(T* to, const TileRow& row) {
  for (int i = 0; i < kVecs; ++i) store_vec(to + i * kLanes, row.at[i]);
}

template <class T>
TileRow load_columns(const T* from, int columns) {
  if (columns == kStateColumns) return load_row(from);
  T all[kStateColumns] = {};
  for (int i = 0; i < columns; ++i) all[i] = from[i];
  return load_row(all);
}

template <class T>
void store_columns(T* to, const TileRow& row, int columns) {
  if (columns == kStateColumns) return store_row(to, row);
  T all[kStateColumns];
  store_row(all, row);
  for (int i = 0; i < columns; ++i) to[i] = all[i];
}

template <class State>
void begin_tile(const LinearAttentionHead<State>& head, int64_t column, int columns, State* tile) {
  for (int64_t d = 0; d < head.width; ++d) {
    TileRow row;
    for (Vec& vec : row.at) vec = broadcast(0);
    if (head.from != nullptr) row = load_columns(head.from + d * head.width + column, columns);
    store_row(tile + d * kStateColumns, row);
  }
}

template <class State>
void keep_tile(const State* tile, int64_t width, int64_t column, int columns, State* state) {
  for (int64_t d = 0; d < width; ++d) {
    store_columns(state + d * width + column, load_row(tile + d * kStateColumns), columns);
  }
}

// One token: the tile's new state, and q times it before it is rounded.
template <class State>
TileRow step(const float* q, const float* k, const TileRow& v, Vec decay, int64_t width,
             State* tile) {
  TileRow sum;
  for (Vec& vec : sum.at) vec = broadcast(0);
  for (int64_t d = 0; d < width; ++d) {
    const Vec key = broadcast(k[d]), query = broadcast(q[d]);
    State* row = tile + d * kStateColumns;
    for (int i = 0; i < kVecs; ++i) {
      const Vec state = fma(key, v.at[i], decay * load_vec(row + i * kLanes));
      store_vec(row + i * kLanes, state);
      sum.at[i] = fma(query, state, sum.at[i]);
    }
  }
  return sum;
}

template <class State>
void run(const LinearAttentionHead<State>& head, int64_t column, State* tile) {
  const int64_t left = head.width - column;
  const int columns = left < kStateColumns ? static_cast<int>(left) : kStateColumns;
  const Vec decay = broadcast(head.decay), scale = broadcast(head.scale);
  begin_tile(head, column, columns, tile);
  for (int64_t t = 0; t < head.tokens; ++t) {
    const TileRow v = load_columns(head.v + t * head.v_stride + column, columns);
    TileRow out =
        step(head.q + t * head.q_stride, head.k + t * head.k_stride, v, decay, head.width, tile);
    for (Vec& vec : out.at) vec = vec * scale;
    store_columns(head.out + t * head.out_stride + column, out, columns);
    if (head.each != nullptr && head.each[t] >= 0) {
      keep_tile(tile, head.width, column, columns, head.slots + head.each[t] * head.slot_stride);
    }
  }
  if (head.to != nullptr) keep_tile(tile, head.width, column, columns, head.to);
}

}  // namespace

extern const LinearAttentionKernels kLinearAttention;
const LinearAttentionKernels kLinearAttention{.of_f32 = run<float>, .of_bf16 = run<uint16_t>};

}  // namespace spate::cpu::SPATE_ISA
