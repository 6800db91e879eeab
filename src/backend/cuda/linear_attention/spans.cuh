// Rows of linear attention cut into spans of chunks, and where the `chunked` kernels keep a span's
// part of a state.
#pragma once

#include "backend/cuda/attention/rows.cuh"
#include "backend/cuda/linear_attention/chunk.cuh"

namespace spate::cuda {

// How rows are cut. Spans count from a row's first token; rows with few tokens have none.
struct Spans {
  int tokens;  // of a span, whole chunks
  // [spans, heads, D, D] f32: what a span adds, and then the state before it; of each block of
  // columns the tiles of products one after the other, as its threads have them.
  float* states;
  int32_t* first;         // [B]: the first of a row's spans, where it has any
  int first_head, heads;  // which heads have their states there

  __host__ __device__ int of_row(int row_tokens) const {
    return row_tokens < kLeastChunkTokens ? 0 : (row_tokens + tokens - 1) / tokens;
  }
};

// A span, found by its number among those of all rows.
struct Span {
  int row, number;          // row -1: there is none; its number in the row
  int first_token, tokens;  // of the step
  bool last;                // of the row

  __device__ int chunks() const { return (tokens + kChunk - 1) / kChunk; }
  // From a chunk's first token on.
  __device__ int tokens_from(int chunk) const { return tokens - chunk * kChunk; }

  // For a whole block of kThreads.
  template <int kThreads>
  __device__ static Span find(const LinearAttentionProblem& problem, const Spans& spans) {
    const auto tokens_of = [&](int row) {
      return problem.row_begin[row + 1] - problem.row_begin[row];
    };
    const FoundRow found = find_row<kThreads>(
        problem.rows, [&](int row) { return spans.of_row(tokens_of(row)); },
        [](int) { return static_cast<int>(blockIdx.x); });
    if (found.row < 0) return {.row = -1};
    const int number = found.place - found.before, first = number * spans.tokens;
    const int left = tokens_of(found.row) - first;
    return {.row = found.row,
            .number = number,
            .first_token = problem.row_begin[found.row] + first,
            .tokens = min(spans.tokens, left),
            .last = left <= spans.tokens};
  }
};

// Grids have heads as their second dimension, and a head's blocks of columns or other parts as the
// third.
__device__ inline int head_of(const Spans& spans) {
  return spans.first_head + static_cast<int>(blockIdx.y);
}
template <int D>
__device__ float* state_of(const Spans& spans, int span) {
  return spans.states + (int64_t{span} * spans.heads + blockIdx.y) * (D * D);
}

// Four numbers of a state that a thread of products has: those of its `tile`-th of all tiles of
// the head.
constexpr int kTileNumbers = 4;
template <int D>
struct TilePlace {
  int key, column;  // of the first; then the next key, and both 8 columns further on

  __device__ TilePlace(int tile, int thread)
      : key(tile % (D / 8) * 8 + thread % 4 * 2),
        column(tile / (D / 8) * kChunkColumns + thread / 32 * 16 + thread % 32 / 4) {}

  template <class State>
  __device__ State& in(const LinearAttentionProblem& problem, int32_t slot, int head,
                       int number) const {
    return static_cast<State*>(
        problem.state)[slot * problem.state_stride + (int64_t{head} * D + key + number % 2) * D +
                       column + number / 2 * 8];
  }
};

// The tiles of a span and a block of columns.
template <int D>
__device__ int first_tile() {
  return static_cast<int>(blockIdx.z) * (D / 8);
}
template <int D>
__device__ float* tile_of(const Spans& spans, int span, int tile) {
  return state_of<D>(spans, span) +
         kTileNumbers * ((first_tile<D>() + tile) * kChunkThreads + threadIdx.x);
}

// Starts to copy a chunk of the block's head; of values its own columns.
template <int D>
__device__ void copy_keys(unsigned char* tile, const void* keys, int64_t stride, const Span& span,
                          int chunk, int head) {
  const int64_t token = span.first_token + chunk * kChunk;
  copy_tile<D>(tile, static_cast<const bf16*>(keys) + token * stride + head * D, stride,
               span.tokens_from(chunk));
}
template <int D>
__device__ void copy_values(unsigned char* tile, const LinearAttentionProblem& problem,
                            const Span& span, int chunk, int head) {
  const int64_t token = span.first_token + chunk * kChunk;
  copy_tile<kChunkColumns>(tile,
                           static_cast<const bf16*>(problem.v) + token * problem.v_stride +
                               head * D + blockIdx.z * kChunkColumns,
                           problem.v_stride, span.tokens_from(chunk));
}

}  // namespace spate::cuda
