// Linear attention of rows with many tokens, in chunks (chunk.cuh). Rows are cut into spans of some
// chunks. First every span sums up what its tokens add to the state, then the state before each
// span follows from these sums, and the row's at its end, and at last every span computes its
// results.
#include <algorithm>

#include "backend/cuda/attention/rows.cuh"
#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear_attention/chunk.cuh"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

constexpr float kLog2E = 1.44269504F;

// How rows are cut. Spans count from a row's first token; rows with few tokens have none.
struct Spans {
  int tokens;  // of a span, whole chunks
  // [spans, heads, D, D] f32: what a span adds, and then the state before it, with eight elements
  // as eight high parts and eight low ones.
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
            .tokens = min(spans.tokens, left)};
  }
};

// Of a head as the grid counts.
template <int D>
__device__ float* state_of(const Spans& spans, int span) {
  return spans.states + (int64_t{span} * spans.heads + blockIdx.y) * (D * D);
}
__device__ int head_of(const Spans& spans) {
  return spans.first_head + static_cast<int>(blockIdx.y);
}

// ---- What the tokens of a span add to the state. Grid: spans, heads.

template <int D>
struct SumShared {
  static constexpr int kStages = 2;
  alignas(1024) unsigned char k[kStages][ChunkLayout<D>::kTile], v[kStages][ChunkLayout<D>::kTile];
};

template <int D>
__global__ void __launch_bounds__(ChunkLayout<D>::kThreads, 2)
    sum_spans(const __grid_constant__ LinearAttentionProblem problem, Spans spans) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<SumShared<D>*>(bytes);
  const Span span = Span::find<ChunkLayout<D>::kThreads>(problem, spans);
  if (span.row < 0) return;
  const int head = head_of(spans);
  if (span.number == 0 && blockIdx.y == 0 && threadIdx.x == 0) {
    spans.first[span.row] = static_cast<int32_t>(blockIdx.x);
  }
  const float slope = problem.slope[head] * kLog2E;
  const int chunks = (span.tokens + kChunk - 1) / kChunk;
  const auto copy = [&](int chunk) {
    const int stage = chunk % SumShared<D>::kStages, first = chunk * kChunk;
    const int64_t token = span.first_token + first;
    const int count = span.tokens - first;
    copy_tile<D>(shared.k[stage], problem.k, problem.k_stride, token, count, head);
    copy_tile<D>(shared.v[stage], problem.v, problem.v_stride, token, count, head);
  };
  float sums[D / 8][4];
  copy(0);
  for (int chunk = 0; chunk < chunks; ++chunk) {
    wait_for_all_copies();
    publish_writes();
    __syncthreads();  // the chunk is there, and the one before has been used
    if (chunk + 1 < chunks) copy(chunk + 1);
    const int stage = chunk % SumShared<D>::kStages;
    const int count = min(kChunk, span.tokens - chunk * kChunk);
    if (chunk > 0) {
      const float decay = exp2_fast(-slope * static_cast<float>(count));
#pragma unroll
      for (auto& tile : sums) {
#pragma unroll
        for (float& element : tile) element *= decay;
      }
    }
    multiply_keys<D>(sums, shared.k[stage], shared.v[stage], count, slope, chunk > 0);
  }
  const Spot spot;
  float* to = state_of<D>(spans, static_cast<int>(blockIdx.x)) + (64 * spot.group + spot.row) * D +
              2 * (spot.lane % 4);
#pragma unroll
  for (int tile = 0; tile < D / 8; ++tile) {
    *reinterpret_cast<float2*>(to + 8 * tile) = {sums[tile][0], sums[tile][1]};
    *reinterpret_cast<float2*>(to + 8 * D + 8 * tile) = {sums[tile][2], sums[tile][3]};
  }
}

// ---- The states before the spans of a row, where their sums are, and that at the row's end. Grid:
// rows that have spans, heads, parts of a state.

constexpr int kCarryThreads = 256, kCarried = 4;  // elements of a thread

