// The tasks of attention: which blocks, which keys in them, where the results go.
#include "backend/cpu/kernels/attention.h"

#include "backend/cpu/kernels/attention_block.h"
#include "backend/cpu/kernels/attention_tile.h"

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

int vectors_of(int width) { return (width + kLanes - 1) / kLanes; }
int share_of(const AttentionProblem& problem) { return problem.heads / problem.kv_heads; }

// What every task needs for its queries, in groups of `count` for each key/value head.
struct Work {
  Work(Pieces& pieces, const AttentionProblem& problem, int group_count, int group_size)
      : groups(group_count),
        count(group_size),
        vectors(vectors_of(problem.width)),
        value_vectors(vectors_of(problem.value_width)) {
    const int64_t queries = int64_t{groups} * count;
    q = pieces.take<float>(queries * vectors * kLanes);
    totals = pieces.take<float>(queries * value_vectors * kLanes);
    total_largest = pieces.take<float>(queries);
    total_sum = pieces.take<float>(queries);
    scores = pieces.take<float>(queries * kKeyBlock);
    values = pieces.take<float>(queries * value_vectors * kLanes);
    largest = pieces.take<float>(queries);
    sum = pieces.take<float>(queries);
    begin = pieces.take<int>(count);
    end = pieces.take<int>(count);
    if (problem.tree != nullptr) paths = pieces.take<uint64_t>(count);
  }

  Total total(int64_t index) const {
    return {totals + index * value_vectors * kLanes, total_largest + index, total_sum + index};
  }
  Queries queries(const AttentionProblem& problem) const {
    return {.groups = groups,
            .count = count,
            .vectors = vectors,
            .value_vectors = value_vectors,
            .width = problem.width,
            .value_width = problem.value_width,
            .q = q,
            .begin = begin,
            .end = end,
            .paths = paths,
            .tree_begin = tree_begin,
            .soft_cap = problem.soft_cap,
            .scores = scores,
            .values = values,
            .largest = largest,
            .sum = sum};
  }

  int groups, count, vectors, value_vectors;
  float *q, *totals, *total_largest, *total_sum, *scores, *values, *largest, *sum;
  int *begin, *end;
  uint64_t* paths = nullptr;
  int tree_begin = 0;
};

// Calls visit(token, head, index) for every query of a task.
template <class Visit>
void each_query(const AttentionProblem& problem, const AttentionTask& task, const Work& work,
                const Visit& visit) {
  const int share = share_of(problem);
  int64_t index = 0;
  for (int g = 0; g < work.groups; ++g) {
    for (int64_t t = task.token_begin; t < task.token_end; ++t) {
      for (int h = 0; h < share; ++h) visit(t, (task.kv_head + g) * share + h, index++);
    }
  }
}

// Copies the queries, scaled and filled up with zeros to whole vectors, and empties their totals.
void start(const AttentionProblem& problem, const AttentionTask& task, const Work& work) {
  const Vec scale = broadcast(problem.scale);
  each_query(problem, task, work, [&](int64_t t, int head, int64_t index) {
    const float* from = problem.q + t * problem.q_stride + int64_t{head} * problem.width;
    float* to = work.q + index * work.vectors * kLanes;
    const Total total = work.total(index);
    for (int i = 0; i < problem.width; i += kLanes) {
      const int left = problem.width - i;
      store(to + i, (left >= kLanes ? load(from + i) : load_part(from + i, left)) * scale);
    }
    for (int i = 0; i < work.value_vectors; ++i) store(total.values + i * kLanes, broadcast(0));
    *total.largest = kNegativeInfinity;
    *total.sum = 0;
  });
}

// Totals -> output, the sinks counted in.
void finish(const AttentionProblem& problem, const AttentionTask& task, const Work& work) {
  each_query(problem, task, work, [&](int64_t t, int head, int64_t index) {
    const Total total = work.total(index);
    if (problem.sinks != nullptr) {
      for (int i = 0; i < work.value_vectors; ++i) store(work.values + i * kLanes, broadcast(0));
      merge(total, work.values, problem.sinks[head], 1, work.value_vectors);
    }
    float* out = problem.out + t * problem.out_stride + int64_t{head} * problem.value_width;
    const Vec factor = broadcast(1 / *total.sum);
    for (int i = 0; i < problem.value_width; i += kLanes) {
      const int left = problem.value_width - i;
      const Vec x = load(total.values + i) * factor;
      if (left >= kLanes) {
        store(out + i, x);
      } else {
        store_part(out + i, x, left);
      }
    }
  });
}

