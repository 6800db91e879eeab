// ExpertLinear and ExpertMlp: the list of kernels for products with experts' weights, and what each
// accepts. What experts' sizes are is on the device alone, so the choice depends on shapes and
// types only; each kernel gives a row the same bits whatever rows are beside it.
#include "backend/cuda/kernels.h"
#include "backend/cuda/moe/problem.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct ExpertKernel {
  std::string_view name;
  bool (*accepts)(const ExpertProducts& products);
  void (*run)(Context& context, const ExpertProducts& products);
};

void run_hopper(Context& context, const ExpertProducts& products) {
  multiply_hopper(context, products);
}

// One product after the other, and the activation apart.
using Multiply = void(const Context& context, const op::ExpertLinear& op);
template <Multiply& multiply_one>
void run_apart(Context& context, const ExpertProducts& products) {
  multiply_one(context, products.product);
  if (!products.gated()) return;
  multiply_one(context, products.up);
  const Tensor& out = products.product.out;
  run(context,
      op::Gated{.gate = out, .up = products.up.out, .out = out, .activation = products.activation});
}

bool tiles_accept(const ExpertProducts& products) {
  return expert_tiles_accept(products.product) &&
         (!products.gated() || expert_tiles_accept(products.up));
}

bool accepts_all(const ExpertProducts&) { return true; }

constexpr ExpertKernel kKernels[] = {
    {"hopper", hopper_accepts, run_hopper},
    {"tiles", tiles_accept, run_apart<multiply_expert_tiles>},
    {"general", accepts_all, run_apart<multiply_general>},
};

void multiply(Context& context, const ExpertProducts& products) {
  if (products.product.out.rows() == 0) return;
  choose_kernel<ExpertKernel>(kKernels, op::ExpertLinear::kName, context.choice(), products)
      .run(context, products);
}

}  // namespace

KernelFamily expert_family() { return family_of<ExpertKernel>(op::ExpertLinear::kName, kKernels); }

void run(Context& context, const op::ExpertLinear& op) { multiply(context, {.product = op}); }

void run(Context& context, const op::ExpertMlp& op) {
  run(context, op.group());
  multiply(context, {.product = op.into_gate(), .up = op.into_up(), .activation = op.activation});
  multiply(context, {.product = op.out_of_inner()});
  run(context, op.sum());
}

}  // namespace spate::cuda