// Of the eight elements of two neighbouring lanes the first gets the high parts, the other one the
// low ones.
__device__ uint4 split_with_neighbour(const float (&elements)[kCarried]) {
  const SplitPair pairs[2] = {{elements[0], elements[1]}, {elements[2], elements[3]}};
  const bool odd = threadIdx.x % 2 != 0;
  uint2 theirs;
  theirs.x = __shfl_xor_sync(~0U, odd ? pairs[0].high : pairs[0].low, 1);
  theirs.y = __shfl_xor_sync(~0U, odd ? pairs[1].high : pairs[1].low, 1);
  if (odd) return {theirs.x, theirs.y, pairs[0].low, pairs[1].low};
  return {pairs[0].high, pairs[1].high, theirs.x, theirs.y};
}

template <int D, class State>
__global__ void __launch_bounds__(kCarryThreads)
    carry_states(const __grid_constant__ LinearAttentionProblem problem, Spans spans) {
  constexpr int kAtOnce = 8;
  const auto tokens_of = [&](int row) {
    return problem.row_begin[row + 1] - problem.row_begin[row];
  };
  const int row = find_row<kCarryThreads>(
                      problem.rows, [&](int n) { return spans.of_row(tokens_of(n)) > 0 ? 1 : 0; },
                      [](int) { return static_cast<int>(blockIdx.x); })
                      .row;
  if (row < 0) return;
  const int tokens = tokens_of(row), count = spans.of_row(tokens);
  const int head = head_of(spans);
  const int element =
      (static_cast<int>(blockIdx.z) * kCarryThreads + static_cast<int>(threadIdx.x)) * kCarried;
  const float slope = problem.slope[head] * kLog2E;
  const auto slot = [&](int32_t number) {
    return static_cast<State*>(problem.state) + number * problem.state_stride +
           int64_t{head} * (D * D) + element;
  };
  float state[kCarried] = {};
  if (problem.from[row] >= 0) load_pack(slot(problem.from[row]), true, kCarried, state);
  const int64_t step = int64_t{spans.heads} * (D * D);
  float* at = state_of<D>(spans, spans.first[row]) + element;
  for (int first = 0; first < count; first += kAtOnce) {
    float sums[kAtOnce][kCarried];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i < count) load_pack(at + (first + i) * step, true, kCarried, sums[i]);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i >= count) break;
      *reinterpret_cast<uint4*>(at + (first + i) * step) = split_with_neighbour(state);
      const int of_span = min(spans.tokens, tokens - (first + i) * spans.tokens);
      const float decay = exp2f(-slope * static_cast<float>(of_span));
#pragma unroll
      for (int j = 0; j < kCarried; ++j) state[j] = fmaf(decay, state[j], sums[i][j]);
    }
  }
  if (problem.to[row] >= 0) store_pack(slot(problem.to[row]), true, kCarried, state);
}

// ---- The results of a span. Grid: spans, heads.

template <int D>
struct AttendShared {
  using Layout = ChunkLayout<D>;
  alignas(1024) unsigned char q[Layout::kTile], k[Layout::kTile], v[Layout::kTile];
  unsigned char state[2 * Layout::kState];  // high, low
};

// Starts to copy a state of elements that are split.
template <int D>
__device__ void copy_state(unsigned char* to, const float* from) {
  using Layout = ChunkLayout<D>;
#pragma unroll 8
  for (int i = static_cast<int>(threadIdx.x); i < D * D / 4; i += Layout::kThreads) {
    const int part = i % 2, row = i / (D / 4), vector = i / 2 % (D / 8);
    copy_16_async<true>(
        to + part * Layout::kState + vector / 8 * Layout::kStateSlab + slab_place(row, vector % 8),
        from + 4 * i, true);
  }
}

template <int D>
__device__ void write_results(const float (&sums)[8][4], const LinearAttentionProblem& problem,
                              int64_t token, int count, int head) {
  const Spot spot;
  bf16* out = static_cast<bf16*>(problem.out) + token * problem.out_stride + head * D +
              spot.group * kSlabColumns + 2 * (spot.lane % 4);
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int row = spot.row + 8 * half;
    if (row >= count) continue;
#pragma unroll
    for (int tile = 0; tile < 8; ++tile) {
      *reinterpret_cast<uint32_t*>(out + row * problem.out_stride + 8 * tile) = pack<bf16>(
          sums[tile][2 * half] * problem.scale, sums[tile][2 * half + 1] * problem.scale);
    }
  }
}

