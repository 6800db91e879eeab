// Linear attention of rows with many tokens, in chunks (chunk.cuh). Rows are cut into spans of some
// chunks. First every span but a row's last sums up what its tokens add to the state, then the
// state before each span follows from these sums, and at last every span computes its results, and
// the last one the row's state. A row of one span needs the last kernel alone.
//
// All three begin early, and the first two let the next one begin once they have waited themselves:
// so what was written before the first is there before the others wait.
#include <algorithm>
#include <type_traits>

#include "backend/cuda/launch.cuh"
#include "backend/cuda/linear_attention/spans.cuh"
#include "backend/cuda/packs.cuh"

namespace spate::cuda {
namespace {

// ---- What the tokens of a span add to the state. Grid: spans, heads, blocks of columns.

template <int D>
struct SumShared {
  alignas(1024) unsigned char k[2][kTile<D>], v[2][kTileSlab];
  Powers powers;
};

template <int D>
__global__ void __launch_bounds__(kChunkThreads, 3)
    sum_spans(const __grid_constant__ LinearAttentionProblem problem, Spans spans) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<SumShared<D>*>(bytes);
  const Span span = Span::find<kChunkThreads>(problem, spans);
  wait_for_kernel_before();
  let_next_kernel_begin();
  if (span.row < 0 || span.last) return;
  if (span.number == 0 && blockIdx.y == 0 && blockIdx.z == 0 && threadIdx.x == 0) {
    spans.first[span.row] = static_cast<int32_t>(blockIdx.x);
  }
  const int head = head_of(spans);
  shared.powers.fill(problem.slope[head] * kLog2E);
  const auto copy = [&](int chunk) {
    copy_keys<D>(shared.k[chunk % 2], problem.k, problem.k_stride, span, chunk, head);
    copy_values<D>(shared.v[chunk % 2], problem, span, chunk, head);
  };
  ChunkSums<D> sums;
  copy(0);
  for (int chunk = 0; chunk < span.chunks(); ++chunk) {
    wait_for_all_copies();
    publish_writes();
    __syncthreads();  // the chunk is there, and the one before has been used
    if (chunk + 1 < span.chunks()) copy(chunk + 1);
    TurnedValues values;
    load_values(values, shared.v[chunk % 2]);
    add_chunk<D>(sums, values, shared.k[chunk % 2], kChunk, shared.powers, chunk == 0);
    wait_for_products<0>(sums);
  }
#pragma unroll
  for (int tile = 0; tile < D / 8; ++tile) {
    store_pack(tile_of<D>(spans, static_cast<int>(blockIdx.x), tile), true, kTileNumbers,
               sums[tile]);
  }
}

// ---- The states before the spans of a row, where their sums are. Grid: rows that have two spans
// or more, heads, parts of a state.

constexpr int kCarryThreads = 256;

template <int D, class State>
__global__ void __launch_bounds__(kCarryThreads)
    carry_states(const __grid_constant__ LinearAttentionProblem problem, Spans spans) {
  constexpr int kAtOnce = 8;
  const auto spans_of = [&](int row) {
    return spans.of_row(problem.row_begin[row + 1] - problem.row_begin[row]);
  };
  const int row = find_row<kCarryThreads>(
                      problem.rows, [&](int n) { return spans_of(n) > 1 ? 1 : 0; },
                      [](int) { return static_cast<int>(blockIdx.x); })
                      .row;
  if (row < 0) return wait_for_kernel_before();
  const int count = spans_of(row), head = head_of(spans);
  const float decay = exp2f(-problem.slope[head] * kLog2E * static_cast<float>(spans.tokens));
  const int number = static_cast<int>(blockIdx.z) * kCarryThreads + static_cast<int>(threadIdx.x);
  float state[kTileNumbers] = {};
  if (problem.from[row] >= 0) {
    const TilePlace<D> place(number / kChunkThreads, number % kChunkThreads);
#pragma unroll
    for (int i = 0; i < kTileNumbers; ++i) {
      state[i] = to_float(place.template in<State>(problem, problem.from[row], head, i));
    }
  }
  wait_for_kernel_before();
  let_next_kernel_begin();
  const int64_t step = int64_t{spans.heads} * (D * D);
  float* at = state_of<D>(spans, spans.first[row]) + kTileNumbers * number;
  for (int first = 0; first + 1 < count; first += kAtOnce) {
    float sums[kAtOnce][kTileNumbers];
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i + 1 < count) load_pack(at + (first + i) * step, true, kTileNumbers, sums[i]);
    }
#pragma unroll
    for (int i = 0; i < kAtOnce; ++i) {
      if (first + i + 1 >= count) break;
      store_pack(at + (first + i) * step, true, kTileNumbers, state);
#pragma unroll
      for (int j = 0; j < kTileNumbers; ++j) state[j] = fmaf(decay, state[j], sums[i][j]);
    }
  }
  store_pack(at + (count - 1) * step, true, kTileNumbers, state);
}

// ---- The results of a span. Grid: spans, heads, blocks of columns.

template <int D>
struct AttendShared {
  alignas(1024) unsigned char q[2][kTile<D>], k[2][kTile<D>], v[2][kTileSlab], scores[kTileSlab],
      results[kTileSlab];
  Powers powers;
};

