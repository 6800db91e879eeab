// The tasks of attention: which blocks, which keys in them, where the results go.
#include "backend/cpu/kernels/attention.h"

#include "backend/cpu/kernels/attention_block.h"

namespace spate::cpu::SPATE_ISA {
namespace {

// Hands out pieces of scratch; without a base it only counts.
struct Pieces {
  void* base = nullptr;
  int64_t used = 0;  // bytes

  template <class T>
  T* take(int64_t count) {
    T* piece = base == nullptr ? nullptr : reinterpret_cast<T*>(static_cast<char*>(base) + used);
    used += (count * static_cast<int64_t>(sizeof(T)) + 63) / 64 * 64;
    return piece;
  }
};

int vectors_of(const AttentionProblem& problem) { return (problem.width + kLanes - 1) / kLanes; }
int share_of(const AttentionProblem& problem) { return problem.heads / problem.kv_heads; }

// What every task needs: `queries` queries with their totals, of which `pass` go through a block at
// a time.
struct Work {
  Work(Pieces& pieces, const AttentionProblem& problem, int64_t queries, int64_t pass)
      : vectors(vectors_of(problem)),
        q(pieces.take<float>(queries * vectors * kLanes)),
        totals(pieces.take<float>(queries * vectors * kLanes)),
        total_largest(pieces.take<float>(queries)),
        total_sum(pieces.take<float>(queries)),
        scores(pieces.take<float>(pass * kKeyBlock)),
        values(pieces.take<float>(pass * vectors * kLanes)),
        largest(pieces.take<float>(pass)),
        sum(pieces.take<float>(pass)),
        begin(pieces.take<int>(pass)),
        end(pieces.take<int>(pass)) {}

  float* query(int64_t index) const { return q + index * vectors * kLanes; }
  Total total(int64_t index) const {
    return {totals + index * vectors * kLanes, total_largest + index, total_sum + index};
  }

  int64_t vectors;
  float *q, *totals, *total_largest, *total_sum, *scores, *values, *largest, *sum;
  int *begin, *end;
};

// Copies the queries of one key/value head, scaled and filled up with zeros to whole vectors, and
// empties their totals.
void start(const AttentionProblem& problem, const AttentionTask& task, int kv_head,
           const Work& work, int64_t index) {
  const int share = share_of(problem);
  const Vec scale = broadcast(problem.scale);
  for (int64_t t = task.token_begin; t < task.token_end; ++t) {
    for (int h = 0; h < share; ++h, ++index) {
      const float* from =
          problem.q + t * problem.q_stride + int64_t{kv_head * share + h} * problem.width;
      float* to = work.query(index);
      const Total total = work.total(index);
      for (int i = 0; i < problem.width; i += kLanes) {
        const Vec x =
            problem.width - i >= kLanes ? load(from + i) : load_part(from + i, problem.width - i);
        store(to + i, x * scale);
        store(total.values + i, broadcast(0));
      }
      *total.largest = kNegativeInfinity;
      *total.sum = 0;
    }
  }
}

// Totals -> output, the sinks counted in.
void finish(const AttentionProblem& problem, const AttentionTask& task, int kv_head,
            const Work& work, int64_t index) {
  const int share = share_of(problem);
  for (int64_t t = task.token_begin; t < task.token_end; ++t) {
    for (int h = 0; h < share; ++h, ++index) {
      const int head = kv_head * share + h;
      const Total total = work.total(index);
      if (problem.sinks != nullptr) {
        for (int i = 0; i < work.vectors; ++i) store(work.values + i * kLanes, broadcast(0));
        merge(total, work.values, problem.sinks[head], 1, static_cast<int>(work.vectors));
      }
      float* out = problem.out + t * problem.out_stride + int64_t{head} * problem.width;
      const Vec factor = broadcast(1 / *total.sum);
      for (int i = 0; i < problem.width; i += kLanes) {
        const Vec x = load(total.values + i) * factor;
        if (problem.width - i >= kLanes) {
          store(out + i, x);
        } else {
          store_part(out + i, x, problem.width - i);
        }
      }
    }
  }
}

// Sets what each query of a pass sees of a block; answers what at least one of them sees.
KeyRange see(const AttentionProblem& problem, const AttentionTask& task, int block,
             const Work& work) {
  const int share = share_of(problem);
  const int first_position =
      problem.length[task.row] - problem.row_begin[task.row + 1] + task.token_begin;
  KeyRange all{kKeyBlock, 0};
  int64_t index = 0;
  for (int t = 0; t < task.token_end - task.token_begin; ++t) {
    const int position = first_position + t;
    int begin = problem.window > 0 ? position - problem.window + 1 - block * kKeyBlock : 0;
    int end = position + 1 - block * kKeyBlock;
    if (begin < 0) begin = 0;
    if (end > kKeyBlock) end = kKeyBlock;
    for (int h = 0; h < share; ++h, ++index) {
      work.begin[index] = begin;
      work.end[index] = end;
    }
    if (begin >= end) continue;
    if (begin < all.begin) all.begin = begin;
    if (end > all.end) all.end = end;
  }
  return all;
}

// The slots of a row, read in order of position.
class Slots {
 public:
  Slots(const AttentionProblem& problem, int row)
      : segment_(problem.segments + 2 * int64_t{problem.segment_begin[row]}) {}