// What the tokens at positions [first, last] see of a block.
KeyRange seen_of_block(const AttentionProblem& problem, int first, int last, int block) {
  const int shift = block * kKeyBlock;
  const int begin = problem.window > 0 ? first - problem.window + 1 - shift : 0;
  return both({begin, last + 1 - shift}, {0, kKeyBlock});
}

int first_position(const AttentionProblem& problem, const AttentionTask& task) {
  return problem.length[task.row] - problem.row_begin[task.row + 1] + task.token_begin;
}

// Keys of the task's row before the step.
int past_of(const AttentionProblem& problem, const AttentionTask& task) {
  return problem.length[task.row] - problem.row_begin[task.row + 1] + problem.row_begin[task.row];
}

// What at least one query of a task sees of a block.
KeyRange seen_by_task(const AttentionProblem& problem, const AttentionTask& task, int block) {
  const int first = first_position(problem, task);
  const int least = problem.tree == nullptr ? first : past_of(problem, task);
  return seen_of_block(problem, least, first + task.token_end - task.token_begin - 1, block);
}

// The tokens of its row that a token of the step sees in the tree: bits.
uint64_t seen_in_tree(const AttentionProblem& problem, int token) {
  const int32_t* bits = problem.tree + 2 * int64_t{token};
  return uint64_t{static_cast<uint32_t>(bits[1])} << 32 | static_cast<uint32_t>(bits[0]);
}

// Sets what each query of a group sees of a block.
void see(const AttentionProblem& problem, const AttentionTask& task, int block, Work& work) {
  const int share = share_of(problem);
  const int first = first_position(problem, task);
  const bool tree = problem.tree != nullptr;
  if (tree) work.tree_begin = past_of(problem, task) - block * kKeyBlock;
  int64_t index = 0;
  for (int t = 0; t < task.token_end - task.token_begin; ++t) {
    const uint64_t path = tree ? seen_in_tree(problem, task.token_begin + t) : 0;
    const int depth = tree ? past_of(problem, task) + __builtin_popcountll(path) - 1 : first + t;
    const KeyRange seen = seen_of_block(problem, depth, first + t, block);
    for (int h = 0; h < share; ++h, ++index) {
      work.begin[index] = seen.begin;
      work.end[index] = seen.end;
      if (tree) work.paths[index] = path;
    }
  }
}

// Loops over keys read at most so many at once, from a multiple on.
constexpr int kKeyGroup = 16;

// The slots of a row, read in order of position.
class Slots {
 public:
  Slots(const AttentionProblem& problem, int row)
      : segment_(problem.segments + 2 * int64_t{problem.segment_begin[row]}) {}

  // slots[k] of the keys that a block shows; up to the next multiples of 16 on either side repeats
  // the outermost ones, because loops over keys read whole groups.
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
    const KeyRange whole = whole_groups(keys);
    for (int k = whole.begin; k < keys.begin; ++k) slots[k] = slots[keys.begin];
    for (int k = keys.end; k < whole.end; ++k) slots[k] = slots[keys.end - 1];
  }

  static KeyRange whole_groups(KeyRange keys) {
    return {keys.begin / kKeyGroup * kKeyGroup, (keys.end + kKeyGroup - 1) / kKeyGroup * kKeyGroup};
  }

 private:
  const int32_t* segment_;  // first slot, tokens
  int64_t begin_ = 0;       // position of the segment's first token
};

// Where the keys and values of a block lie, of a task's first key/value head.
template <class Stored>
struct BlockRows {
  const Stored *keys[kKeyBlock], *values[kKeyBlock];

  void read(const AttentionProblem& problem, const AttentionTask& task, Slots& slots, int block,
            KeyRange seen) {
    int32_t slot[kKeyBlock];
    slots.read(block, seen, slot);
    const auto* first_key =
        static_cast<const Stored*>(problem.keys) + int64_t{task.kv_head} * problem.width;
    const auto* first_value =
        static_cast<const Stored*>(problem.values) + int64_t{task.kv_head} * problem.value_width;
    const KeyRange whole = Slots::whole_groups(seen);
    for (int k = whole.begin; k < whole.end; ++k) {
      keys[k] = first_key + slot[k] * problem.key_stride;
      values[k] = first_value + slot[k] * problem.value_stride;
    }
  }
};

void merge_block(const Queries& queries, const Work& work) {
  for (int r = 0; r < queries.groups * queries.count; ++r) {
    if (queries.begin[r % queries.count] >= queries.end[r % queries.count]) continue;
    merge(work.total(r), queries.values + int64_t{r} * queries.value_vectors * kLanes,
          queries.largest[r], queries.sum[r], queries.value_vectors);
  }
}

// ---- tile -----------------------------------------------------------------------------

