// What the attention kernels read from the device tables: a row's tokens and keys, which slot holds
// a position, and which row a share of the work falls on.
#pragma once

#include <algorithm>

#include "backend/cuda/attention/problem.h"

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

// Row n takes count(n) places; looks for place_of(all places). For a whole block of kThreads; every
// thread gets the answer.
template <int kThreads, class Count, class PlaceOf>
__device__ FoundRow find_row(int rows, const Count& count, const PlaceOf& place_of) {
  constexpr int kWarps = kThreads / 32;
  __shared__ int warp_sums[kWarps];
  __shared__ int found_row, found_before;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  if (thread == 0) {
    found_row = -1;
    found_before = 0;
  }
  int mine = 0, through = 0;  // of the thread's latest row, and of all rows up to it
  int total = 0;
  const auto add_rows = [&](int base) {
    const int row = base + thread;
    mine = row < rows ? count(row) : 0;
    int sum = mine;
    for (int distance = 1; distance < 32; distance *= 2) {
      const int other = __shfl_up_sync(~0U, sum, distance);
      if (lane >= distance) sum += other;
    }
    __syncthreads();  // the sums of the rows before have been read
    if (lane == 31) warp_sums[warp] = sum;
    __syncthreads();
    through = total + sum;
    for (int other = 0; other < kWarps; ++other) {
      if (other < warp) through += warp_sums[other];
      total += warp_sums[other];
    }
  };
  for (int base = 0; base < rows; base += kThreads) add_rows(base);
  const int place = place_of(total);
  const auto look = [&](int base) {
    if (through - mine <= place && place < through) {
      found_row = base + thread;
      found_before = through - mine;
    }
  };
  if (rows <= kThreads) {
    look(0);
  } else {
    total = 0;
    for (int base = 0; base < rows; base += kThreads) {
      add_rows(base);
      look(base);
    }
  }
  __syncthreads();
  return {place, found_row, found_before};
}

}  // namespace spate::cuda
