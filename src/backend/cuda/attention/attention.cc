// Which kernel computes an attention op. Keys that a token sees are on the device alone, so the
// choice depends on shapes and types only.
#include <algorithm>
#include <array>

#include "backend/cuda/attention/problem.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct AttentionKernel {
  std::string_view name;
  bool (*accepts)(const AttentionProblem& problem);
  void (*run)(const Context& context, const AttentionProblem& problem);
  bool bits_of_token;  // a token's bits depend on its own keys alone
};

// Whole vectors of 16 bytes.
bool in_vectors(const void* data, int64_t stride, DType type) {
  return reinterpret_cast<uintptr_t>(data) % 16 == 0 &&
         stride * static_cast<int64_t>(size_of(type)) % 16 == 0;
}

bool fits_tensor_cores(const AttentionProblem& problem) {
  constexpr std::array kWidths{64, 80, 96, 128, 256};
  return problem.activation == DType::bf16 && problem.cache != DType::f32 &&
         problem.width == problem.value_width &&
         std::ranges::find(kWidths, problem.width) != kWidths.end() &&
         in_vectors(problem.q, problem.q_stride, problem.activation) &&
         in_vectors(problem.out, problem.out_stride, problem.activation) &&
         in_vectors(problem.keys, problem.key_stride, problem.cache) &&
         in_vectors(problem.values, problem.value_stride, problem.cache);
}

// No row of a step is empty: as many tokens as rows are one token each.
bool accepts_single_tokens(const AttentionProblem& problem) {
  return problem.tokens == problem.rows && fits_tensor_cores(problem);
}

bool accepts_all(const AttentionProblem&) { return true; }

void run_tiles(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  switch (problem.cache) {
    case DType::bf16: return attend_tiles_bf16(context, problem, rows);
    case DType::f16: return attend_tiles_f16(context, problem, rows);
    default: return attend_tiles_e4m3(context, problem, rows);
  }
}

// Trees of tokens, and scales that turn scores round, stay with the other kernels.
bool fits_hopper(const AttentionProblem& problem) {
  const bool coded = problem.cache == DType::e4m3 && problem.width <= kMostCodedWidth;
  return (problem.cache == DType::bf16 || coded) && problem.tree == nullptr &&
         problem.group <= kItemQueries && problem.scale > 0 && fits_tensor_cores(problem);
}

void run_hopper(const Context& context, const AttentionProblem& problem, TiledRows rows) {
  switch (problem.width) {
    case 64: return attend_hopper_64(context, problem, rows);
    case 80: return attend_hopper_80(context, problem, rows);
    case 96: return attend_hopper_96(context, problem, rows);
    case 128: return attend_hopper_128(context, problem, rows);
    default: return attend_hopper_256(context, problem, rows);
  }
}

size_t bytes_of_shared(const AttentionProblem& problem) {
  const size_t pieces = static_cast<size_t>(problem.shared.most_of_row) *
                        static_cast<size_t>(problem.rows * problem.kv_heads * problem.group);
  return pieces * (static_cast<size_t>(problem.width) * sizeof(float) + sizeof(float2));
}

// Windows end somewhere else in every row, and trees hold more than one token of a row.
bool takes_shared(const AttentionProblem& problem) {
  return problem.shared.parts != nullptr && problem.window == 0 && fits_hopper(problem) &&
         bytes_of_shared(problem) <= Context::kWorkspaceBytes / 2;
}

// Keys that rows share come first: `decode` begins behind them, and adds their pieces.
void run_few(const Context& context, const AttentionProblem& problem) {
  AttentionProblem few = problem;
  if (takes_shared(problem)) {
    SharedPieces& shared = few.shared;
    shared.bytes = (bytes_of_shared(problem) + 255) / 256 * 256;
    shared.values = static_cast<float*>(context.workspace(shared.bytes));
    shared.stats = reinterpret_cast<float2*>(shared.values + int64_t{shared.most_of_row} *
                                                                 problem.rows * problem.kv_heads *
                                                                 problem.group * problem.width);
    run_hopper(context, few, TiledRows::shared_parts);
  } else {
    few.shared = {};
  }
  switch (problem.cache) {
    case DType::bf16: return attend_few_bf16(context, few);
    case DType::f16: return attend_few_f16(context, few);
    default: return attend_few_e4m3(context, few);
  }
}