  // slots[k] of the keys that a block shows; up to the next multiples of eight on either side
  // repeats the outermost ones, because loops over keys read whole groups.
  void read(int block, KeyRange keys, int32_t* slots) {
    const int64_t block_begin = int64_t{block} * kKeyBlock;
    for (int k = keys.begin; k < keys.end;) {
      while (begin_ + segment_[1] <= block_begin + k) {
        begin_ += segment_[1];
        segment_ += 2;
      }
      const int64_t shift = segment_[0] - begin_ + block_begin;  // from key to slot
      const int64_t left = begin_ + segment_[1] - block_begin;
      const int to = left < keys.end ? static_cast<int>(left) : keys.end;
      for (; k < to; ++k) slots[k] = static_cast<int32_t>(shift + k);
    }
    for (int k = keys.begin / 8 * 8; k < keys.begin; ++k) slots[k] = slots[keys.begin];
    for (int k = keys.end; k < (keys.end + 7) / 8 * 8; ++k) slots[k] = slots[keys.end - 1];
  }

 private:
  const int32_t* segment_;  // first slot, tokens
  int64_t begin_ = 0;       // position of the segment's first token
};

Queries queries_of(const AttentionProblem& problem, const Work& work, int64_t index, int count) {
  return {.count = count,
          .vectors = static_cast<int>(work.vectors),
          .q = work.query(index),
          .begin = work.begin,
          .end = work.end,
          .soft_cap = problem.soft_cap,
          .scores = work.scores,
          .values = work.values,
          .largest = work.largest,
          .sum = work.sum};
}

template <class Cache>
void weigh_block(const typename Cache::Stored* const* keys,
                 const typename Cache::Stored* const* values, int64_t offset,
                 const Queries& queries) {
  score_queries<Cache>(keys, offset, queries);
  for (int r = 0; r < queries.count; ++r) {
    if (queries.begin[r] < queries.end[r]) weigh(queries, r);
  }
  weigh_values<Cache>(values, offset, queries);
}

void merge_block(const Queries& queries, const Work& work, int64_t index) {
  for (int r = 0; r < queries.count; ++r) {
    if (queries.begin[r] >= queries.end[r]) continue;
    merge(work.total(index + r), queries.values + int64_t{r} * queries.vectors * kLanes,
          queries.largest[r], queries.sum[r], queries.vectors);
  }
}

// ---- tile
// ----------------------------------------------------------------------------------------

// One row of the cache -> f32, filled up with zeros to whole vectors.
template <class Cache>
void decode_row(const typename Cache::Stored* from, int width, float* to) {
  int i = 0;
  for (; i + kLanes <= width; i += kLanes) store(to + i, Cache::load_vec(from + i));
  if (i == width) return;
  typename Cache::Stored rest[kLanes] = {};
  for (int j = i; j < width; ++j) rest[j - i] = from[j];
  store(to + i, Cache::load_vec(rest));
}

// A block of keys or values in f32. Rows lie one cache line further apart than they are long, so
// that a column of them does not crowd into a few sets of the cache.
struct Decoded {
  Decoded(Pieces& pieces, int64_t vectors)
      : stride(vectors * kLanes + 16), data(pieces.take<float>(kKeyBlock * stride)) {}

