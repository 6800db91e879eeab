// The plan of one attention op: which thread computes which queries over which keys. Long prompts
// are cut into tiles of queries, rows with few queries are streamed, and streamed rows that would
// keep one thread busy for too long are cut into runs of key blocks, merged at the end. How the
// work is cut changes no bits; see kernels/attention.h.
#include <algorithm>
#include <vector>

#include "backend/cpu/ops.h"
#include "backend/cpu/rows.h"

namespace spate::cpu {
namespace {

constexpr int kTileQueries = 96;        // a tile's queries and scores fit the second cache
constexpr int kLeastTileQueries = 12;   // below, decoding a block costs more than its use
constexpr int kTasksPerThread = 4;      // enough to even out unequal ones
constexpr int64_t kAlone = 256 * 1024;  // multiply-adds that one thread does before others wake up

struct Planned {
  AttentionTask task;
  int64_t cost;  // multiply-adds
  int merge;     // index of its merge; -1: it writes the output itself
  bool stream;
};

// The parts of one streamed row and where they lie in scratch.
struct Merge {
  AttentionTask task;
  AttentionParts parts;
  size_t offset;  // bytes
};

struct Plan {
  std::vector<Planned> tasks;
  std::vector<Merge> merges;
  size_t task_bytes = 0;  // scratch of a thread
  size_t parts_bytes = 0;
  bool alone = true;  // too little work to wake up other threads
};

AttentionProblem problem_of(const op::Attention& op) {
  const KvView& kv = op.kv;
  return {.q = op.q.as<float>(),
          .out = op.out.as<float>(),
          .q_stride = op.q.row_stride,
          .out_stride = op.out.row_stride,
          .keys = kv.keys.data,
          .values = kv.values.data,
          .key_stride = kv.keys.row_stride,
          .value_stride = kv.values.row_stride,
          .type = cache_type(kv.keys.dtype),
          .row_begin = kv.row_begin.as<int32_t>(),
          .length = kv.length.as<int32_t>(),
          .segment_begin = kv.segment_begin.as<int32_t>(),
          .segments = kv.segments.as<int32_t>(),
          .heads = static_cast<int>(op.q.shape[1]),
          .kv_heads = static_cast<int>(kv.keys.shape[1]),
          .width = static_cast<int>(op.q.shape[2]),
          .value_width = static_cast<int>(op.out.shape[2]),
          .scale = op.scale,
          .window = op.window,
          .soft_cap = op.soft_cap,
          .sinks = op.sinks.as<float>(),
          .tree = op.tree.as<int32_t>()};
}

// The tokens [begin, end) of a row with all blocks that one of them sees.
AttentionTask task_of(const AttentionProblem& problem, int row, int begin, int end) {
  const int shift = problem.length[row] - problem.row_begin[row + 1];  // from token to position
  const int first_token = problem.tree == nullptr ? begin : problem.row_begin[row];
  const int first = problem.window > 0 ? std::max(0, shift + first_token - problem.window + 1) : 0;
  return {.row = row,
          .token_begin = begin,
          .token_end = end,
          .kv_head = 0,
          .kv_heads = problem.kv_heads,
          .block_begin = first / kKeyBlock,
          .block_end = (shift + end - 1) / kKeyBlock + 1};
}

int64_t queries_of(const AttentionProblem& problem, const AttentionTask& task) {
  const int64_t heads = int64_t{problem.heads} / problem.kv_heads * task.kv_heads;
  return (task.token_end - task.token_begin) * heads;
}

int64_t cost_of(const AttentionProblem& problem, const AttentionTask& task) {
  const int64_t keys = int64_t{task.block_end - task.block_begin} * kKeyBlock;
  return keys * queries_of(problem, task) * (problem.width + problem.value_width);
}

// Elements of a value, rounded up to whole vectors.
size_t padded_value(const AttentionProblem& problem, const AttentionKernels& kernels) {
  return static_cast<size_t>((problem.value_width + kernels.lanes - 1) / kernels.lanes *
                             kernels.lanes);
}

// Cuts streamed queries into `pieces` runs of blocks.
void cut_stream(const AttentionProblem& problem, const AttentionKernels& kernels,
                const Planned& whole, int pieces, Plan& plan) {
  const AttentionTask& task = whole.task;
  const int blocks = task.block_end - task.block_begin;
  const auto queries = static_cast<size_t>(queries_of(problem, task));
  const size_t padded = padded_value(problem, kernels);
  plan.merges.push_back(
      {.task = task, .parts = {.first_block = task.block_begin}, .offset = plan.parts_bytes});
  plan.parts_bytes +=
      (static_cast<size_t>(blocks) * queries * (padded + 2) * sizeof(float) + 63) / 64 * 64;
  for (int piece = 0; piece < pieces; ++piece) {
    Planned cut = whole;
    cut.merge = static_cast<int>(plan.merges.size()) - 1;
    cut.cost = whole.cost / pieces;
    cut.task.block_begin = task.block_begin + blocks * piece / pieces;
    cut.task.block_end = task.block_begin + blocks * (piece + 1) / pieces;
    plan.tasks.push_back(cut);
  }
}

Plan make_plan(const AttentionProblem& problem, const AttentionKernels& kernels, int rows,
               int streamed_queries, int threads) {
  const int share = problem.heads / problem.kv_heads;
  const auto each_row = [&](auto&& body) {
    for (int row = 0; row < rows; ++row) {
      const int begin = problem.row_begin[row], end = problem.row_begin[row + 1];
      if (begin < end) body(row, begin, end, int64_t{end - begin} * share <= streamed_queries);
    }
  };

  int64_t total = 0, tiled_tokens = 0;
  each_row([&](int row, int begin, int end, bool stream) {
    total += cost_of(problem, task_of(problem, row, begin, end));
    if (!stream) tiled_tokens += end - begin;
  });
  const bool alone = threads == 1 || total <= kAlone;
  const int64_t wanted = alone ? 1 : int64_t{kTasksPerThread} * threads;

  int tile_queries = kTileQueries;
  while (tile_queries / 2 >= kLeastTileQueries &&
         tiled_tokens * share * problem.kv_heads / tile_queries < wanted) {
    tile_queries /= 2;
  }
  const int tile_tokens = std::max(1, tile_queries / share);

  Plan plan{.alone = alone};
  int most_tiled = 0, most_streamed = 0;  // tokens
  each_row([&](int row, int begin, int end, bool stream) {
    if (stream) {
      const AttentionTask task = task_of(problem, row, begin, end);
      const int64_t cost = cost_of(problem, task);
      const int64_t pieces = std::min<int64_t>(task.block_end - task.block_begin,
                                               cost * wanted / std::max<int64_t>(1, total));
      const Planned whole{.task = task, .cost = cost, .merge = -1, .stream = true};
      if (pieces > 1) {
        cut_stream(problem, kernels, whole, static_cast<int>(pieces), plan);
      } else {
        plan.tasks.push_back(whole);
      }
      most_streamed = std::max(most_streamed, end - begin);
      return;
    }
    for (int from = begin; from < end; from += tile_tokens) {
      const int to = std::min(from + tile_tokens, end);
      for (int g = 0; g < problem.kv_heads; ++g) {
        AttentionTask task = task_of(problem, row, from, to);
        task.kv_head = g;
        task.kv_heads = 1;
        plan.tasks.push_back(
            {.task = task, .cost = cost_of(problem, task), .merge = -1, .stream = false});
      }
      most_tiled = std::max(most_tiled, to - from);
    }
  });
  if (most_tiled > 0) {
    plan.task_bytes = static_cast<size_t>(kernels.tile_scratch(problem, most_tiled));
  }
  if (most_streamed > 0) {
    plan.task_bytes = std::max(plan.task_bytes,
                               static_cast<size_t>(kernels.stream_scratch(problem, most_streamed)));
  }
  if (!alone) {  // the longest first, so that no thread starts one when the others are done
    std::stable_sort(plan.tasks.begin(), plan.tasks.end(),
                     [](const Planned& a, const Planned& b) { return a.cost > b.cost; });
  }
  return plan;
}

// Sets the pointers of all parts to their places in scratch.
void place_parts(const AttentionProblem& problem, const AttentionKernels& kernels, char* base,
                 Plan& plan) {
  const size_t padded = padded_value(problem, kernels);
  for (Merge& merge : plan.merges) {
    const AttentionTask& task = merge.task;
    const size_t entries = static_cast<size_t>(task.block_end - task.block_begin) *
                           static_cast<size_t>(queries_of(problem, task));
    merge.parts.values = reinterpret_cast<float*>(base + merge.offset);
    merge.parts.largest = merge.parts.values + entries * padded;
    merge.parts.sum = merge.parts.largest + entries;
  }
}

}  // namespace

void run(Context& context, const op::Attention& op) {
  check(op.q.dtype == DType::f32, "attention on the CPU wants f32 queries, got ",
        name_of(op.q.dtype));
  const AttentionProblem problem = problem_of(op);
  const AttentionKernels& kernels = *context.kernels().attention;
  const AttentionChoice& choice = choose_kernel(std::span<const AttentionChoice>(kernels.choices),
                                                op.kName, context.choice(), problem);
  Plan plan = make_plan(problem, kernels, static_cast<int>(op.kv.length.rows()),
                        choice.streamed_queries, context.threads());

  // The caller's scratch holds the parts, and behind them its own tasks'.
  char* shared = static_cast<char*>(context.scratch(0, plan.parts_bytes + plan.task_bytes));
  place_parts(problem, kernels, shared, plan);
  const auto scratch = [&](int thread) -> void* {
    return thread == 0 ? shared + plan.parts_bytes : context.scratch(thread, plan.task_bytes);
  };
  const auto run_task = [&](int64_t index, int thread) {
    const Planned& planned = plan.tasks[static_cast<size_t>(index)];
    if (!planned.stream) {
      kernels.tile(problem, planned.task, scratch(thread));
    } else if (planned.merge < 0) {
      kernels.stream(problem, planned.task, scratch(thread));
    } else {
      kernels.stream_parts(problem, planned.task,
                           plan.merges[static_cast<size_t>(planned.merge)].parts, scratch(thread));
    }
  };
  if (plan.alone) {
    for (size_t i = 0; i < plan.tasks.size(); ++i) run_task(static_cast<int64_t>(i), 0);
  } else {
    context.pool().parallel(static_cast<int64_t>(plan.tasks.size()), run_task);
  }
  context.pool().parallel(static_cast<int64_t>(plan.merges.size()), [&](int64_t index, int thread) {
    const Merge& merge = plan.merges[static_cast<size_t>(index)];
    kernels.merge_parts(problem, merge.task, merge.parts, scratch(thread));
  });
}

}  // namespace spate::cpu
