// JoinedGated: the list of kernels, and what each accepts.
#include "backend/cuda/kernels.h"
#include "backend/cuda/linear/gated_hopper.h"
#include "backend/cuda/linear/place.h"
#include "backend/cuda/ops.h"

namespace spate::cuda {
namespace {

struct Problem {
  Context& context;
  const op::JoinedGated& op;
  const op::RoundedRows& to;  // where the result is wanted, if rounded
};

struct Kernel {
  std::string_view name;
  bool (*accepts)(const Problem&);
  void (*run)(const Problem&);
};

// ---- hopper

GatedProduct gated_product(const op::JoinedGated& op) {
  const Weight& weight = *op.product.weight;
  return {.x = op.product.x,
          .weight = weight.storage.data(),
          .weight_stride = padded_row(weight.in),
          .inputs = weight.in,
          .outputs = weight.out / 2,
          .out = op.out,
          .activation = op.activation};
}

// Whether it can run.
bool hopper_fits(const Problem& p) {
  const op::Linear& op = p.op.product;
  return !p.context.deterministic() && op.bias.data == nullptr && op.x.dtype == DType::bf16 &&
         !is_f8(*op.weight) && !is_packed(*op.weight->format) &&
         gated_hopper_fits(gated_product(p.op));
}

bool accepts_hopper(const Problem& p) {
  if (!hopper_fits(p)) return false;
  if (p.context.choice().forced.of(op::JoinedGated::kName) == "hopper") return true;
  constexpr double kLeastShare = 0.93;  // with less the library is faster
  return gated_hopper_share(p.context, gated_product(p.op)) >= kLeastShare;
}

void run_hopper(const Problem& p) {
  multiply_gated_hopper(p.context, gated_product(p.op));
  if (p.to.there()) run(p.context, op::RoundRows{.x = p.op.out, .to = p.to});
}

// ---- apart: the product by a kernel of its own, and then the activation.

void run_apart(const Problem& p) {
  run(p.context, p.op.product);
  if (p.to.there()) {
    run(p.context, op::Rounded<op::Gated>{.op = p.op.gated(), .to = p.to});
  } else {
    run(p.context, p.op.gated());
  }
}

constexpr Kernel kKernels[] = {
    {"hopper", accepts_hopper, run_hopper},
    {"apart", [](const Problem&) { return true; }, run_apart},
};

void run_joined(Context& context, const op::JoinedGated& op, const op::RoundedRows& to) {
  if (op.out.rows() == 0) return;
  const Problem problem{.context = context, .op = op, .to = to};
  choose_kernel<Kernel>(kKernels, op::JoinedGated::kName, context.choice(), problem).run(problem);
}

}  // namespace

KernelFamily joined_gated_family() { return family_of<Kernel>(op::JoinedGated::kName, kKernels); }

void run(Context& context, const op::JoinedGated& op) { run_joined(context, op, {}); }

void run(Context& context, const op::Rounded<op::JoinedGated>& op) {
  run_joined(context, op.op, op.to);
}

}  // namespace spate::cuda