// A step of one row has no other rows.
void run_mixed(const Context& context, const AttentionProblem& problem) {
  const bool few = problem.tokens == 1 || problem.tokens * problem.group <= kFewQueries;
  if (problem.rows > 1 || !few) {
    (fits_hopper(problem) ? run_hopper : run_tiles)(context, problem, TiledRows::of_many_queries);
  }
  if (problem.rows > 1 || few) run_few(context, problem);
}

// Values lie in the keys; windows and trees of tokens stay with `general`.
bool fits_latents(const AttentionProblem& problem) {
  return problem.activation == DType::bf16 && problem.cache == DType::bf16 &&
         problem.kv_heads == 1 && problem.width == 576 && problem.value_width == 512 &&
         problem.values == problem.keys && problem.value_stride == problem.key_stride &&
         problem.scale > 0 && problem.window == 0 && problem.tree == nullptr &&
         in_vectors(problem.q, problem.q_stride, problem.activation) &&
         in_vectors(problem.out, problem.out_stride, problem.activation) &&
         in_vectors(problem.keys, problem.key_stride, problem.cache);
}

void run_latents(const Context& context, const AttentionProblem& problem) {
  attend_latents(context, problem, false);
}

void run_whole_latents(const Context& context, const AttentionProblem& problem) {
  attend_latents(context, problem, true);
}

void run_all_hopper(const Context& context, const AttentionProblem& problem) {
  run_hopper(context, problem, TiledRows::all);
}

void run_all_tiles(const Context& context, const AttentionProblem& problem) {
  run_tiles(context, problem, TiledRows::all);
}

constexpr AttentionKernel kKernels[] = {
    {"decode", accepts_single_tokens, run_few, false},
    {"mixed", fits_tensor_cores, run_mixed, false},
    {"latent", fits_latents, run_latents, false},
    {"hopper", fits_hopper, run_all_hopper, true},
    {"prefill", fits_tensor_cores, run_all_tiles, true},
    {"latent_whole", fits_latents, run_whole_latents, true},
    {"general", accepts_all, attend_general, true},
};

SharedPieces shared_of(const SharedKeys& keys) {
  if (keys.most_parts == 0) return {};
  return {.parts = keys.parts.as<int32_t>(),
          .own = keys.own.as<int32_t>(),
          .parts_in_table = static_cast<int>(keys.parts.rows()),
          .most_of_row = keys.most_parts};
}

AttentionProblem problem_of(const op::Attention& op) {
  const KvView& kv = op.kv;
  const auto kv_heads = static_cast<int>(kv.keys.shape[1]);
  const auto heads = static_cast<int>(op.q.shape[1]);
  return {.q = op.q.data,
          .out = op.out.data,
          .q_stride = op.q.row_stride,
          .out_stride = op.out.row_stride,
          .keys = kv.keys.data,
          .values = kv.values.data,
          .key_stride = kv.keys.row_stride,
          .value_stride = kv.values.row_stride,
          .scales = kv.scales.as<uint32_t>(),
          .row_begin = kv.row_begin.as<int32_t>(),
          .length = kv.length.as<int32_t>(),
          .segment_begin = kv.segment_begin.as<int32_t>(),
          .segments = kv.segments.as<int32_t>(),
          .tokens = static_cast<int>(op.q.rows()),
          .rows = static_cast<int>(kv.length.rows()),
          .kv_heads = kv_heads,
          .width = static_cast<int>(op.q.shape[2]),
          .value_width = static_cast<int>(op.out.shape[2]),
          .slots = static_cast<int>(kv.keys.rows()),
          .group = heads / kv_heads,
          .scale = op.scale,
          .window = op.window,
          .soft_cap = op.soft_cap,
          .sinks = op.sinks.as<float>(),
          .tree = op.tree.as<int32_t>(),
          .activation = op.q.dtype,
          .cache = kv.keys.dtype,
          .shared = shared_of(kv.shared)};
}

}  // namespace

KernelFamily attention_family() {
  return family_of<AttentionKernel>(op::Attention::kName, kKernels);
}

void run(Context& context, const op::Attention& op) {
  if (op.q.rows() == 0) return;
  const AttentionProblem problem = problem_of(op);
  choose_kernel<AttentionKernel>(kKernels, op.kName, context.choice(), problem,
                                 context.deterministic())
      .run(context, problem);
}

}  // namespace spate::cuda