template <class Cache>
void tile_of(const AttentionProblem& problem, const AttentionTask& task, void* scratch) {
  using Stored = typename Cache::Stored;
  Pieces pieces{scratch};
  Work work(pieces, problem, 1, (task.token_end - task.token_begin) * share_of(problem));
  const Decoded decoded(pieces.take<float>(Decoded::floats(work.vectors)), work.vectors);

  start(problem, task, work);
  Slots slots(problem, task.row);
  BlockRows<Stored> rows;
  for (int block = task.block_begin; block < task.block_end; ++block) {
    const KeyRange keys = seen_by_task(problem, task, block);
    see(problem, task, block, work);
    const Queries queries = work.queries(problem);
    rows.read(problem, task, slots, block, keys);
    score_tile<Cache>(rows.keys, problem.width, keys, decoded, queries);
    weigh_scores(queries);
    decode_rows<Cache>(rows.values, problem.value_width, keys, decoded);
    weigh_values<F32>(decoded.rows, queries, kKeyBlock);
    merge_block(queries, work);
  }
  finish(problem, task, work);
}

// ---- stream ---------------------------------------------------------------------------

Work stream_work(Pieces& pieces, const AttentionProblem& problem, const AttentionTask& task) {
  return Work(pieces, problem, task.kv_heads,
              (task.token_end - task.token_begin) * share_of(problem));
}

// Calls place(queries, block) before each block, to say where its result goes, and done(queries)
// after it.
template <class Cache, class Place, class Done>
void stream_blocks(const AttentionProblem& problem, const AttentionTask& task, Work& work,
                   const Place& place, const Done& done) {
  start(problem, task, work);
  Slots slots(problem, task.row);
  BlockRows<typename Cache::Stored> rows;
  for (int block = task.block_begin; block < task.block_end; ++block) {
    const KeyRange seen = seen_by_task(problem, task, block);
    see(problem, task, block, work);
    rows.read(problem, task, slots, block, seen);
    Queries queries = work.queries(problem);
    place(queries, block);
    bring_in(rows.keys, queries.groups * queries.width, seen);
    score_queries<Cache>(rows.keys, queries);
    weigh_scores(queries);
    bring_in(rows.values, queries.groups * queries.value_width, seen);
    weigh_values<Cache>(rows.values, queries, kNear);
    done(queries);
  }
}

template <class Cache>
void stream_of(const AttentionProblem& problem, const AttentionTask& task, void* scratch) {
  Pieces pieces{scratch};
  Work work = stream_work(pieces, problem, task);
  stream_blocks<Cache>(
      problem, task, work, [](Queries&, int) {},
      [&](const Queries& queries) { merge_block(queries, work); });
  finish(problem, task, work);
}

// Points `queries` to a block's place in `parts`.
void use_parts(const AttentionParts& parts, int block, Queries& queries) {
  const int64_t index = int64_t{block - parts.first_block} * queries.groups * queries.count;
  queries.values = parts.values + index * queries.value_vectors * kLanes;
  queries.largest = parts.largest + index;
  queries.sum = parts.sum + index;
}

template <class Cache>
void stream_parts_of(const AttentionProblem& problem, const AttentionTask& task,
                     const AttentionParts& parts, void* scratch) {
  Pieces pieces{scratch};
  Work work = stream_work(pieces, problem, task);
  stream_blocks<Cache>(
      problem, task, work, [&](Queries& queries, int block) { use_parts(parts, block, queries); },
      [](const Queries&) {});
}

// ---- the table ------------------------------------------------------------------------

int64_t tile_scratch(const AttentionProblem& problem, int tokens) {
  Pieces pieces;
  const Work work(pieces, problem, 1, tokens * share_of(problem));
  pieces.take<float>(Decoded::floats(work.vectors));
  return pieces.used;
}

int64_t stream_scratch(const AttentionProblem& problem, int tokens) {
  Pieces pieces;
  const Work work(pieces, problem, problem.kv_heads, tokens * share_of(problem));
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
  Work work = stream_work(pieces, problem, task);
  start(problem, task, work);
  for (int block = task.block_begin; block < task.block_end; ++block) {
    see(problem, task, block, work);
    Queries queries = work.queries(problem);
    use_parts(parts, block, queries);
    merge_block(queries, work);
  }
  finish(problem, task, work);
}

bool accepts_all(const AttentionProblem& /*problem*/) { return true; }
bool accepts_whole_vectors(const AttentionProblem& problem) {
  return problem.width % kLanes == 0 && problem.value_width % kLanes == 0;
}

// Up to here a stream, which reads the cache once and in order, beats tiles, one for each head.
constexpr int kStreamedQueries = 32;

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