template <int D, class State>
__global__ void __launch_bounds__(kChunkThreads, 2)
    attend_spans(const __grid_constant__ LinearAttentionProblem problem, Spans spans) {
  extern __shared__ __align__(1024) unsigned char bytes[];
  auto& shared = *reinterpret_cast<AttendShared<D>*>(bytes);
  const Span span = Span::find<kChunkThreads>(problem, spans);
  let_next_kernel_begin();
  if (span.row < 0) return wait_for_kernel_before();
  const int head = head_of(spans);
  shared.powers.fill(problem.slope[head] * kLog2E);
  const auto copy = [&](int chunk) {
    copy_keys<D>(shared.q[chunk % 2], problem.q, problem.q_stride, span, chunk, head);
    copy_keys<D>(shared.k[chunk % 2], problem.k, problem.k_stride, span, chunk, head);
    copy_values<D>(shared.v[chunk % 2], problem, span, chunk, head);
  };
  copy(0);
  ChunkSums<D> state = {};
  const auto for_each_number = [&](const auto& body) {
#pragma unroll
    for (int tile = 0; tile < D / 8; ++tile) {
      const TilePlace<D> place(first_tile<D>() + tile, static_cast<int>(threadIdx.x));
#pragma unroll
      for (int i = 0; i < kTileNumbers; ++i) body(place, i, state[tile][i]);
    }
  };
  if (span.last && span.number == 0) {
    if (const int32_t slot = problem.from[span.row]; slot >= 0) {
      for_each_number([&](const TilePlace<D>& place, int i, float& number) {
        number = to_float(place.template in<State>(problem, slot, head, i));
      });
    }
    wait_for_kernel_before();
  } else {
    wait_for_kernel_before();
#pragma unroll
    for (int tile = 0; tile < D / 8; ++tile) {
      load_pack(tile_of<D>(spans, static_cast<int>(blockIdx.x), tile), true, kTileNumbers,
                state[tile]);
    }
  }

  // Goes on: the state behind the chunk is wanted, too.
  const auto attend = [&](int chunk, auto goes_on) {
    const int stage = chunk % 2, count = min(kChunk, span.tokens_from(chunk));
    wait_for_all_copies();
    publish_writes();
    __syncthreads();  // the chunk is there, and the one before has been used
    if (chunk + 1 < span.chunks()) copy(chunk + 1);
    ChunkSums<kChunk> scores, results;
    multiply_queries<D>(scores, shared.q[stage], shared.k[stage]);
    wait_for_products<0>(scores);
    const SplitState<D> before(state);
    multiply_state<D>(results, before, shared.q[stage]);
    store_scores(shared.scores, scores, shared.powers);
    TurnedValues values;
    load_values(values, shared.v[stage]);
    publish_writes();
    __syncthreads();
    wait_for_products<0>(results);
    multiply_values(results, values, shared.scores, shared.powers);
    if constexpr (goes_on) {
      add_chunk<D>(state, values, shared.k[stage], count, shared.powers, false);
      wait_for_products<1>(results);
    } else {
      wait_for_products<0>(results);
    }
    store_results(shared.results, results, problem.scale);
    __syncthreads();
    bf16* out = static_cast<bf16*>(problem.out) +
                (span.first_token + chunk * kChunk) * problem.out_stride + head * D +
                blockIdx.z * kChunkColumns;
#pragma unroll
    for (int i = 0; i < kChunk * kChunkColumns / 8 / kChunkThreads; ++i) {
      const int place = static_cast<int>(threadIdx.x) + i * kChunkThreads;
      const int row = place / (kChunkColumns / 8), vector = place % (kChunkColumns / 8);
      if (row >= count) break;
      *reinterpret_cast<uint4*>(out + row * problem.out_stride + 8 * vector) =
          *reinterpret_cast<const uint4*>(shared.results + slab_place(row, vector));
    }
    if constexpr (goes_on) wait_for_products<0>(state);
  };
  const int going_on = span.last ? span.chunks() : span.chunks() - 1;
#pragma unroll 1
  for (int chunk = 0; chunk < going_on; ++chunk) attend(chunk, std::true_type{});
  if (!span.last) return attend(going_on, std::false_type{});
  if (const int32_t slot = problem.to[span.row]; slot >= 0) {
    for_each_number([&](const TilePlace<D>& place, int i, float number) {
      place.template in<State>(problem, slot, head, i) = from_float<State>(number);
    });
  }
}

template <int D>
void launch_heads(const Context& context, const LinearAttentionProblem& problem, const Spans& spans,
                  int most_spans, int most_rows) {
  const auto heads = static_cast<unsigned>(spans.heads);
  const dim3 grid(static_cast<unsigned>(most_spans), heads, D / kChunkColumns);
  const dim3 carry(static_cast<unsigned>(most_rows), heads, D * D / (kTileNumbers * kCarryThreads));
  launch_early(context,
               {.blocks = grid, .threads = kChunkThreads, .shared_bytes = sizeof(SumShared<D>)},
               sum_spans<D>, problem, spans);
  with_state_type(problem.state_type, [&]<class State>(TypeTag<State>) {
    constexpr size_t kBytes = sizeof(AttendShared<D>);
    launch_early(context, {.blocks = carry, .threads = kCarryThreads}, carry_states<D, State>,
                 problem, spans);
    allow_shared_bytes(attend_spans<D, State>, kBytes);
    launch_early(context, {.blocks = grid, .threads = kChunkThreads, .shared_bytes = kBytes},
                 attend_spans<D, State>, problem, spans);
  });
}

// Spans are so long that a multiprocessor has about two blocks, which is how many it runs at once:
// shorter ones read and write more states, longer ones leave some idle. As many heads are taken at
// once as have room for their states.
template <int D>
void launch_chunked(const Context& context, const LinearAttentionProblem& problem) {
  const int64_t blocks = int64_t{context.multiprocessors()} * 2 / (D / kChunkColumns);
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
