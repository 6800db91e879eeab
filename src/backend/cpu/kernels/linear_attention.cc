// Linear attention: see linear_attention.h. The state's tile lies in scratch, [D, kStateColumns];
// columns that are missing are zeros there.
#include "backend/cpu/kernels/linear_attention.h"

#include "backend/cpu/kernels/vec.h"

namespace spate::cpu::SPATE_ISA {
namespace {

constexpr int kVecs = kStateColumns / kLanes;

// A row of a tile, and the same where only `columns` of it are in memory.
struct TileRow {
  Vec at[kVecs];
};

TileRow load_row(const float* from) {
  TileRow row;
  for (int i = 0; i < kVecs; ++i) row.at[i] = load(from + i * kLanes);
  return row;
}

void store_row(float* to, const TileRow& row) {
  for (int i = 0; i < kVecs; ++i) store(to + i * kLanes, row.at[i]);
}

TileRow load_columns(const float* from, int columns) {
  if (columns == kStateColumns) return load_row(from);
  float all[kStateColumns] = {};
  for (int i = 0; i < columns; ++i) all[i] = from[i];
  return load_row(all);
}

void store_columns(float* to, const TileRow& row, int columns) {
  if (columns == kStateColumns) return store_row(to, row);
  float all[kStateColumns];
  store_row(all, row);
  for (int i = 0; i < columns; ++i) to[i] = all[i];
}

void begin_tile(const LinearAttentionHead& head, int64_t column, int columns, float* tile) {
  for (int64_t d = 0; d < head.width; ++d) {
    TileRow row;
    for (Vec& vec : row.at) vec = broadcast(0);
    if (head.from != nullptr) row = load_columns(head.from + d * head.width + column, columns);
    store_row(tile + d * kStateColumns, row);
  }
}

void keep_tile(const float* tile, int64_t width, int64_t column, int columns, float* state) {
  for (int64_t d = 0; d < width; ++d) {
    store_columns(state + d * width + column, load_row(tile + d * kStateColumns), columns);
  }
}

// One token: the tile's new state, and q times it.
TileRow step(const float* q, const float* k, const TileRow& v, Vec decay, int64_t width,
             float* tile) {
  TileRow sum;
  for (Vec& vec : sum.at) vec = broadcast(0);
  for (int64_t d = 0; d < width; ++d) {
    const Vec key = broadcast(k[d]), query = broadcast(q[d]);
    float* row = tile + d * kStateColumns;
    for (int i = 0; i < kVecs; ++i) {
      const Vec state = fma(key, v.at[i], decay * load(row + i * kLanes));
      store(row + i * kLanes, state);
      sum.at[i] = fma(query, state, sum.at[i]);
    }
  }
  return sum;
}

void run(const LinearAttentionHead& head, int64_t column, float* tile) {
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
const LinearAttentionKernels kLinearAttention{.run = run};

}  // namespace spate::cpu::SPATE_ISA