template <int D>
__global__ void __launch_bounds__(ChunkLayout<D>::kThreads, 2)
    attend_spans(const __grid_constant__ LinearAttentionProblem problem, Spans spans) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<AttendShared<D>*>(bytes);
  const Span span = Span::find<ChunkLayout<D>::kThreads>(problem, spans);
  if (span.row < 0) return;
  const int head = head_of(spans);
  const float slope = problem.slope[head] * kLog2E;
  copy_state<D>(shared.state, state_of<D>(spans, static_cast<int>(blockIdx.x)));
  for (int first = 0; first < span.tokens; first += kChunk) {
    const int64_t token = span.first_token + first;
    const int count = span.tokens - first;
    copy_tile<D>(shared.q, problem.q, problem.q_stride, token, count, head);
    copy_tile<D>(shared.k, problem.k, problem.k_stride, token, count, head);
    copy_tile<D>(shared.v, problem.v, problem.v_stride, token, count, head);
    wait_for_all_copies();
    publish_writes();
    __syncthreads();
    float results[8][4];
    attend_chunk<D>(results, shared.q, shared.k, shared.v, shared.state, slope);
    write_results<D>(results, problem, token, count, head);
    if (count <= kChunk) return;
    float sums[D / 8][4];
    multiply_keys<D>(sums, shared.k, shared.v, kChunk, slope, false);
    __syncthreads();  // all have used the chunk and the state before it
    add_to_state<D>(shared.state, sums, slope);
  }
}

template <int D>
void launch_heads(const Context& context, const LinearAttentionProblem& problem, const Spans& spans,
                  int most_spans, int most_rows) {
  constexpr int kThreads = ChunkLayout<D>::kThreads;
  const dim3 grid(static_cast<unsigned>(most_spans), static_cast<unsigned>(spans.heads));
  const dim3 carry(static_cast<unsigned>(most_rows), grid.y, D * D / (kCarried * kCarryThreads));
  launch(context, {.blocks = grid, .threads = kThreads, .shared_bytes = sizeof(SumShared<D>)},
         sum_spans<D>, problem, spans);
  with_state_type(problem.state_type, [&]<class State>(TypeTag<State>) {
    launch(context, {.blocks = carry, .threads = kCarryThreads}, carry_states<D, State>, problem,
           spans);
  });
  launch(context, {.blocks = grid, .threads = kThreads, .shared_bytes = sizeof(AttendShared<D>)},
         attend_spans<D>, problem, spans);
}

// Spans are so long that those of all heads are about three for two multiprocessors: shorter ones
// read and write more states, longer ones leave some idle. As many heads are taken at once as have
// room for their states.
template <int D>
void launch_chunked(const Context& context, const LinearAttentionProblem& problem) {
  const int64_t blocks = int64_t{context.multiprocessors()} * 3 / 2;
  const int64_t chunks = divide_up(int64_t{problem.tokens} * problem.heads, blocks * kChunk);
  const int most_rows = std::min(problem.rows, problem.tokens / kLeastChunkTokens);
  Spans spans{.tokens = static_cast<int>(kChunk * chunks)};
  const int most_spans = problem.tokens / spans.tokens + most_rows;
  const size_t first_bytes = sizeof(int32_t) * static_cast<size_t>(problem.rows);
  const size_t head_bytes = static_cast<size_t>(most_spans) * D * D * sizeof(float);
  const auto at_once = static_cast<int>((Context::kWorkspaceBytes - first_bytes) / head_bytes);
  check(at_once > 0, "linear attention of ", problem.tokens, " tokens in ", problem.rows,
        " rows wants ", head_bytes, " bytes of scratch");
  spans.heads = std::min(at_once, problem.heads);
  const size_t state_bytes = head_bytes * static_cast<size_t>(spans.heads);
  spans.states = static_cast<float*>(context.workspace(state_bytes + first_bytes));
  spans.first = reinterpret_cast<int32_t*>(spans.states + state_bytes / sizeof(float));
  allow_shared_bytes(sum_spans<D>, sizeof(SumShared<D>));
  allow_shared_bytes(attend_spans<D>, sizeof(AttendShared<D>));
  for (; spans.first_head < problem.heads; spans.first_head += spans.heads) {
    spans.heads = std::min(spans.heads, problem.heads - spans.first_head);
    launch_heads<D>(context, problem, spans, most_spans, most_rows);
  }
}

}  // namespace

void attend_linear_chunked(const Context& context, const LinearAttentionProblem& problem) {
  (problem.width == 64 ? launch_chunked<64> : launch_chunked<128>)(context, problem);
}

}  // namespace spate::cuda
