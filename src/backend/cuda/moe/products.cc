// ExpertLinear: the list of kernels for products with experts' weights, and what each accepts. What
// experts' sizes are is on the device alone, so the choice depends on shapes and types only; each
// kernel gives a row the same bits whatever rows are beside it.
#include "backend/cuda/kernels.h"
#include "backend/cuda/moe/kernels.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct ExpertKernel {
  std::string_view name;
  bool (*accepts)(const op::ExpertLinear& op);
  void (*run)(const Context& context, const op::ExpertLinear& op);
};

constexpr ExpertKernel kKernels[] = {
    {"tiles", expert_tiles_accept, multiply_expert_tiles},
    {"general", [](const op::ExpertLinear&) { return true; }, multiply_experts},
};

}  // namespace

KernelFamily expert_family() {
  KernelFamily family{.op = op::ExpertLinear::kName};
  for (const ExpertKernel& kernel : kKernels) family.kernels.push_back(kernel.name);
  return family;
}

void run(Context& context, const op::ExpertLinear& op) {
  if (op.out.rows() == 0) return;
  choose_kernel<ExpertKernel>(kKernels, op::ExpertLinear::kName, context.choice(), op)
      .run(context, op);
}

}  // namespace spate::cuda