  int64_t stride;
  float* data;
};

template <class Cache>
void tile_of(const AttentionProblem& problem, const AttentionTask& task, void* scratch) {
  using Stored = typename Cache::Stored;
  Pieces pieces{scratch};
  const int count = (task.token_end - task.token_begin) * share_of(problem);
  const Work work(pieces, problem, count, count);
  const Decoded decoded(pieces, work.vectors);
  const int64_t offset = int64_t{task.kv_head} * problem.width;
  const float* rows[kKeyBlock];
  for (int k = 0; k < kKeyBlock; ++k) rows[k] = decoded.data + k * decoded.stride;
  const auto decode = [&](const void* cache, int64_t stride, const int32_t* slots, KeyRange keys) {
    for (int k = keys.begin; k < keys.end; ++k) {
      decode_row<Cache>(static_cast<const Stored*>(cache) + slots[k] * stride + offset,
                        problem.width, decoded.data + k * decoded.stride);
    }
  };

  start(problem, task, task.kv_head, work, 0);
  Slots slots(problem, task.row);
  int32_t slot[kKeyBlock];
  for (int block = task.block_begin; block < task.block_end; ++block) {
    const KeyRange keys = see(problem, task, block, work);
    const Queries queries = queries_of(problem, work, 0, count);
    slots.read(block, keys, slot);
    decode(problem.keys, problem.key_stride, slot, keys);
    score_queries<F32>(rows, 0, queries);
    for (int r = 0; r < count; ++r) {
      if (queries.begin[r] < queries.end[r]) weigh(queries, r);
    }
    decode(problem.values, problem.value_stride, slot, keys);
    weigh_values<F32>(rows, 0, queries);
    merge_block(queries, work, 0);
  }
  finish(problem, task, task.kv_head, work, 0);
}

// ---- stream
// --------------------------------------------------------------------------------------

// Calls visit(queries, index of the first of them, block) for each block and key/value head.
template <class Cache, class Visit>
void stream_blocks(const AttentionProblem& problem, const AttentionTask& task, const Work& work,
                   const Visit& visit) {
  using Stored = typename Cache::Stored;
  const int count = (task.token_end - task.token_begin) * share_of(problem);
  for (int g = 0; g < problem.kv_heads; ++g) {
    start(problem, task, g, work, int64_t{g} * count);
  }
  Slots slots(problem, task.row);
  int32_t slot[kKeyBlock];
  const Stored *keys[kKeyBlock], *values[kKeyBlock];
  for (int block = task.block_begin; block < task.block_end; ++block) {
    const KeyRange seen = see(problem, task, block, work);
    slots.read(block, seen, slot);
    for (int k = seen.begin / 8 * 8; k < (seen.end + 7) / 8 * 8; ++k) {
      keys[k] = static_cast<const Stored*>(problem.keys) + slot[k] * problem.key_stride;
      values[k] = static_cast<const Stored*>(problem.values) + slot[k] * problem.value_stride;
    }
    for (int g = 0; g < problem.kv_heads; ++g) {
      const Queries queries = queries_of(problem, work, int64_t{g} * count, count);
      weigh_block<Cache>(keys, values, int64_t{g} * problem.width, queries);
      visit(queries, int64_t{g} * count, block);
    }
  }
}

Work stream_work(Pieces& pieces, const AttentionProblem& problem, int tokens) {
  return {pieces, problem, int64_t{tokens} * problem.heads, int64_t{tokens} * share_of(problem)};
}

void finish_all(const AttentionProblem& problem, const AttentionTask& task, const Work& work) {
  const int count = (task.token_end - task.token_begin) * share_of(problem);
  for (int g = 0; g < problem.kv_heads; ++g) {
    finish(problem, task, g, work, int64_t{g} * count);
  }
}

template <class Cache>
void stream_of(const AttentionProblem& problem, const AttentionTask& task, void* scratch) {
  Pieces pieces{scratch};
  const Work work = stream_work(pieces, problem, task.token_end - task.token_begin);
  stream_blocks<Cache>(problem, task, work, [&](const Queries& queries, int64_t index, int) {
    merge_block(queries, work, index);
  });
  finish_all(problem, task, work);
}

template <class Cache>
void stream_parts_of(const AttentionProblem& problem, const AttentionTask& task,
                     const AttentionParts& parts, void* scratch) {
  Pieces pieces{scratch};
  const Work work = stream_work(pieces, problem, task.token_end - task.token_begin);
  const int64_t all = int64_t{task.token_end - task.token_begin} * problem.heads;
  stream_blocks<Cache>(problem, task, work, [&](const Queries& queries, int64_t index, int block) {
    const int64_t at = (block - parts.first_block) * all + index;
    const int64_t elements = int64_t{queries.count} * queries.vectors * kLanes;
    float* to = parts.values + at * queries.vectors * kLanes;
    for (int64_t i = 0; i < elements; i += kLanes) store(to + i, load(queries.values + i));
    for (int r = 0; r < queries.count; ++r) {
      parts.largest[at + r] = queries.largest[r];
      parts.sum[at + r] = queries.sum[r];
    }
  });
}

// ---- the table
// -----------------------------------------------------------------------------------

int64_t tile_scratch(const AttentionProblem& problem, int tokens) {
  Pieces pieces;
  const int64_t count = int64_t{tokens} * share_of(problem);
  const Work work(pieces, problem, count, count);
  const Decoded decoded(pieces, work.vectors);
  return pieces.used;
}

int64_t stream_scratch(const AttentionProblem& problem, int tokens) {
  Pieces pieces;
  stream_work(pieces, problem, tokens);
  return pieces.used;
}

void tile(const AttentionProblem& problem, const AttentionTask& task, void* scratch) {
  switch (problem.type) {
    case CacheType::f32: return tile_of<F32>(problem, task, scratch);
    case CacheType::f16: return tile_of<F16>(problem, task, scratch);
    case CacheType::bf16: return tile_of<Bf16>(problem, task, scratch);
  }
}

void stream(const AttentionProblem& problem, const AttentionTask& task, void* scratch) {
  switch (problem.type) {
    case CacheType::f32: return stream_of<F32>(problem, task, scratch);
    case CacheType::f16: return stream_of<F16>(problem, task, scratch);
    case CacheType::bf16: return stream_of<Bf16>(problem, task, scratch);
  }
}

void stream_parts(const AttentionProblem& problem, const AttentionTask& task,
                  const AttentionParts& parts, void* scratch) {
  switch (problem.type) {
    case CacheType::f32: return stream_parts_of<F32>(problem, task, parts, scratch);
    case CacheType::f16: return stream_parts_of<F16>(problem, task, parts, scratch);
    case CacheType::bf16: return stream_parts_of<Bf16>(problem, task, parts, scratch);
  }
}

void merge_parts(const AttentionProblem& problem, const AttentionTask& task,
                 const AttentionParts& parts, void* scratch) {
  Pieces pieces{scratch};
  const Work work = stream_work(pieces, problem, task.token_end - task.token_begin);
  const int count = (task.token_end - task.token_begin) * share_of(problem);
  const int64_t all = int64_t{count} * problem.kv_heads;
  for (int g = 0; g < problem.kv_heads; ++g) {
    start(problem, task, g, work, int64_t{g} * count);
  }
  for (int block = task.block_begin; block < task.block_end; ++block) {
    see(problem, task, block, work);
    for (int64_t index = 0; index < all; ++index) {
      const int64_t at = (block - parts.first_block) * all + index;
      if (work.begin[index % count] >= work.end[index % count]) continue;
      merge(work.total(index), parts.values + at * work.vectors * kLanes, parts.largest[at],
            parts.sum[at], static_cast<int>(work.vectors));
    }
  }
  finish_all(problem, task, work);
}

bool accepts_all(const AttentionProblem& /*problem*/) { return true; }
bool accepts_whole_vectors(const AttentionProblem& problem) { return problem.width % kLanes == 0; }

// Decoding a block costs a tile about as much as four queries' work on it.
constexpr int kStreamedQueries = 8;

}  // namespace

extern const AttentionKernels kAttention;
const AttentionKernels kAttention{.lanes = kLanes,
                                  .choices = {{"by_row", accepts_whole_vectors, kStreamedQueries},
                                              {"stream", accepts_whole_vectors, 1 << 30},
                                              {"tile", accepts_all, 0}},
                                  .tile_scratch = tile_scratch,
                                  .stream_scratch = stream_scratch,
                                  .tile = tile,
                                  .stream = stream,
                                  .stream_parts = stream_parts,
                                  .merge_parts = merge_parts};

}  // namespace spate::cpu::SPATE_ISA
