// What the attention kernels read from the device tables: a row's tokens and keys, which slot holds
// a position, and which row a share of the work falls on.
#pragma once

#include <algorithm>

#include "backend/cuda/attention/problem.h"
#include "backend/cuda/types.cuh"

namespace spate::cuda {

// A row's part in the step. Its tokens are the last of its positions.
struct RowShape {
  int first_token, tokens;  // of the step
  int length;               // keys

  __device__ int position(int token) const { return length - tokens + token; }  // of its n-th token
};

__device__ inline RowShape row_shape(const AttentionProblem& problem, int row) {
  const int begin = problem.row_begin[row];
  return {begin, problem.row_begin[row + 1] - begin, problem.length[row]};
}

// The tokens of its row that a token of the step sees in the tree: bits.
__device__ inline uint64_t seen_in_tree(const AttentionProblem& problem, int token) {
  const auto* bits = reinterpret_cast<const uint32_t*>(problem.tree) + 2 * int64_t{token};
  return uint64_t{bits[1]} << 32 | bits[0];
}

// Whether the tiles of many queries take the row.
__device__ inline bool takes_row(const AttentionProblem& problem, TiledRows rows,
                                 const RowShape& shape) {
  return rows == TiledRows::all || (shape.tokens > 1 && shape.tokens * problem.group > kFewQueries);
}

// The most rows of the step that the tiles of many queries can take; no row is empty.
inline int64_t most_tiled_rows(const AttentionProblem& problem, TiledRows rows) {
  if (rows == TiledRows::all) return problem.rows;
  const int64_t few_tokens = std::max(1, kFewQueries / problem.group);  // of the other rows
  return std::min<int64_t>(problem.rows, (problem.tokens - problem.rows) / few_tokens);
}

// The first position that a token at `position` sees.
__device__ inline int first_seen(const AttentionProblem& problem, int position) {
  return problem.window > 0 ? max(0, position - problem.window + 1) : 0;
}

// The first position that a row's n-th token sees. In a tree its own position is its depth.
__device__ inline int first_seen_by(const AttentionProblem& problem, const RowShape& shape,
                                    int token) {
  if (problem.tree == nullptr) return first_seen(problem, shape.position(token));
  const int depth = __popcll(seen_in_tree(problem, shape.first_token + token));
  return first_seen(problem, shape.position(0) + depth - 1);
}

// A part of shared keys.
struct SharedPart {
  int first_row, rows, begin, end, number;
};

__device__ inline SharedPart shared_part(const AttentionProblem& problem, int part) {
  const int32_t* entry = problem.shared.parts + 5 * int64_t{part};
  return {entry[0], entry[1], entry[2], entry[3], entry[4]};
}

// Where a row's own keys begin.
__device__ inline int own_begin(const AttentionProblem& problem, int row) {
  return problem.shared.own == nullptr ? 0 : problem.shared.own[2 * int64_t{row}];
}

// Where the piece of a row's softmax lies, counted in queries.
__device__ inline int64_t shared_place(const AttentionProblem& problem, int number, int row,
                                       int head) {
  return (int64_t{number} * problem.rows + row) * (problem.kv_heads * problem.group) + head;
}

// Finds the slots of positions that are asked for in ascending order.
class SlotCursor {
 public:
  __device__ SlotCursor(const AttentionProblem& problem, int row)
      : next_(problem.segments + 2 * int64_t{problem.segment_begin[row]}) {}

  // `position` is below the row's length.
  __device__ int slot(int position) {
    while (position >= end_) {
      shift_ = next_[0] - end_;
      end_ += next_[1];
      next_ += 2;
    }
    return position + shift_;
  }
  // The position behind the last one in the segment of the latest slot.
  __device__ int end() const { return end_; }
  // Calls run(n, count, slot) for each run of neighbouring slots among those of `count` positions
  // from `first` on: of the n-th and those behind it.
  template <class Run>
  __device__ void for_runs(int first, int count, const Run& run) {
    for (int n = 0; n < count;) {
      const int begin = slot(first + n);
      const int of_run = min(count - n, end_ - first - n);
      run(n, of_run, begin);
      n += of_run;
    }
  }

 private:
  const int32_t* next_;  // the segment behind the current one
  int end_ = 0;          // position at which the current one ends
  int shift_ = 0;        // from a position in it to its slot
};

// Where a place falls when row after row takes some places: the row, or -1 where there is no such
// place, and the places before the row.
struct FoundRow {
  int place, row, before;
};

// Row n takes count(n) places; looks for place_of(all places). For a whole block of kThreads, each
// with some rows beside each other; every thread gets the answer.
template <int kThreads, class Count, class PlaceOf>
__device__ FoundRow find_row(int rows, const Count& count, const PlaceOf& place_of) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int warp_sums[kWarps];
  __shared__ FoundRow found;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int each = (rows + kThreads - 1) / kThreads;
  const int first = thread * each, end = min(first + each, rows);
  int mine = 0;
#pragma unroll 4
  for (int row = first; row < end; ++row) mine += count(row);
  const int through = sum_through(mine);
  if (lane == 31) warp_sums[warp] = through;
  __syncthreads();
  int before = through - mine, total = 0;
  for (int other = 0; other < kWarps; ++other) {
    if (other < warp) before += warp_sums[other];
    total += warp_sums[other];
  }
  const int place = place_of(total);
  if (thread == 0) found = {place, -1, 0};
  __syncthreads();
  if (before <= place && place < before + mine) {
    int row = first;
    for (int places = count(row); place >= before + places; places = count(++row)) before += places;
    found = {place, row, before};
  }
  __syncthreads();
  return found;
}

}  // namespace spate::cuda
