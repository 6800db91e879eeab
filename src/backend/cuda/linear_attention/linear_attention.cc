// Which kernel computes a linear attention op. How many tokens a row has is on the device alone, so
// the choice depends on shapes and types only.
#include "backend/cuda/kernels.h"
#include "backend/cuda/linear_attention/problem.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct LinearAttentionKernel {
  std::string_view name;
  bool (*accepts)(const LinearAttentionProblem& problem);
  void (*run)(const Context& context, const LinearAttentionProblem& problem);
  bool bits_of_token;  // a token's bits depend on its own row's tokens alone, however they are cut
};

// Whole vectors of 16 bytes, and of 8 elements in rows of hidden states.
bool in_vectors(const LinearAttentionProblem& problem) {
  const auto aligned = [](const void* data, int64_t stride, int64_t of) {
    return reinterpret_cast<uintptr_t>(data) % 16 == 0 && stride % of == 0;
  };
  return (problem.width == 64 || problem.width == 128) && aligned(problem.q, problem.q_stride, 8) &&
         aligned(problem.k, problem.k_stride, 8) && aligned(problem.v, problem.v_stride, 8) &&
         aligned(problem.out, problem.out_stride, 8) &&
         aligned(problem.state, problem.state_stride,
                 16 / static_cast<int64_t>(size_of(problem.state_type)));
}

bool fits_chunks(const LinearAttentionProblem& problem) {
  return problem.activation == DType::bf16 && problem.each == nullptr && in_vectors(problem);
}

bool accepts_all(const LinearAttentionProblem&) { return true; }

void run_steps(const Context& context, const LinearAttentionProblem& problem) {
  attend_linear_steps(context, problem, SteppedRows::all);
}

// With fewer tokens than this hardly a row has many: only where others are empty.
void run_mixed(const Context& context, const LinearAttentionProblem& problem) {
  if (problem.tokens - problem.rows < kLeastChunkTokens - 1) return run_steps(context, problem);
  attend_linear_chunked(context, problem);
  if (problem.rows > 1) attend_linear_steps(context, problem, SteppedRows::of_few_tokens);
}

constexpr LinearAttentionKernel kKernels[] = {
    {"mixed", fits_chunks, run_mixed, false},
    {"steps", in_vectors, run_steps, true},
    {"general", accepts_all, attend_linear_general, true},
};

LinearAttentionProblem problem_of(const op::LinearAttention& op) {
  return {.q = op.q.data,
          .k = op.k.data,
          .v = op.v.data,
          .out = op.out.data,
          .q_stride = op.q.row_stride,
          .k_stride = op.k.row_stride,
          .v_stride = op.v.row_stride,
          .out_stride = op.out.row_stride,
          .state = op.state.data,
          .state_stride = op.state.row_stride,
          .slope = op.slope.as<float>(),
          .row_begin = op.row_begin.as<int32_t>(),
          .from = op.state_from.as<int32_t>(),
          .to = op.state_to.as<int32_t>(),
          .each = op.state_each.as<int32_t>(),
          .tokens = static_cast<int>(op.q.rows()),
          .rows = static_cast<int>(op.state_from.rows()),
          .heads = static_cast<int>(op.q.shape[1]),
          .width = static_cast<int>(op.q.shape[2]),
          .scale = op.scale,
          .activation = op.q.dtype,
          .state_type = op.state.dtype};
}

}  // namespace

KernelFamily linear_attention_family() {
  return family_of<LinearAttentionKernel>(op::LinearAttention::kName, kKernels);
}

void run(Context& context, const op::LinearAttention& op) {
  const LinearAttentionProblem problem = problem_of(op);
  choose_kernel<LinearAttentionKernel>(kKernels, op.kName, context.choice(), problem,
                                       context.deterministic())
      .run(context, problem);
}

}  // namespace spate::cuda
