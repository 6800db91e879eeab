// The kernels of attention, as plain structs of pointers. The meaning is op::Attention; the plan of
// who computes what is made in cpu/attention/.
//
// Keys are taken in blocks of kKeyBlock positions, counted from position 0 of the row. Each block
// gives each query head a partial softmax of its own: the largest score, the sum of the weights
// relative to it, and the weighted sum of the values. Partial results are merged in order of
// position. So a token's bits depend on positions alone: not on segments, on what shares the pass,
// or on who computed which block.
#pragma once

#include <cstdint>

#include "backend/cpu/kernels/cache_type.h"

namespace spate::cpu {

constexpr int kKeyBlock = 128;

// All strides count elements.
struct AttentionProblem {
  const float* q;  // [T, H, D]
  float* out;      // [T, H, E]
  int64_t q_stride, out_stride;
  const void *keys, *values;  // [slots, G, D] and [slots, G, E] of `type`
  int64_t key_stride, value_stride;
  CacheType type;
  const int32_t *row_begin, *length, *segment_begin, *segments;  // see KvView
  int heads, kv_heads, width, value_width;                       // H, G, D, E
  float scale;
  int window;  // 0: none
  float soft_cap;
  const float* sinks;   // [H], or null
  const int32_t* tree;  // [T, 2] bits, or null
};

// A few neighbouring tokens of one row. The query heads that share a key/value head are together:
// query (g, t, h) of such a task has the index (g * tokens + t) * (H / G) + h.
struct AttentionTask {
  int row;
  int token_begin, token_end;  // of the step
  int kv_head, kv_heads;       // the first, and how many; a tile has one
  int block_begin, block_end;  // blocks of keys to read
};

// Partial results of one task's queries, block after block; for blocks that different threads
// compute.
struct AttentionParts {
  float* values;   // [blocks, queries, padded width of a value]
  float* largest;  // [blocks, queries]
  float* sum;      // [blocks, queries]
  int first_block;
};

// A way to divide rows between `tile` and `stream`: rows with at most so many queries for a
// key/value head are streamed.
struct AttentionChoice {
  const char* name;
  bool (*accepts)(const AttentionProblem& problem);
  int streamed_queries;
};

// One table an instruction set. `scratch` belongs to the calling thread.
struct AttentionKernels {
  int lanes;  // a padded width is the width rounded up to this
  AttentionChoice choices[3];
  // Bytes of scratch for a tile, or a stream, of so many tokens.
  int64_t (*tile_scratch)(const AttentionProblem& problem, int tokens);
  int64_t (*stream_scratch)(const AttentionProblem& problem, int tokens);
  // Many queries, one key/value head: each block is decoded once for all of them.
  void (*tile)(const AttentionProblem& problem, const AttentionTask& task, void* scratch);
  // Few queries, neighbouring key/value heads: keys and values are decoded in registers as they are
  // read. Needs widths of whole vectors.
  void (*stream)(const AttentionProblem& problem, const AttentionTask& task, void* scratch);
  // As stream, but leaves each block's partial result in `parts`.
  void (*stream_parts)(const AttentionProblem& problem, const AttentionTask& task,
                       const AttentionParts& parts, void* scratch);
  // Merges the parts of blocks [task.block_begin, task.block_end) into the output.
  void (*merge_parts)(const AttentionProblem& problem, const AttentionTask& task,
                      const AttentionParts& parts, void* scratch);
};

}  // namespace spate::cpu
