// One attention op as its kernels see it, and the kernels that there are. Definitions: general.cu,
// decode.cuh, prefill.cuh, hopper.cuh, latent.cu.
#pragma once

#include "backend/cuda/context.h"
#include "backend/cuda/kernels.h"

namespace spate::cuda {

// Keys that rows share, see SharedKeys, and what became of them: of each row's softmax the piece of
// each of its parts.
struct SharedPieces {
  const int32_t *parts = nullptr, *own = nullptr;  // null: nothing is shared
  int parts_in_table = 0, most_of_row = 0;
  float* values = nullptr;  // [most_of_row, B, H, D]: sums of weighed values
  float2* stats = nullptr;  // [most_of_row, B, H]: reference, sum of weights
  size_t bytes = 0;         // of both, at the beginning of the workspace
};

// Tables lie on the device; all strides count elements.
struct AttentionProblem {
  const void* q;  // [T, H, D] of `activation`
  void* out;      // [T, H, E] of `activation`
  int64_t q_stride, out_stride;
  const void *keys, *values;  // [slots, G, D] and [slots, G, E] of `cache`
  int64_t key_stride, value_stride;
  const uint32_t* scales;  // [G, slots] pairs (KvScales) of a cache of e4m3, or null
  const int32_t *row_begin, *length, *segment_begin, *segments;  // see KvView
  int tokens, rows, kv_heads, width, value_width;                // T, B, G, D, E
  int slots;                                                     // of the cache
  int group;                                                     // H / G
  float scale;
  int window;  // 0: none
  float soft_cap;
  const float* sinks;   // [H], or null
  const int32_t* tree;  // [T, 2] bits, or null
  DType activation, cache;
  SharedPieces shared;
};

// What the tiles of many queries take: every row, those that `decode` leaves, or of `hopper` the
// parts of shared keys, each for all of its rows.
enum class TiledRows { all, of_many_queries, shared_parts };

// Queries (tokens times query heads) of a key/value head that `decode` takes at once. It takes the
// rows that have at most so many, or one token.
constexpr int kFewQueries = 16;

// Queries of a key/value head that `hopper` takes at once, at most; whole tokens.
constexpr int kItemQueries = 128;

void attend_general(const Context& context, const AttentionProblem& problem);

// Tensor cores, for a cache of that type and hidden states in bf16.
void attend_few_bf16(const Context& context, const AttentionProblem& problem);
void attend_few_f16(const Context& context, const AttentionProblem& problem);
void attend_few_e4m3(const Context& context, const AttentionProblem& problem);
void attend_tiles_bf16(const Context& context, const AttentionProblem& problem, TiledRows rows);
void attend_tiles_f16(const Context& context, const AttentionProblem& problem, TiledRows rows);
void attend_tiles_e4m3(const Context& context, const AttentionProblem& problem, TiledRows rows);

// Hopper's own matrix instructions, for hidden states in bf16, by width of the heads; for a cache
// in bf16, or, up to a width, in e4m3.
constexpr int kMostCodedWidth = 128;
void attend_hopper_64(const Context& context, const AttentionProblem& problem, TiledRows rows);
void attend_hopper_80(const Context& context, const AttentionProblem& problem, TiledRows rows);
void attend_hopper_96(const Context& context, const AttentionProblem& problem, TiledRows rows);
void attend_hopper_128(const Context& context, const AttentionProblem& problem, TiledRows rows);
void attend_hopper_256(const Context& context, const AttentionProblem& problem, TiledRows rows);

// Latent attention in bf16: one key of 576 elements for all heads, of which the first 512 are its
// value. `whole_items`: a query's keys are never cut between blocks.
void attend_latents(const Context& context, const AttentionProblem& problem, bool whole_items);

}  // namespace spate::cuda
